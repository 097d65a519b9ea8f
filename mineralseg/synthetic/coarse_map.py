"""A coarse mineral map of a section, as an automated SEM (QEMSCAN, MLA, TIMA) or a micro-XRF makes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE, Legend
from mineralseg.core.transforms import Transform

_MAX_SHIFT_MAP_PX = 2.0
_MAX_ROTATION_DEG = 1.0
_MAX_SCALE_ERROR = 0.01
_BEAM_UM = 2.0
_MAP_UM = 10.0
_MIXED_SHARE = 0.35
_MISIDENTIFIED_SHARE = 0.02
_MODES = 6
_MODE_CYCLES = (0.4, 1.4)
_MODE_GRID = 24


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
    spots_xy = grid.map_to_fixed.apply(_centres_xy(side)) + margin_px
    named = _identify(
        classes_HW,
        spots_xy,
        minerals=len(legend),
        beam_px=_BEAM_UM / pixel_size_um,
        wrong_share=_MISIDENTIFIED_SHARE,
        rng=rng,
    )
    palette = np.array([mineral.rgb for mineral in legend.minerals], np.uint8)
    return palette[named].reshape(side, side, 3)


@dataclass(frozen=True)
class Misplacement:
    """How badly a map that nobody aligned lies on a section, and how badly it was measured.

    Attributes:
        orientation: 0..7: this modulo four quarter turns counter-clockwise, from 4 on after a flip left
            to right.
        rotation_deg: on top of the orientation, counter-clockwise.
        scale_change: relative error of the map's pixel size.
        shift_xy_um: from the middle of the section to the middle of the map.
        elastic_um: length of the longest smooth displacement; charging and stage drift bend real maps so.
        wrong_share: of spots that get the name of any mineral.
    """

    orientation: int
    rotation_deg: float
    scale_change: float
    shift_xy_um: tuple[float, float]
    elastic_um: float
    wrong_share: float


@dataclass(frozen=True)
class MisplacedMap:
    """A map far from its place, with the truth.

    `classes_HW` are class indices, `IGNORE` outside the section. A map pixel was seen at
    `seen_at(points_xy)` of the section: where `map_to_fixed` takes it, moved by waves with `cycles`
    (n, 2) per pixel of the section, `phase` (n,) and `reach_px` (n, 2).
    """

    classes_HW: NDArray[np.uint8]
    map_to_fixed: Transform
    cycles: NDArray[np.float64]
    phase: NDArray[np.float64]
    reach_px: NDArray[np.float64]

    def seen_at(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points (n, 2) of the map, in map pixels, lie on the section, in its pixels."""
        placed = self.map_to_fixed.apply(points_xy)
        return placed + _waves(placed, self.cycles, self.phase) @ self.reach_px


def draw_misplacement(rng: np.random.Generator) -> Misplacement:
    """Return a random misplacement as hard as a registration must bear: any orientation, 5 degrees, 3 %."""
    length_um, heading = 250 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    return Misplacement(
        orientation=int(rng.integers(8)),
        rotation_deg=float(rng.uniform(-5, 5)),
        scale_change=float(rng.uniform(-0.03, 0.03)),
        shift_xy_um=(float(length_um * np.cos(heading)), float(length_um * np.sin(heading))),
        elastic_um=20.0,
        wrong_share=0.05,
    )


def scan_misplaced(
    classes_HW: NDArray[np.uint8],
    misplacement: Misplacement,
    *,
    minerals: int,
    pixel_size_um: float,
    field_um: float,
    rng: np.random.Generator,
) -> MisplacedMap:
    """Return the map (10 um a pixel) of a square field of a section, out of place as told.

    Args:
        classes_HW: class indices of the section.
        misplacement: how it lies.
        minerals: how many names a wrong spot may get.
        pixel_size_um: of `classes_HW`.
        field_um: side of the field.
        rng: source of randomness.
    """
    height, width = classes_HW.shape
    side, scale = round(field_um / _MAP_UM), _MAP_UM / pixel_size_um
    map_to_fixed = _misplaced(misplacement, side, (width, height), pixel_size_um=pixel_size_um)
    cycles, phase, reach_px = _draw_waves(rng, (width, height), misplacement.elastic_um / pixel_size_um)
    truth = MisplacedMap(np.zeros((side, side), np.uint8), map_to_fixed, cycles, phase, reach_px)
    spots_xy = truth.seen_at(_centres_xy(side))
    named = _identify(
        classes_HW,
        spots_xy,
        minerals=minerals,
        beam_px=_BEAM_UM / _MAP_UM * scale,
        wrong_share=misplacement.wrong_share,
        rng=rng,
    )
    inside = ((spots_xy > -0.5) & (spots_xy < np.array([width, height]) - 0.5)).all(axis=1)
    named = np.where(inside, named, IGNORE).astype(np.uint8).reshape(side, side)
    return MisplacedMap(named, map_to_fixed, cycles, phase, reach_px)


def _misplaced(
    misplacement: Misplacement, side: int, size_px: tuple[int, int], *, pixel_size_um: float
) -> Transform:
    """Return the transform of a misplaced map of `side` pixels to a section of (width, height)."""
    middle = np.array(size_px) / 2 - 0.5 + np.array(misplacement.shift_xy_um) / pixel_size_um
    map_middle = (side - 1) / 2
    flip = np.eye(3)
    if misplacement.orientation >= 4:
        flip[0] = [-1, 0, side - 1]
    placed = Transform.similarity(
        "flipped map",
        "section",
        rotation_deg=90.0 * (misplacement.orientation % 4) + misplacement.rotation_deg,
        scale=_MAP_UM / pixel_size_um * (1 + misplacement.scale_change),
        shift_xy_px=(float(middle[0]) - map_middle, float(middle[1]) - map_middle),
        centre_xy_px=(map_middle, map_middle),
    )
    return placed @ Transform(flip, "coarse map", "flipped map")


def _draw_waves(
    rng: np.random.Generator, size_px: tuple[int, int], longest_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return cycles per pixel, phases and reach of smooth waves whose longest sum is `longest_px`."""
    heading = rng.uniform(0, 2 * np.pi, _MODES)
    cycles = rng.uniform(*_MODE_CYCLES, _MODES) / max(size_px) * np.array([np.cos(heading), np.sin(heading)])
    phase, reach = rng.uniform(0, 2 * np.pi, _MODES), rng.normal(0, 1, (_MODES, 2))
    across, down = (np.linspace(0, size - 1, _MODE_GRID) for size in size_px)
    grid_xy = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    longest = np.hypot(*(_waves(grid_xy, cycles.T, phase) @ reach).T).max()
    return cycles.T, phase, reach * longest_px / longest


def _waves(
    points_xy: NDArray[np.float64], cycles: NDArray[np.float64], phase: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the height (points, waves) of every wave at points (n, 2)."""
    waves: NDArray[np.float64] = np.cos(2 * np.pi * points_xy @ cycles.T + phase)
    return waves


def _centres_xy(side: int) -> NDArray[np.float64]:
    """Return the pixel centres (side * side, 2) of a square map, row by row."""
    down, across = np.mgrid[:side, :side]
    return np.column_stack([across.ravel(), down.ravel()]).astype(np.float64)


def _identify(
    classes_HW: NDArray[np.uint8],
    spots_xy: NDArray[np.float64],
    *,
    minerals: int,
    beam_px: float,
    wrong_share: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the class that the beam names at each spot (n, 2); beyond the edge that of the edge."""
    furthest = np.array(classes_HW.shape[::-1]) - 1

    def seen(spread_px: float) -> NDArray[np.uint8]:
        place = np.rint(spots_xy + rng.normal(0, spread_px, spots_xy.shape)).astype(np.intp)
        place = np.clip(place, 0, furthest)
        return classes_HW[place[:, 1], place[:, 0]]

    spot, nearby = seen(beam_px), seen(3 * beam_px)
    straddles = (spot != nearby) & (rng.random(len(spot)) < _MIXED_SHARE)
    anything = rng.integers(0, minerals, len(spot), dtype=np.uint8)
    mixed = np.where(rng.random(len(spot)) < 0.5, nearby, anything)
    named = np.where(straddles, mixed, spot)
    return np.where(rng.random(len(spot)) < wrong_share, anything, named)
