"""Places of two views found on each other by their edges, once they roughly lie on one another.

Grain boundaries, cracks and cleavage show under every illumination, though bright may turn to dark; so
what is compared is the strength of edges, not brightness. The same measurement refines a transform,
tells how far places still lie apart, and tells a right transform from a wrong one: on a wrong one the
best places scatter over all that was searched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.imaging.planar_fit import Matrix, Points

Image = NDArray[Any]
"""float32 (H, W)."""

_PATCH_PX = 64
_MOST_PATCHES = 320
_EDGE_SIGMA_PX = 1.2
_SURROUND_PX = 31
_LEAST_STRUCTURE = 0.02
_TOLERANCE_PX = 1.5


@dataclass(frozen=True)
class LocalMatches:
    """Places of the moving view and where they were found in the fixed one (n, 2), with their correlation."""

    moving_xy: Points
    fixed_xy: Points
    correlation: NDArray[np.float64]
    reach_px: int


def joined(parts: Sequence[LocalMatches]) -> LocalMatches:
    """Return the places of several windows together; there is at least one window."""
    return LocalMatches(
        moving_xy=np.concatenate([part.moving_xy for part in parts]),
        fixed_xy=np.concatenate([part.fixed_xy for part in parts]),
        correlation=np.concatenate([part.correlation for part in parts]),
        reach_px=parts[0].reach_px,
    )


def edge_strength(grey_HW: Image) -> Image:
    """Return gradient magnitude relative to its surround, 0..1: no strong edge outweighs the rest."""
    soft_HW = cv2.GaussianBlur(grey_HW, (0, 0), _EDGE_SIGMA_PX)
    across, down = cv2.Sobel(soft_HW, cv2.CV_32F, 1, 0), cv2.Sobel(soft_HW, cv2.CV_32F, 0, 1)
    strength_HW = cv2.magnitude(across, down)
    surround_HW = cv2.blur(strength_HW, (_SURROUND_PX, _SURROUND_PX))
    edges_HW: Image = strength_HW / (strength_HW + surround_HW + np.float32(1e-3))
    return edges_HW


def find_places(fixed_HW: Image, moving_HW: Image, matrix: Matrix, *, reach_px: int) -> LocalMatches:
    """Return where patches of a moving view lie in a fixed one, near where `matrix` puts them.

    Args:
        fixed_HW: edge strength of the fixed view.
        moving_HW: brightness of the moving view.
        matrix: 3x3, moving to fixed.
        reach_px: how far around the expected place to look.
    """
    height, width = fixed_HW.shape
    placed_HW = cv2.warpAffine(moving_HW, matrix[:2], (width, height), flags=cv2.INTER_LINEAR)
    inside_HW = cv2.warpAffine(np.ones(moving_HW.shape, np.uint8), matrix[:2], (width, height))
    inside_HW = cv2.erode(inside_HW, np.ones((5, 5), np.uint8), borderValue=0)
    edges_HW = edge_strength(placed_HW)
    found, places, strengths = [], [], []
    for left, top in _corners(inside_HW, reach_px):
        patch = edges_HW[top : top + _PATCH_PX, left : left + _PATCH_PX]
        area = fixed_HW[
            top - reach_px : top + _PATCH_PX + reach_px, left - reach_px : left + _PATCH_PX + reach_px
        ]
        if patch.std() < _LEAST_STRUCTURE or area.std() < _LEAST_STRUCTURE:
            continue
        shift_xy, peak = _peak(cv2.matchTemplate(area, patch, cv2.TM_CCOEFF_NORMED))
        center = np.array([left, top]) + (_PATCH_PX - 1) / 2
        places.append(center)
        found.append(center + shift_xy - reach_px)
        strengths.append(peak)
    on_fixed = np.array(places, np.float64).reshape(-1, 2)
    back = np.linalg.inv(matrix)
    return LocalMatches(
        moving_xy=on_fixed @ back[:2, :2].T + back[:2, 2],
        fixed_xy=np.array(found, np.float64).reshape(-1, 2),
        correlation=np.array(strengths, np.float64),
        reach_px=reach_px,
    )


def agreement(distances_px: NDArray[np.float64], *, reach_px: int) -> float:
    """Return the share of places within 1.5 px of a transform, from 0 (as many as chance puts there) to 1."""
    if not len(distances_px):
        return 0.0
    chance = np.pi * _TOLERANCE_PX**2 / (2 * reach_px + 1) ** 2
    share = float((distances_px <= _TOLERANCE_PX).mean())
    return max(0.0, (share - chance) / (1 - chance))


def _corners(inside_HW: NDArray[Any], reach_px: int) -> list[tuple[int, int]]:
    """Return top left corners (x, y) of patches that lie inside both views with all their search area."""
    height, width = inside_HW.shape
    step = max(_PATCH_PX // 2, int(np.sqrt(height * width / _MOST_PATCHES)))
    count = cv2.integral(inside_HW)
    side = _PATCH_PX + 2 * reach_px
    corners = []
    for y in range(0, height - side + 1, step):
        for x in range(0, width - side + 1, step):
            full = count[y + side, x + side] - count[y, x + side] - count[y + side, x] + count[y, x]
            if full == side * side:
                corners.append((x + reach_px, y + reach_px))
    return corners


def _peak(response_HW: Image) -> tuple[NDArray[np.float64], float]:
    """Return the place (x, y) of the highest value, between pixels by a parabola, and the value."""
    _, peak, _, (x, y) = cv2.minMaxLoc(response_HW)
    return np.array([x + _between(response_HW[y], x), y + _between(response_HW[:, x], y)]), float(peak)


def _between(line: Image, at: int) -> float:
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = (float(value) for value in line[at - 1 : at + 2])
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
