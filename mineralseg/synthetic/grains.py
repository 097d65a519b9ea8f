"""The fabric of a rock: a packing of grains, and the power diagram that makes them fill the plane."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mineralseg.synthetic.texture import Field, wrapped

Floats = NDArray[np.float64]

PLATY_ASPECT = 2.0
"""Aspect ratio from which a grain counts as platy."""

_PLATY_SIZE = 0.7
_CANDIDATES = 14
_RELAXATIONS = 24
_STRIP_PX = 128


@dataclass(frozen=True)
class Packing:
    """Grains as ellipses on a canvas.

    `center_xy_px` (n, 2); `radius_px` of the circle of equal area (n,); `aspect` ratio (n,); `angle_rad`
    of the long axis (n,), counter-clockwise from right.
    """

    center_xy_px: Floats
    radius_px: Floats
    aspect: Floats
    angle_rad: Floats

    def __len__(self) -> int:
        return len(self.radius_px)


@dataclass(frozen=True)
class Partition:
    """A canvas divided among grains.

    `grain_HW` is the owner of each pixel (int32, 0-based); `contact_px_HW` the distance to the nearest
    contact; `rounded_px_HW` the same with corners rounded off, negative in the corners.
    """

    grain_HW: NDArray[np.int32]
    contact_px_HW: Field
    rounded_px_HW: Field


def pack_grains(
    rng: np.random.Generator, *, canvas_px: int, radius_px: float, sorting: float, platy_share: float
) -> Packing:
    """Return a dense packing of grains with lognormal sizes, somewhat larger than a square canvas.

    Circles at random places push each other apart until few overlap. A share of the area is platy: its
    smaller, with an `aspect` of
    about 2.5 until the rock's elongation scales it; the others are nearly equant.
    """
    pad = 2.5 * radius_px
    side = canvas_px + 2 * pad
    mean_area = np.pi * radius_px**2 * np.exp(2 * sorting**2)
    count = max(int(0.97 * side**2 / mean_area), 12)
    radius = radius_px * np.exp(sorting * np.clip(rng.standard_normal(count), -2.2, 2.2))
    small = _PLATY_SIZE**2
    platy = rng.random(count) < platy_share / (small + platy_share * (1 - small))
    radius = np.where(platy, _PLATY_SIZE * radius, radius)
    center = _relaxed(rng.uniform(-pad, canvas_px + pad, (count, 2)), radius, (-pad, canvas_px + pad))
    aspect = np.where(platy, rng.uniform(2.2, 2.8, count), rng.uniform(1.0, 1.8, count))
    return Packing(center, radius, aspect, rng.uniform(0, np.pi, count))


def _relaxed(center: Floats, radius: Floats, limits_px: tuple[float, float]) -> Floats:
    """Return centres after overlapping circles have pushed each other apart, within limits."""
    for _ in range(_RELAXATIONS):
        pairs = cKDTree(center).query_pairs(2 * float(np.quantile(radius, 0.98)), output_type="ndarray")
        first, second = pairs[:, 0], pairs[:, 1]
        apart = center[first] - center[second]
        distance = np.linalg.norm(apart, axis=1) + 1e-9
        overlap = np.maximum(radius[first] + radius[second] - distance, 0.0)
        push = 0.45 * (overlap / distance)[:, None] * apart
        lighter = (radius[second] / (radius[first] + radius[second]))[:, None]
        shift = np.zeros_like(center)
        for axis in (0, 1):
            shift[:, axis] += np.bincount(first, (push * lighter)[:, axis], len(center))
            shift[:, axis] -= np.bincount(second, (push * (1 - lighter))[:, axis], len(center))
        center = np.clip(center + shift, *limits_px)
    return center


def partition(
    packing: Packing, *, canvas_px: int, warp: tuple[Field, Field], rounding_px: float
) -> Partition:
    """Return which grain owns each pixel of a square canvas, and how far its contacts are.

    A power diagram (Aurenhammer 1987, doi:10.1137/0216006) with an elliptic metric a grain, evaluated on
    warped coordinates, which corrugates the contacts. Candidates are sought once a block of pixels in a
    k-d tree of the lifted centres, so that the cost is linear in pixels; very elongated grains (aspect
    above 4) may then lose their tips.

    Args:
        packing: the grains.
        canvas_px: side of the canvas.
        warp: two noise tiles in pixels, the displacement along x and y.
        rounding_px: length over which corners are rounded.
    """
    shape = (canvas_px, canvas_px)
    found = Partition(np.empty(shape, np.int32), np.empty(shape, np.float32), np.empty(shape, np.float32))
    weight = packing.radius_px**2
    lift = np.sqrt(weight.max() - weight)
    tree = cKDTree(np.column_stack([packing.center_xy_px, lift]))
    block = int(np.clip(np.median(packing.radius_px) / 4, 1, 8))
    for rows in _strips(canvas_px, block):
        _fill_strip(found, rows, _Strip.of(packing, tree, rows, block, warp, canvas_px), rounding_px)
    return found


def _strips(canvas_px: int, block: int) -> Iterator[slice]:
    """Yield strips of rows, each a whole number of blocks high (the last may stick out)."""
    height = max(_STRIP_PX // block, 1) * block
    for start in range(0, canvas_px, height):
        stop = min(start + height, -(-canvas_px // block) * block)
        yield slice(start, stop)


@dataclass(frozen=True)
class _Strip:
    """Warped pixel coordinates in blocks (bh, b, bw, b) and candidate grains of each block (k, bh, bw)."""

    x: Field
    y: Field
    candidates: NDArray[np.int32]
    terms: tuple[Field, ...]

    @classmethod
    def of(
        cls,
        packing: Packing,
        tree: cKDTree,
        rows: slice,
        block: int,
        warp: tuple[Field, Field],
        canvas_px: int,
    ) -> "_Strip":
        width = -(-canvas_px // block) * block
        blocked = ((rows.stop - rows.start) // block, block, width // block, block)
        x = (np.arange(width, dtype=np.float32)[None] + wrapped(warp[0], rows, width)).reshape(blocked)
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        y = (down + wrapped(warp[1], rows, width)).reshape(blocked)
        middle = np.stack([x.mean((1, 3)), y.mean((1, 3))], axis=-1)
        points = np.concatenate([middle, np.zeros_like(middle[..., :1])], axis=-1)
        nearest = np.asarray(tree.query(points, k=min(_CANDIDATES, len(packing)))[1], np.int32)
        return cls(x, y, np.moveaxis(nearest, -1, 0), _quadratic_terms(packing))

    def grains(self) -> Iterator[tuple[NDArray[np.int32], Field, Field, Field]]:
        """Yield each candidate with its power and half the gradient of the power at every pixel."""
        for ids in self.candidates:
            cx, cy, xx, xy, yy, weight = (term[ids][:, None, :, None] for term in self.terms)
            dx, dy = self.x - cx, self.y - cy
            gx, gy = xx * dx + xy * dy, xy * dx + yy * dy
            yield ids[:, None, :, None], gx * dx + gy * dy - weight, gx, gy


def _quadratic_terms(packing: Packing) -> tuple[Field, ...]:
    """Return centre x, y, the form xx, xy, yy of determinant 1 and the weight of every grain."""
    cos, sin = np.cos(packing.angle_rad), -np.sin(packing.angle_rad)
    long, short = 1 / packing.aspect, packing.aspect
    terms = (
        packing.center_xy_px[:, 0],
        packing.center_xy_px[:, 1],
        long * cos**2 + short * sin**2,
        (long - short) * cos * sin,
        long * sin**2 + short * cos**2,
        packing.radius_px**2,
    )
    return tuple(term.astype(np.float32) for term in terms)


def _fill_strip(found: Partition, rows: slice, strip: _Strip, rounding_px: float) -> None:
    """Write the owners and distances of one strip."""
    power = np.full(strip.x.shape, np.inf, np.float32)
    owner = np.zeros(strip.x.shape, np.int32)
    slope_x, slope_y = np.zeros_like(power), np.zeros_like(power)
    for ids, candidate, gx, gy in strip.grains():
        better = candidate < power
        power = np.where(better, candidate, power)
        owner = np.where(better, ids, owner)
        slope_x, slope_y = np.where(better, gx, slope_x), np.where(better, gy, slope_y)
    contact = np.full_like(power, np.inf)
    crowd = np.zeros_like(power)
    for ids, candidate, gx, gy in strip.grains():
        distance = (candidate - power) / (2 * np.hypot(gx - slope_x, gy - slope_y) + np.float32(1e-3))
        distance = np.where(ids == owner, np.float32(np.inf), distance)
        contact = np.minimum(contact, distance)
        crowd += np.exp(distance * np.float32(-1 / rounding_px))
    rounded = np.float32(-rounding_px) * np.log(np.maximum(crowd, np.float32(1e-30)))
    height, side = rows.stop - rows.start, found.grain_HW.shape[1]
    for target, blocks in (
        (found.grain_HW, owner),
        (found.contact_px_HW, contact),
        (found.rounded_px_HW, rounded),
    ):
        keep = target[rows]
        keep[...] = blocks.reshape(height, -1)[: len(keep), :side]
