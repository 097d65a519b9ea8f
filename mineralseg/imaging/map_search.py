"""Where a coarse map lies on an optical image, roughly: their edges correlated over all placements."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mineralseg.core.legend import IGNORE

ORIENTATIONS = 8
MIN_OVERLAP = 0.22
"""Least share of the smaller of the two images that must lie on the other."""
SEARCH_PX = 260
"""Longest side of a map in the first search."""
_LEAST_SEARCH_PX = 100
_MOST_TRIALS = 400
"""Turns times scales for one orientation, if the map does not get too small by that."""
_EDGE_SIGMA_PX = 1.0
_BACKGROUND_SIGMA_PX = 6.0
_STEP_PX = 1.5
_LOCAL = (-2, -1, 0, 1, 2)
_RIVAL_DEG = 15.0
_LEAST_WEIGHT = 1e-3
_FLOOR = 0.25

Image = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class MapPrior:
    """What is known before a map is put on an image.

    Attributes:
        scale: pixels of the image a pixel of the map, from the pixel sizes.
        max_rotation_deg: largest turn, beside quarter turns, 0..45.
        max_scale_change: largest relative error of `scale`.
        flips: whether the map may lie in any of the eight orientations, or only upright.
    """

    scale: float
    max_rotation_deg: float
    max_scale_change: float
    flips: bool

    def __post_init__(self) -> None:
        if not (self.scale > 0 and 0 <= self.max_rotation_deg <= 45 and 0 <= self.max_scale_change <= 0.25):
            raise ValueError(f"a map prior has a scale, 0..45 degrees and a change up to 0.25, not {self}")


@dataclass(frozen=True)
class Edges:
    """Edges of an image, mean 0 and variance 1 around every pixel, 0 where `valid_HW` (0..1) is 0."""

    strength_HW: Image
    valid_HW: Image


@dataclass(frozen=True)
class Placement:
    """One way to lay a map on an image and how well edges agree there.

    `map_to_image` is a 3x3 matrix; `height` is the correlation of the edges in standard deviations of what
    chance would give.
    """

    orientation: int
    rotation_deg: float
    scale: float
    map_to_image: Matrix
    height: float


@dataclass(frozen=True)
class SearchResult:
    """The best placement, and the height of the best one that lies in another orientation."""

    best: Placement
    rival_height: float

    @property
    def image_to_map(self) -> Matrix:
        """The best placement's way from the image to the map, 3x3."""
        return np.linalg.inv(self.best.map_to_image).astype(np.float64)

    @property
    def peak_ratio(self) -> float:
        """How many times higher the best placement is than chance can make it; about 1 for a wrong map."""
        return self.best.height / max(self.rival_height, 1e-9)


def search_placement(map_edges: Edges, image_edges: Edges, prior: MapPrior) -> SearchResult | None:
    """Return where edges of a map and of an image (both in map pixels) agree best, None if nowhere.

    Every orientation, turn and scale is tried with all shifts at once by fast Fourier transform
    (Padfield 2012, doi:10.1109/TIP.2011.2181402, simplified: edges of unit variance everywhere need only
    the area of the overlap as a norm), first on reduced images, then around the best placement at twice the
    resolution, and so on up to whole map pixels. A correlation over n pixels by chance has a standard
    deviation proportional to the square root of n, so heights are divided by that: a small overlap wins no
    placement by luck. Orientations that the prior excludes are searched too, since their best heights say
    what chance gives.

    Fails where the map has few boundaries (one phase, grains below four map pixels) or less than a
    quarter of the smaller image overlaps.

    Args:
        map_edges: of the map.
        image_edges: of the image at one map pixel a pixel.
        prior: what is known; its `scale` is taken to be 1 here.
    """
    factor = _coarsest(max(map_edges.strength_HW.shape), prior)
    moving, fixed = _reduced(map_edges, factor), _reduced(image_edges, factor)
    turns, scales, step = _grid(max(moving.strength_HW.shape), prior)
    found = [
        placement
        for orientation in range(ORIENTATIONS)
        for placement in _correlate(moving, fixed, orientation, turns, scales)
    ]
    allowed = [placement for placement in found if prior.flips or placement.orientation == 0]
    best = max(allowed, key=lambda placement: placement.height)
    rival_height = max(placement.height for placement in found if _differ(placement, best))
    if best.height <= 0:
        return None
    coarse_height = best.height
    while factor > 1:
        factor //= 2
        step /= 2
        moving, fixed = _reduced(map_edges, factor), _reduced(image_edges, factor)
        turns = best.rotation_deg + np.rad2deg(step) * np.array(_LOCAL)
        scales = best.scale + step * np.array(_LOCAL)
        near = _correlate(moving, fixed, best.orientation, turns, scales)
        best = max(near, key=lambda placement: placement.height)
    best = Placement(best.orientation, best.rotation_deg, best.scale, best.map_to_image, coarse_height)
    return SearchResult(best, rival_height)


def map_edges(classes_HW: NDArray[np.uint8]) -> Edges:
    """Return the boundaries between classes of a map; void (255) has none, nor have lonely pixels."""
    valid = classes_HW != IGNORE
    cleaned = without_specks(classes_HW)
    edge = np.zeros(classes_HW.shape, np.float32)
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        differs = (cleaned[here] != cleaned[there]) & valid[here] & valid[there]
        edge[here] += differs
        edge[there] += differs
    return _standardised(_blurred(np.minimum(edge, np.float32(2)), _EDGE_SIGMA_PX), valid.astype(np.float32))


def image_edges(image_HWC: NDArray[np.float32], valid_HW: NDArray[np.float32]) -> Edges:
    """Return where the colours of an image (all channels of all views) change.

    The gradient is saturated, so that a few bright rims do not outweigh all other boundaries.
    """
    power = np.zeros(image_HWC.shape[:2], np.float32)
    for channel in np.moveaxis(image_HWC, 2, 0):
        across = cv2.Sobel(channel, cv2.CV_32F, 1, 0, ksize=3)
        down = cv2.Sobel(channel, cv2.CV_32F, 0, 1, ksize=3)
        power += across * across + down * down
    gradient = np.sqrt(power)
    usual = float(np.median(gradient[valid_HW > 0.5])) if (valid_HW > 0.5).any() else 0.0
    saturated = np.tanh(gradient / (2 * usual)) if usual > 0 else np.zeros_like(gradient)
    return _standardised(saturated.astype(np.float32), valid_HW)


def without_specks(classes_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a map where every pixel has the commonest class of its 3 x 3 neighbours; void stays void."""
    best = np.zeros(classes_HW.shape, np.float32)
    cleaned = classes_HW.copy()
    for value in np.unique(classes_HW[classes_HW != IGNORE]).tolist():
        here = (classes_HW == value).astype(np.float32)
        votes = cv2.boxFilter(here, -1, (3, 3), normalize=False) + 0.5 * here
        wins = (votes > best) & (classes_HW != IGNORE)
        cleaned[wins], best[wins] = value, votes[wins]
    return cleaned


def _standardised(strength_HW: Image, valid_HW: Image) -> Edges:
    """Return edges whose mean is 0 and whose variance is 1 around every valid pixel."""
    high = (strength_HW - _local_mean(strength_HW, valid_HW, _BACKGROUND_SIGMA_PX)) * valid_HW
    overall = float(np.mean(high * high))
    if overall == 0:
        return Edges(np.zeros_like(strength_HW), valid_HW)
    variance = _local_mean(high * high, valid_HW, 3 * _BACKGROUND_SIGMA_PX)
    return Edges((high / np.sqrt(variance + _FLOOR * overall)).astype(np.float32), valid_HW)


def _local_mean(image_HW: Image, valid_HW: Image, sigma_px: float) -> Image:
    weight = np.maximum(_blurred(valid_HW, sigma_px), np.float32(_LEAST_WEIGHT))
    return (_blurred((image_HW * valid_HW).astype(np.float32), sigma_px) / weight).astype(np.float32)


def _blurred(image_HW: Image, sigma_px: float) -> Image:
    return cv2.GaussianBlur(image_HW, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT).astype(np.float32)


def _reduced(edges: Edges, factor: int) -> Edges:
    """Return edges of blocks of `factor` pixels, again of variance 1; a cut block counts as void."""
    if factor == 1:
        return edges
    valid = _block_means(edges.valid_HW, factor)
    strength = _block_means(edges.strength_HW * edges.valid_HW, factor)
    inside = valid > 0.5
    spread = float(strength[inside].std()) if inside.any() else 0.0
    return Edges(strength / max(spread, 1e-6), valid)


def _block_means(image_HW: Image, factor: int) -> Image:
    height, width = image_HW.shape
    full = np.pad(image_HW, ((0, -height % factor), (0, -width % factor)))
    rows, cols = full.shape[0] // factor, full.shape[1] // factor
    means: Image = full.reshape(rows, factor, cols, factor).mean(axis=(1, 3), dtype=np.float32)
    return means


def _coarsest(side_px: int, prior: MapPrior) -> int:
    """Return by how much to reduce a map of `side_px` for the first search, a power of two."""
    factor = 2
    while side_px / factor > SEARCH_PX or (
        side_px / (2 * factor) >= _LEAST_SEARCH_PX and _trials(side_px / factor, prior) > _MOST_TRIALS
    ):
        factor *= 2
    return factor


def _trials(side_px: float, prior: MapPrior) -> int:
    turns_deg, scales, _ = _grid(side_px, prior)
    return len(turns_deg) * len(scales)


def _grid(side_px: float, prior: MapPrior) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return turns (degrees) and scales that move a map's corners little from one to the next, and the step.

    The step is relative: of the scale, and of a turn in radians.
    """
    step = _STEP_PX / (side_px / np.sqrt(2))
    turns_deg = np.rad2deg(_steps(np.deg2rad(prior.max_rotation_deg), step))
    return turns_deg, 1 + _steps(prior.max_scale_change, step), step


def _steps(reach: float, step: float) -> NDArray[np.float64]:
    """Return places from -reach to reach, evenly spread, at most `step` apart, 0 among them."""
    half = int(np.ceil(reach / step - 1e-9))
    return np.linspace(-reach, reach, 2 * half + 1)


def _differ(one: Placement, other: Placement) -> bool:
    """Return whether two placements are different solutions, not one found twice."""
    if (one.orientation < 4) != (other.orientation < 4):
        return True
    turn = 90 * (one.orientation - other.orientation) + one.rotation_deg - other.rotation_deg
    return abs((turn + 180) % 360 - 180) > _RIVAL_DEG


def _correlate(
    moving: Edges,
    fixed: Edges,
    orientation: int,
    turns_deg: NDArray[np.float64],
    scales: NDArray[np.float64],
) -> Iterator[Placement]:
    """Give the best shift of a map in an orientation for every turn and scale, in pixels of these images."""
    height, width = moving.strength_HW.shape
    largest = float(np.abs(np.deg2rad(turns_deg)).max())
    grown = float(scales.max()) * (np.cos(largest) * np.eye(2) + np.sin(largest) * (1 - np.eye(2)))
    sides = grown @ (np.array([width, height]) if orientation % 2 == 0 else np.array([height, width]))
    canvas = (int(np.ceil(sides[0])) + 2, int(np.ceil(sides[1])) + 2)
    rows, cols = fixed.strength_HW.shape
    shape = (fft.next_fast_len(rows + canvas[1], True), fft.next_fast_len(cols + canvas[0], True))
    target = fft.rfft2(fixed.strength_HW, shape)
    norm = _norm(moving, fixed, orientation, canvas, shape)
    for turn_deg in turns_deg.tolist():
        for scale in scales.tolist():
            onto_canvas = _linear(orientation, turn_deg, scale, (width, height), canvas)
            laid = _laid(moving.strength_HW, onto_canvas, canvas)
            surface = fft.irfft2(target * np.conj(fft.rfft2(laid, shape)), shape) * norm
            peak = np.unravel_index(int(np.argmax(surface)), shape)
            shift = np.eye(3)
            shift[:2, 2] = _subpixel(surface, (int(peak[0]), int(peak[1])), (rows, cols))
            yield Placement(orientation, turn_deg, scale, shift @ onto_canvas, float(surface[peak]))


def _norm(
    moving: Edges, fixed: Edges, orientation: int, canvas: tuple[int, int], shape: tuple[int, int]
) -> Image:
    """Return what to multiply correlations by: 1 / sqrt(overlap) for every shift, 0 if that is too small."""
    height, width = moving.valid_HW.shape
    laid = _laid(moving.valid_HW, _linear(orientation, 0.0, 1.0, (width, height), canvas), canvas)
    overlap = fft.irfft2(fft.rfft2(fixed.valid_HW, shape) * np.conj(fft.rfft2(laid, shape)), shape)
    least = MIN_OVERLAP * min(float(moving.valid_HW.sum()), float(fixed.valid_HW.sum()))
    norm: Image = np.where(overlap >= max(least, 1.0), 1 / np.sqrt(np.maximum(overlap, 1.0)), 0)
    return norm.astype(np.float32)


def _linear(
    orientation: int, turn_deg: float, scale: float, size_px: tuple[int, int], canvas: tuple[int, int]
) -> Matrix:
    """Return the matrix that lays a map of (width, height) on the middle of a canvas."""
    angle = np.deg2rad(90 * (orientation % 4) + turn_deg)
    linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if orientation >= 4:
        linear = linear * [-1, 1]
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = (np.array(canvas) - 1) / 2 - linear @ ((np.array(size_px) - 1) / 2)
    return matrix


def _laid(image_HW: Image, onto_canvas: Matrix, canvas: tuple[int, int]) -> Image:
    return cv2.warpAffine(image_HW, onto_canvas[:2], canvas, flags=cv2.INTER_LINEAR).astype(np.float32)


def _subpixel(
    surface: NDArray[np.float32], peak: tuple[int, int], ahead: tuple[int, int]
) -> tuple[float, float]:
    """Return the shift (x, y) of a peak of a circular correlation, by parabolas through its neighbours.

    Places from `ahead` (rows, cols) on stand for shifts back.
    """
    shift = []
    for axis in (1, 0):
        length = surface.shape[axis]
        before, here, after = (
            float(np.take(surface, (peak[axis] + by) % length, axis=axis)[peak[1 - axis]])
            for by in (-1, 0, 1)
        )
        bow = before - 2 * here + after
        place = peak[axis] + (0.0 if bow >= 0 else float(np.clip((before - after) / (2 * bow), -0.5, 0.5)))
        shift.append(place - length if peak[axis] >= ahead[axis] else place)
    return shift[0], shift[1]
