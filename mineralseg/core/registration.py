"""How one image lies on another, with the evidence for it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.transforms import Transform

Verdict = Literal["accepted", "refused"]


@dataclass(frozen=True)
class Bend:
    """Small smooth displacements on a lattice over an image, bilinear between its knots.

    Knot (i, j) lies at x = j * step_px, y = i * step_px of the fixed image; beyond the lattice the
    nearest knot of its edge counts. `offset_xy` (rows, cols, 2) is in pixels of the moving image.
    """

    step_px: float
    offset_xy: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.offset_xy.shape
        if self.step_px <= 0 or len(shape) != 3 or min(shape[:2]) < 2 or shape[2] != 2:
            raise ValueError(f"a bend has a step and (rows, cols, 2) offsets, not {self.step_px}, {shape}")
        if not np.isfinite(self.offset_xy).all():
            raise ValueError("a bend has finite offsets")

    def at(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the displacements (n, 2) at points (n, 2) of the fixed image."""
        rows, cols = self.offset_xy.shape[:2]
        place = np.clip(points_xy / self.step_px, 0, [cols - 1, rows - 1])
        low = np.minimum(place.astype(np.intp), [cols - 2, rows - 2])
        x, y = (place - low).T[..., np.newaxis]
        left, top = low.T
        knots = self.offset_xy
        upper = (1 - x) * knots[top, left] + x * knots[top, left + 1]
        lower = (1 - x) * knots[top + 1, left] + x * knots[top + 1, left + 1]
        displaced: NDArray[np.float64] = (1 - y) * upper + y * lower
        return displaced


@dataclass(frozen=True)
class Warp:
    """Where the pixels of a fixed image lie in a moving one: a transform, and perhaps a bend on top."""

    fixed_to_moving: Transform
    bend: Bend | None = None

    def apply(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (n, 2) of the fixed image in the moving one, in pixels (x, y)."""
        moved = self.fixed_to_moving.apply(points_xy)
        return moved if self.bend is None else moved + self.bend.at(points_xy)


@dataclass(frozen=True)
class Registration:
    """What a registration found: evidence, not a bare matrix. Refused is a value with a reason.

    Attributes:
        verdict: accepted, or refused and then not to be used.
        reason: why, in one sentence; empty when accepted.
        method: how it was found, as `features, similarity`.
        moving_to_fixed: the transform; None when none was found.
        bend: what remains on top of its inverse, None for none.
        residual_px: how far matched places still lie apart, pixels of the fixed image; None if unknown.
        inliers: matched places that agree with the transform.
        score: 0 (chance) to 1 (certain).
    """

    verdict: Verdict
    reason: str
    method: str
    moving_to_fixed: Transform | None = None
    bend: Bend | None = None
    residual_px: float | None = None
    inliers: int = 0
    score: float = 0.0

    def __post_init__(self) -> None:
        if self.verdict == "accepted" and (self.moving_to_fixed is None or self.residual_px is None):
            raise ValueError("an accepted registration has a transform and a residual")
        if (self.verdict == "refused") != bool(self.reason):
            raise ValueError("a registration has a reason exactly when it is refused")

    @property
    def rotation_deg(self) -> float | None:
        """The turn from moving to fixed, counter-clockwise on screen, -180..180.

        A mirror image is flipped left to right first.
        """
        linear = self._linear()
        if linear is None:
            return None
        upright = linear * [-1, 1] if self.mirrored else linear
        return float(np.rad2deg(np.arctan2(upright[0, 1] - upright[1, 0], upright[0, 0] + upright[1, 1])))

    @property
    def scale(self) -> float | None:
        """Fixed pixels a moving pixel, the mean of both directions."""
        linear = self._linear()
        return None if linear is None else float(np.sqrt(abs(np.linalg.det(linear))))

    @property
    def mirrored(self) -> bool:
        """Whether one image is the mirror image of the other."""
        linear = self._linear()
        return linear is not None and float(np.linalg.det(linear)) < 0

    @property
    def warp(self) -> Warp:
        """Where pixels of the fixed image lie in the moving one."""
        if self.moving_to_fixed is None:
            raise ValueError(f"nothing was registered: {self.reason}")
        return Warp(self.moving_to_fixed.inverse(), self.bend)

    def to_row(self) -> dict[str, Any]:
        """Return the plain form, with rounded numbers."""
        matrix = None if self.moving_to_fixed is None else self.moving_to_fixed.matrix
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "moving_to_fixed": None
            if matrix is None
            else [[float(f"{v:.10g}") for v in row] for row in matrix],
            "rotation_deg": _rounded(self.rotation_deg, 4),
            "scale": _rounded(self.scale, 6),
            "mirrored": self.mirrored,
            "bent_px": None if self.bend is None else _rounded(_longest(self.bend), 3),
            "residual_px": _rounded(self.residual_px, 4),
            "inliers": self.inliers,
            "score": _rounded(self.score, 4),
            "method": self.method,
        }

    def _linear(self) -> NDArray[np.float64] | None:
        return None if self.moving_to_fixed is None else self.moving_to_fixed.matrix[:2, :2]


def _longest(bend: Bend) -> float:
    return float(np.hypot(bend.offset_xy[..., 0], bend.offset_xy[..., 1]).max())


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)
