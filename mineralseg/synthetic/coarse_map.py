"""A coarse mineral map of a section, as an automated SEM (QEMSCAN, MLA, TIMA) or a micro-XRF makes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import Legend
from mineralseg.core.transforms import Transform

_MAX_SHIFT_MAP_PX = 2.0
_MAX_ROTATION_DEG = 1.0
_MAX_SCALE_ERROR = 0.01
_BEAM_UM = 2.0
_MIXED_SHARE = 0.35
_MISIDENTIFIED_SHARE = 0.02


@dataclass(frozen=True)
class MapGrid:
    """Where the pixels of a map lie on a section: side in map pixels, and the transform to the section."""

    side_px: int
    map_to_fixed: Transform


def reach_px(size_px: int, *, scale: float) -> float:
    """Return how far (px) a map of `scale` section pixels a map pixel can stick out of a section."""
    turned = np.deg2rad(_MAX_ROTATION_DEG) + _MAX_SCALE_ERROR
    return float(0.75 * size_px * turned + (_MAX_SHIFT_MAP_PX + 1.5) * scale)


def draw_grid(rng: np.random.Generator, *, size_px: int, scale: float, fixed: str) -> MapGrid:
    """Return a map grid that covers a section, a little shifted, turned and scaled.

    Args:
        rng: source of randomness.
        size_px: side of the section.
        scale: section pixels a map pixel.
        fixed: name of the section's frame.
    """
    side = max(round(size_px / scale), 1)
    center, map_center = (size_px - 1) / 2, (side - 1) / 2
    shift_x, shift_y = scale * rng.uniform(-_MAX_SHIFT_MAP_PX, _MAX_SHIFT_MAP_PX, 2)
    map_to_fixed = Transform.similarity(
        "coarse map",
        fixed,
        rotation_deg=float(rng.uniform(-_MAX_ROTATION_DEG, _MAX_ROTATION_DEG)),
        scale=scale * float(rng.uniform(1 - _MAX_SCALE_ERROR, 1 + _MAX_SCALE_ERROR)),
        shift_xy_px=(center - map_center + float(shift_x), center - map_center + float(shift_y)),
        centre_xy_px=(map_center, map_center),
    )
    return MapGrid(side, map_to_fixed)


def scan_map(
    classes_HW: NDArray[np.uint8],
    grid: MapGrid,
    legend: Legend,
    *,
    margin_px: int,
    pixel_size_um: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the map an electron beam draws, one spot a map pixel, in the colours of the legend.

    Spots that straddle a boundary give a mixed spectrum, and some of them another mineral's name; so do
    a few anywhere.

    Args:
        classes_HW: class indices of the canvas, wider than the section by `margin_px` on every side.
        grid: where to put the spots.
        legend: of the class indices.
        margin_px: see `classes_HW`.
        pixel_size_um: of `classes_HW`.
        rng: source of randomness.

    Returns:
        uint8 RGB (side, side, 3).
    """
    side = grid.side_px
    down, across = np.mgrid[:side, :side]
    spots_xy = grid.map_to_fixed.apply(np.column_stack([across.ravel(), down.ravel()]).astype(np.float64))
    beam_px = _BEAM_UM / pixel_size_um

    def seen(spread_px: float) -> NDArray[np.uint8]:
        place = np.rint(spots_xy + rng.normal(0, spread_px, spots_xy.shape)).astype(np.intp) + margin_px
        place = np.clip(place, 0, len(classes_HW) - 1)
        return classes_HW[place[:, 1], place[:, 0]]

    spot, nearby = seen(beam_px), seen(3 * beam_px)
    straddles = (spot != nearby) & (rng.random(len(spot)) < _MIXED_SHARE)
    anything = rng.integers(0, len(legend), len(spot), dtype=np.uint8)
    mixed = np.where(rng.random(len(spot)) < 0.5, nearby, anything)
    named = np.where(straddles, mixed, spot)
    named = np.where(rng.random(len(spot)) < _MISIDENTIFIED_SHARE, anything, named)
    palette = np.array([mineral.rgb for mineral in legend.minerals], np.uint8)
    return palette[named].reshape(side, side, 3)
