"""One view of a field on another: what is known, what is looked for, and when it is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mineralseg.core.registration import Registration
from mineralseg.core.transforms import Transform
from mineralseg.imaging.features import Features, Image, match
from mineralseg.imaging.local_matching import LocalMatches, agreement, edge_strength, find_places
from mineralseg.imaging.planar_fit import (
    Matrix,
    Points,
    distances_px,
    fit_affine,
    fit_similarity,
    held_out_px,
    scale_of,
    shear_of,
    turn_deg,
)

_RANSAC_PX = 3.0
_RANSAC_TRIES = 20_000
_LEAST_INLIERS = 8
_LEAST_PLACES = 12
_REACHES_PX = (14, 8, 8)
_KEPT_PX = 2.0
_LEAST_SCORE = 0.25
_AFFINE_GAIN = 0.9
_MORE_PLACES = 1.25
_FIT_ROUNDS = 3
_LEAST_SHARE = 0.2
_MAX_SHEAR = 0.02
_LEAST_OVERLAP = 0.2
_ROUGH_PX = 384
_ROUGH_PEAKS = 3


@dataclass(frozen=True)
class Prior:
    """What is known of a moving view before looking.

    Attributes:
        rotation_deg: expected turn to the fixed view, counter-clockwise on screen; None: any.
        max_rotation_deg: largest departure from it.
        scale: expected fixed pixels a moving pixel.
        max_scale_change: largest relative departure from it.
    """

    rotation_deg: float | None
    max_rotation_deg: float
    scale: float
    max_scale_change: float

    def scaled(self, factor: float) -> "Prior":
        """Return what is known when a moving pixel spans `factor` times as many fixed pixels."""
        return replace(self, scale=self.scale * factor)

    def objection(self, matrix: Matrix) -> str:
        """Return why a transform cannot be, empty when it can."""
        if self.rotation_deg is not None:
            beyond_deg = (turn_deg(matrix) - self.rotation_deg + 180) % 360 - 180
            if abs(beyond_deg) > self.max_rotation_deg:
                return (
                    f"it seems turned by {turn_deg(matrix):.1f} deg; {self.rotation_deg:.1f} was expected, "
                    f"at most {self.max_rotation_deg:g} beside it; are views swapped?"
                )
        change = scale_of(matrix) / self.scale - 1
        if abs(change) > self.max_scale_change:
            return (
                f"it seems {1 + change:.3g} times as large as the pixel sizes say; "
                "is it of the same magnification?"
            )
        if shear_of(matrix) > _MAX_SHEAR:
            return f"it seems sheared by {100 * shear_of(matrix):.1f} %"
        return ""


@dataclass(frozen=True)
class _Judged:
    """A transform with what was measured of it."""

    matrix: Matrix
    method: str
    residual_px: float
    inliers: int
    score: float


def register_view(
    fixed: Features, moving: Features, *, prior: Prior, frames: tuple[str, str]
) -> Registration:
    """Return how a moving view lies on a fixed one, or why that cannot be told.

    Matched features give a similarity by random sampling (Fischler & Bolles 1981,
    doi:10.1145/358669.358692); where they fail, edges correlated over all shifts do. Either is refined on
    small patches of the edge images, spread over the whole overlap, which also measure it.

    Args:
        fixed: the view that keeps its place.
        moving: the other.
        prior: what is known beforehand.
        frames: names of the moving and of the fixed frame.

    Returns:
        The transform in the pixels of the described images. `residual_px` is the root mean square distance
        of places to a fit of the other half of them; `score` the share of all places that agree within
        1.5 px, less what chance gives: wrong pairs stayed below 0.15, right ones above 0.28.
    """
    edges_HW = edge_strength(fixed.grey_HW)
    objections: list[str] = []
    best: _Judged | None = None
    for matrix, method in _candidates(fixed, moving, prior, objections):
        judged = _judge(edges_HW, moving.grey_HW, matrix, method)
        if judged is not None and (best is None or judged.score > best.score):
            best = judged
        if best is not None and best.score >= _LEAST_SCORE and method == "features":
            break
    return _verdict(best, prior, objections, (fixed, moving), frames)


def refine(
    fixed: Features, moving: Features, matrix: Matrix, *, prior: Prior, method: str, frames: tuple[str, str]
) -> Registration:
    """Return the registration that starts from a transform found otherwise, as by a chain of views."""
    best = _judge(edge_strength(fixed.grey_HW), moving.grey_HW, matrix, method)
    return _verdict(best, prior, [], (fixed, moving), frames)


def refit(found: Registration, places: LocalMatches, *, prior: Prior) -> Registration:
    """Return a registration fitted anew to places measured elsewhere, as at the pixels of the files.

    Its score stays, for that was measured over the whole overlap; it stays as it is where the places are
    too few, or fit only a transform that cannot be.
    """
    if found.moving_to_fixed is None or found.verdict == "refused":
        return found
    affine = found.method.endswith("affine")
    judged = _fitted(places, found.moving_to_fixed.matrix, found.method, affine=affine)
    if (
        judged is None
        or judged.inliers < _LEAST_SHARE * len(places.fixed_xy)
        or prior.objection(judged.matrix)
    ):
        return found
    return replace(
        found,
        moving_to_fixed=replace(found.moving_to_fixed, matrix=judged.matrix),
        residual_px=judged.residual_px,
        inliers=judged.inliers,
    )


def _candidates(
    fixed: Features, moving: Features, prior: Prior, objections: list[str]
) -> Iterator[tuple[Matrix, str]]:
    """Yield transforms to try, the likeliest first; what cannot be is written to `objections`."""
    fixed_xy, moving_xy = match(fixed, moving)
    sampled = _sample(moving_xy, fixed_xy)
    if sampled is not None:
        matrix, inliers = sampled
        objection = prior.objection(matrix) or _objection_to_overlap(_overlap(matrix, fixed, moving))
        if not objection:
            yield matrix, "features"
        elif inliers >= 3 * _LEAST_INLIERS:
            objections.append(objection)
    for matrix in _rough(fixed.grey_HW, moving.grey_HW, prior):
        yield matrix, "edges"


def _sample(moving_xy: Points, fixed_xy: Points) -> tuple[Matrix, int] | None:
    """Return the similarity that most matches agree on, and how many do."""
    if len(moving_xy) < _LEAST_INLIERS:
        return None
    cv2.setRNGSeed(0)
    linear, mask = cv2.estimateAffinePartial2D(
        moving_xy,
        fixed_xy,
        method=cv2.RANSAC,
        ransacReprojThreshold=_RANSAC_PX,
        maxIters=_RANSAC_TRIES,
        confidence=0.9999,
        refineIters=0,
    )
    if linear is None or int(mask.sum()) < _LEAST_INLIERS:
        return None
    chosen = mask.ravel() > 0
    return fit_similarity(moving_xy[chosen], fixed_xy[chosen], np.ones(int(chosen.sum()))), int(chosen.sum())


def _judge(edges_HW: Image, moving_HW: Image, matrix: Matrix, method: str) -> _Judged | None:
    """Return a transform refined on local places, and measured on them; None when there are too few."""
    for reach_px in _REACHES_PX[:-1]:
        places = find_places(edges_HW, moving_HW, matrix, reach_px=reach_px)
        chosen = _consensus(places)
        if chosen is None:
            return None
        matrix = fit_similarity(places.moving_xy[chosen], places.fixed_xy[chosen], places.correlation[chosen])
    places = find_places(edges_HW, moving_HW, matrix, reach_px=_REACHES_PX[-1])
    rigid = _fitted(places, matrix, method, affine=False)
    if rigid is None or rigid.inliers < 2 * _LEAST_PLACES:
        return rigid
    loose = _fitted(places, rigid.matrix, method, affine=True)
    return loose if loose is not None and _clearly_better(loose, rigid) else rigid


def _fitted(places: LocalMatches, matrix: Matrix, method: str, *, affine: bool) -> _Judged | None:
    """Return the fit to the places near it, taken anew three times; None when they are too few."""
    fit = fit_affine if affine else fit_similarity
    for _ in range(_FIT_ROUNDS):
        chosen = distances_px(matrix, places.moving_xy, places.fixed_xy) <= _KEPT_PX
        if chosen.sum() < _LEAST_PLACES:
            return None
        moving_xy, fixed_xy = places.moving_xy[chosen], places.fixed_xy[chosen]
        weights = np.maximum(places.correlation[chosen], 0.05) ** 2
        matrix = fit(moving_xy, fixed_xy, weights)
    return _Judged(
        matrix=matrix,
        method=f"{method}, {'affine' if affine else 'similarity'}",
        residual_px=held_out_px(moving_xy, fixed_xy, weights, affine=affine),
        inliers=int(chosen.sum()),
        score=agreement(distances_px(matrix, places.moving_xy, places.fixed_xy), reach_px=places.reach_px),
    )


def _clearly_better(loose: _Judged, rigid: _Judged) -> bool:
    """Return whether an affine fit explains places held out of it better, or many more places at all."""
    return (
        loose.residual_px < _AFFINE_GAIN * rigid.residual_px or loose.inliers > _MORE_PLACES * rigid.inliers
    )


def _consensus(places: LocalMatches) -> NDArray[np.bool_] | None:
    """Return which places agree on one similarity, None when too few do."""
    sampled = _sample(places.moving_xy, places.fixed_xy)
    if sampled is None:
        return None
    chosen = distances_px(sampled[0], places.moving_xy, places.fixed_xy) <= _RANSAC_PX
    return chosen & (places.correlation > 0) if (chosen & (places.correlation > 0)).sum() >= 2 else None


def _rough(fixed_HW: Image, moving_HW: Image, prior: Prior) -> Iterator[Matrix]:
    """Yield the shifts and turns at which the edges of two views correlate best, on small copies."""
    factor = max(*fixed_HW.shape, max(moving_HW.shape) * prior.scale) / _ROUGH_PX
    fixed_small = _small_edges(fixed_HW, 1 / factor)
    moving_small = _small_edges(moving_HW, prior.scale / factor)
    if prior.rotation_deg is None:
        turns = np.arange(-180.0, 180.0, 1.5)
    else:
        count = int(np.ceil(prior.max_rotation_deg))
        turns = prior.rotation_deg + np.arange(-count, count + 1)
    size = fft.next_fast_len(max(*fixed_small.shape, *moving_small.shape) * 2, real=True)
    spectrum = fft.rfft2(fixed_small, (size, size))
    peaks = []
    for turn in turns.tolist():
        turned, to_turned = _turned(moving_small, turn)
        response = fft.irfft2(spectrum * np.conj(fft.rfft2(turned, (size, size))), (size, size))
        y, x = np.unravel_index(int(response.argmax()), response.shape)
        shift = np.array([x, y], np.float64)
        shift[shift > size / 2] -= size
        placed = to_turned.copy()
        placed[:2, 2] += shift
        peaks.append((float(response.max()) / max(float(response.std()), 1e-12), placed))
    peaks.sort(key=lambda peak: -peak[0])
    shrink = Transform.reduction("small", factor=prior.scale / factor).matrix
    grow = np.linalg.inv(Transform.reduction("small", factor=1 / factor).matrix)
    for _, placed in peaks[:_ROUGH_PEAKS]:
        yield grow @ placed @ shrink


def _small_edges(grey_HW: Image, zoom: float) -> Image:
    height, width = (max(round(side * zoom), 8) for side in grey_HW.shape)
    edges = cv2.resize(edge_strength(grey_HW), (width, height), interpolation=cv2.INTER_AREA)
    small: Image = edges - cv2.blur(edges, (31, 31))
    return small


def _turned(image_HW: Image, turn: float) -> tuple[Image, Matrix]:
    """Return an image turned about its centre on a canvas that holds all of it, and the transform."""
    height, width = image_HW.shape
    side = int(np.ceil(np.hypot(height, width)))
    linear = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, 1.0)
    linear[:, 2] += [(side - width) / 2, (side - height) / 2]
    return cv2.warpAffine(image_HW, linear, (side, side)), np.vstack([linear, [0, 0, 1]])


def _overlap(matrix: Matrix, fixed: Features, moving: Features) -> float:
    """Return the share of the smaller view that lies on the other."""
    height, width = fixed.grey_HW.shape
    inside = cv2.warpAffine(np.ones(moving.grey_HW.shape, np.uint8), matrix[:2], (width, height))
    return float(inside.sum()) / min(inside.size, moving.grey_HW.size * scale_of(matrix) ** 2)


def _objection_to_overlap(overlap: float) -> str:
    if overlap >= _LEAST_OVERLAP:
        return ""
    return f"only {100 * overlap:.0f} % of the field is in both views"


def _verdict(
    best: _Judged | None,
    prior: Prior,
    objections: list[str],
    views: tuple[Features, Features],
    frames: tuple[str, str],
) -> Registration:
    """Return the registration with its verdict."""
    if best is None:
        reason = objections[0] if objections else "too few places of the two views look alike: another field?"
        return Registration("refused", reason, "none")
    reason = prior.objection(best.matrix)
    if best.score < _LEAST_SCORE:
        reason = (
            objections[0]
            if objections
            else (f"only {100 * best.score:.0f} % of the places agree on one transform: another field?")
        )
    elif not reason:
        reason = _objection_to_overlap(_overlap(best.matrix, *views))
    return Registration(
        verdict="refused" if reason else "accepted",
        reason=reason,
        method=best.method,
        moving_to_fixed=Transform(best.matrix, *frames),
        residual_px=best.residual_px,
        inliers=best.inliers,
        score=best.score,
    )
