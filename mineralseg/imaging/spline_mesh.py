"""Smooth displacements: cubic B-splines on a square mesh."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MESH = 4
"""Spline intervals a side."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Spline:
    """Displacements by cubic B-splines on a mesh over a box (x0, y0, x1, y1); constant beyond the box.

    `coefficients` (MESH + 3, MESH + 3, 2) are in map pixels.
    """

    box: tuple[float, float, float, float]
    coefficients: Matrix

    def at(self, across: Matrix, down: Matrix) -> Matrix:
        """Return the displacements (down, across, 2) at the crossings of columns and rows."""
        x0, y0, x1, y1 = self.box
        by_x, by_y = cubic_splines((across - x0) / (x1 - x0)), cubic_splines((down - y0) / (y1 - y0))
        displaced: Matrix = np.einsum("yi,xj,ijc->yxc", by_y, by_x, self.coefficients, optimize=True)
        return displaced


def cubic_splines(share: NDArray[np.floating[Any]]) -> Matrix:
    """Return the uniform cubic B-splines (n, MESH + 3) over 0..1 at places (n,), clipped to 0..1."""
    place = np.clip(share, 0, 1) * MESH
    distance = np.abs(place[:, None] - np.arange(-1, MESH + 2))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    values: Matrix = np.where(distance < 1, near, far).astype(np.float64)
    return values


def bending_form(side: int) -> Matrix:
    """Return the quadratic form of second differences along and across a mesh of coefficients."""
    second, first = np.diff(np.eye(side), 2, axis=0), np.diff(np.eye(side), 1, axis=0)
    one = np.eye(side)
    rows = [np.kron(second, one), np.kron(one, second), np.sqrt(2) * np.kron(first, first)]
    form: Matrix = sum((row.T @ row for row in rows), np.zeros((side**2, side**2)))
    return form
