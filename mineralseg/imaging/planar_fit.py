"""Similarities and affine transforms fitted to matched places, and how far those then lie apart."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]
"""3x3, moving (x, y) to fixed (x, y)."""


def fit_similarity(moving_xy: Points, fixed_xy: Points, weights: NDArray[np.float64]) -> Matrix:
    """Return the turn, scale and shift of least weighted squared error.

    Closed form of Umeyama (1991, doi:10.1109/34.88573) without mirroring.
    """
    total = weights.sum()
    center_m, center_f = weights @ moving_xy / total, weights @ fixed_xy / total
    x, y = (moving_xy - center_m).T
    u, v = (fixed_xy - center_f).T
    power = max(float(weights @ (x**2 + y**2)), 1e-12)
    cosine, sine = float(weights @ (x * u + y * v)) / power, float(weights @ (x * v - y * u)) / power
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return _whole(linear, center_f - linear @ center_m)


def fit_affine(moving_xy: Points, fixed_xy: Points, weights: NDArray[np.float64]) -> Matrix:
    """Return the affine transform of least weighted squared error."""
    root = np.sqrt(weights)[:, np.newaxis]
    design = np.column_stack([moving_xy, np.ones(len(moving_xy))])
    solution, *_ = np.linalg.lstsq(design * root, fixed_xy * root, rcond=None)
    return _whole(solution[:2].T, solution[2])


def distances_px(matrix: Matrix, moving_xy: Points, fixed_xy: Points) -> NDArray[np.float64]:
    """Return how far each moved place lies from its mate."""
    apart = moving_xy @ matrix[:2, :2].T + matrix[:2, 2] - fixed_xy
    return np.hypot(apart[:, 0], apart[:, 1])


def held_out_px(moving_xy: Points, fixed_xy: Points, weights: NDArray[np.float64], *, affine: bool) -> float:
    """Return the root mean square distance of places to the fit of the other half, both ways."""
    fit = fit_affine if affine else fit_similarity
    even = np.arange(len(moving_xy)) % 2 == 0
    squares, total = 0.0, 0.0
    for part in (even, ~even):
        matrix = fit(moving_xy[part], fixed_xy[part], weights[part])
        apart = distances_px(matrix, moving_xy[~part], fixed_xy[~part])
        squares += float(weights[~part] @ apart**2)
        total += float(weights[~part].sum())
    return float(np.sqrt(squares / total))


def turn_deg(matrix: Matrix) -> float:
    """Return the turn, counter-clockwise on screen."""
    return float(np.rad2deg(np.arctan2(matrix[0, 1] - matrix[1, 0], matrix[0, 0] + matrix[1, 1])))


def scale_of(matrix: Matrix) -> float:
    """Return fixed pixels a moving pixel."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


def shear_of(matrix: Matrix) -> float:
    """Return how far the transform is from a similarity: 1 - ratio of its two stretches."""
    stretches = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    return float(1 - stretches[1] / max(stretches[0], 1e-12))


def _whole(linear: Matrix, shift: NDArray[np.float64]) -> Matrix:
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, shift
    return matrix
