"""Images laid on each other by pairs of points that a person picked."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from mineralseg.core.registration import Bend, Registration
from mineralseg.core.transforms import Transform

Points = NDArray[np.float64]

_LEAST_PAIRS = 3
_LEAST_FOR_BLAME = 5
_LEAST_FOR_SPLINE = 5
_LATTICE = 63
_FLAT = 0.02
_BLAME_FACTOR = 6.0
_BLAME_PX = 3.0
_MARGIN_PX = 1.0


def register_landmarks(
    moving_xy: Points,
    fixed_xy: Points,
    *,
    fixed_size_px: tuple[int, int],
    bend: bool,
    frames: tuple[str, str],
) -> Registration:
    """Return the transform through pairs of points, and a thin-plate spline for what an affine one leaves.

    The spline (Bookstein 1989, doi:10.1109/34.24792) bends least of all surfaces through the points; it is
    evaluated on a lattice of at most 64 x 64 knots, so that its cost does not grow with the image. Outside
    the points it extrapolates: pick some near the corners. The residual is the median leave-one-out error,
    how far a pair lies from where the others alone put it; for three pairs the others give a similarity.

    Args:
        moving_xy: points (n, 2) of the moving image or map, pixels.
        fixed_xy: the same places on the fixed image, pixels.
        fixed_size_px: its width and height.
        bend: whether to use the spline; fewer than five pairs give an affine transform all the same.
        frames: names of the moving and of the fixed image.

    Returns:
        Refused when there are fewer than three pairs, a point twice or outside the fixed image, all on a
        line, or one pair that contradicts the others; the reason counts pairs from 1.
    """
    method = "landmarks, affine"
    if moving_xy.shape != fixed_xy.shape or moving_xy.ndim != 2 or moving_xy.shape[1] != 2:
        raise ValueError(f"landmarks are two equal lists of (x, y): {moving_xy.shape}, {fixed_xy.shape}")
    reason = _malformed(moving_xy, fixed_xy) or _outside(fixed_xy, fixed_size_px)
    if reason:
        return Registration("refused", reason, method)
    matrix = _affine(moving_xy, fixed_xy)
    spline = bend and len(fixed_xy) >= _LEAST_FOR_SPLINE
    left_out_px = _left_out(moving_xy, fixed_xy, spline=spline)
    residual_px = float(np.median(left_out_px))
    spread_px = float(np.median(np.linalg.norm(fixed_xy - fixed_xy.mean(axis=0), axis=1)))
    reason = _contradiction(moving_xy, fixed_xy, matrix)
    transform = Transform(matrix, *frames)
    return Registration(
        "refused" if reason else "accepted",
        reason,
        "landmarks, thin-plate spline" if spline else method,
        moving_to_fixed=transform,
        bend=_bend(moving_xy, fixed_xy, transform, fixed_size_px) if spline else None,
        residual_px=residual_px,
        inliers=len(fixed_xy),
        score=max(1 - residual_px / spread_px, 0.0),
    )


def _malformed(moving_xy: Points, fixed_xy: Points) -> str:
    """Return what makes points unusable whatever they mean, empty if nothing does."""
    if len(fixed_xy) < _LEAST_PAIRS:
        return f"{len(fixed_xy)} pairs of landmarks, at least {_LEAST_PAIRS} are needed"
    for name, points in (("map or moving", moving_xy), ("fixed", fixed_xy)):
        if not np.isfinite(points).all():
            row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0]) + 1
            return f"pair {row} has no number in the {name} image"
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        twice = np.argwhere(np.triu(distances < 1e-6, 1))
        if len(twice):
            return f"pairs {twice[0, 0] + 1} and {twice[0, 1] + 1} are the same point of the {name} image"
        on_line = _on_one_line(points)
        if on_line:
            return f"{on_line} the landmarks of the {name} image lie on one line; pick more beside it"
    return ""


def _on_one_line(points: Points) -> str:
    """Return the start of a complaint when all points, or all but one, lie on one line; else nothing."""
    if _flat(points):
        return "all"
    if len(points) > _LEAST_PAIRS:
        for row in range(len(points)):
            if _flat(np.delete(points, row, axis=0)):
                return f"but for pair {row + 1}"
    return ""


def _flat(points: Points) -> bool:
    """Return whether points lie on one line, as far as a transform is concerned."""
    sizes = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(sizes[1] < _FLAT * sizes[0])


def _outside(fixed_xy: Points, fixed_size_px: tuple[int, int]) -> str:
    """Return which pair lies outside the fixed image, empty if none does."""
    beyond = ((fixed_xy < -_MARGIN_PX) | (fixed_xy > np.array(fixed_size_px) - 1 + _MARGIN_PX)).any(axis=1)
    if not beyond.any():
        return ""
    row = int(np.flatnonzero(beyond)[0])
    x, y = fixed_xy[row]
    width, height = fixed_size_px
    return (
        f"pair {row + 1} lies at ({x:.0f}, {y:.0f}), outside the fixed image of {width} x {height} px; "
        "are x and y, or the images, exchanged?"
    )


def _contradiction(moving_xy: Points, fixed_xy: Points, matrix: NDArray[np.float64]) -> str:
    """Return which single pair contradicts all others, empty if none does.

    It is the one without which the others agree best; it must lie far from where they put it, compared
    with how well they agree, and more than a few moving pixels.
    """
    count = len(fixed_xy)
    if count < _LEAST_FOR_BLAME:
        return ""
    others_px, own_px = np.empty(count), np.empty(count)
    for row in range(count):
        moving, fixed = np.delete(moving_xy, row, axis=0), np.delete(fixed_xy, row, axis=0)
        others_px[row] = float(np.median(_left_out_affine(moving, fixed)))
        placed = Transform(_affine(moving, fixed), "moving", "fixed").apply(moving_xy[row : row + 1])
        own_px[row] = float(np.linalg.norm(placed[0] - fixed_xy[row]))
    suspect = int(np.argmin(others_px))
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if own_px[suspect] <= max(_BLAME_FACTOR * others_px[suspect], _BLAME_PX * scale):
        return ""
    return (
        f"pair {suspect + 1} lies {own_px[suspect]:.1f} px from where the others put it, and these agree "
        f"within {others_px[suspect]:.1f} px; correct or remove it"
    )


def _left_out(moving_xy: Points, fixed_xy: Points, *, spline: bool) -> NDArray[np.float64]:
    """Return how far (n,), in fixed pixels, every pair lies from where the others put it."""
    if not spline:
        return _left_out_affine(moving_xy, fixed_xy)
    errors = np.empty(len(fixed_xy))
    for row in range(len(fixed_xy)):
        moving, fixed = np.delete(moving_xy, row, axis=0), np.delete(fixed_xy, row, axis=0)
        plate = _plate(moving, fixed)
        errors[row] = np.linalg.norm(plate(moving_xy[row : row + 1])[0] - fixed_xy[row])
    return errors


def _left_out_affine(moving_xy: Points, fixed_xy: Points) -> NDArray[np.float64]:
    """Return leave-one-out errors (n,) of an affine fit, of a similarity for three pairs."""
    if len(fixed_xy) == _LEAST_PAIRS:
        mirrored = float(np.linalg.det(_affine(moving_xy, fixed_xy)[:2, :2])) < 0
        return _left_out_similarity(moving_xy * [-1, 1] if mirrored else moving_xy, fixed_xy)
    design = np.column_stack([moving_xy, np.ones(len(moving_xy))])
    hat = design @ np.linalg.pinv(design)
    misfit = fixed_xy - hat @ fixed_xy
    errors: NDArray[np.float64] = np.linalg.norm(misfit, axis=1) / np.maximum(1 - np.diag(hat), 1e-9)
    return errors


def _left_out_similarity(moving_xy: Points, fixed_xy: Points) -> NDArray[np.float64]:
    """Return how far each of three pairs lies from where a similarity through the other two puts it."""
    moving, fixed = moving_xy @ [1, 1j], fixed_xy @ [1, 1j]
    errors = np.empty(len(fixed))
    for row in range(len(fixed)):
        one, other = (row + 1) % 3, (row + 2) % 3
        factor = (fixed[other] - fixed[one]) / (moving[other] - moving[one])
        errors[row] = abs(fixed[one] + factor * (moving[row] - moving[one]) - fixed[row])
    return errors


def _affine(moving_xy: Points, fixed_xy: Points) -> NDArray[np.float64]:
    """Return the least-squares affine matrix, 3x3."""
    design = np.column_stack([moving_xy, np.ones(len(moving_xy))])
    matrix = np.eye(3)
    matrix[:2] = np.linalg.lstsq(design, fixed_xy, rcond=None)[0].T
    return matrix


def _plate(from_xy: Points, to_xy: Points) -> RBFInterpolator:
    return RBFInterpolator(from_xy, to_xy, kernel="thin_plate_spline", degree=1)


def _bend(
    moving_xy: Points,
    fixed_xy: Points,
    transform: Transform,
    fixed_size_px: tuple[int, int],
) -> Bend:
    """Return what the spline adds to the affine way back, on a lattice over the fixed image."""
    width, height = fixed_size_px
    step_px = max(width - 1, height - 1, 1) / _LATTICE
    cols, rows = (max(int(np.ceil((side - 1) / step_px)) + 1, 2) for side in (width, height))
    down, across = np.mgrid[:rows, :cols]
    knots_xy = step_px * np.column_stack([across.ravel(), down.ravel()])
    left_xy = moving_xy - transform.inverse().apply(fixed_xy)
    offset_xy = _plate(fixed_xy, left_xy)(knots_xy)
    return Bend(step_px, np.asarray(offset_xy, np.float64).reshape(rows, cols, 2))
