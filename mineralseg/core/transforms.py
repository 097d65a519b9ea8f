"""Planar transforms that know which frames they connect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Transform:
    """A 3x3 matrix that takes points (x, y) in pixels of `source` to pixels of `target`.

    Pixel centres are at whole numbers. Laws: `t @ t.inverse()` is the identity, composition is
    associative, frames that do not meet raise.
    """

    matrix: NDArray[np.float64]
    source: str
    target: str

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or not np.isfinite(self.matrix).all():
            raise ValueError(f"a transform is a finite 3x3 matrix, not {self.matrix!r}")

    @classmethod
    def similarity(
        cls,
        source: str,
        target: str,
        *,
        rotation_deg: float,
        scale: float,
        shift_xy_px: tuple[float, float],
        centre_xy_px: tuple[float, float],
    ) -> "Transform":
        """Return a turn (counter-clockwise on screen) and scaling about a centre, then a shift."""
        angle = np.deg2rad(rotation_deg)
        linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = np.asarray(centre_xy_px)
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = centre + np.asarray(shift_xy_px) - linear @ centre
        return cls(matrix, source, target)

    @classmethod
    def reduction(cls, frame: str, *, factor: float) -> "Transform":
        """Return the transform from an image of block means, `factor` pixels a side, to the image itself."""
        half = (factor - 1) / 2
        matrix = np.array([[factor, 0, half], [0, factor, half], [0, 0, 1]], np.float64)
        return cls(matrix, f"{frame} reduced", frame)

    def __matmul__(self, first: "Transform") -> "Transform":
        """Return the transform that applies `first`, then this one."""
        if first.target != self.source:
            raise ValueError(f"{first.source} -> {first.target} does not meet {self.source} -> {self.target}")
        return Transform(self.matrix @ first.matrix, first.source, self.target)

    def inverse(self) -> "Transform":
        """Return the transform back."""
        return Transform(np.linalg.inv(self.matrix).astype(np.float64), self.target, self.source)

    def apply(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (n, 2) of the source frame in the target frame."""
        homogeneous = np.column_stack([points_xy, np.ones(len(points_xy))]) @ self.matrix.T
        return homogeneous[:, :2] / homogeneous[:, 2:]
