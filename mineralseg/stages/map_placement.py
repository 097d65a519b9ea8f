"""A coarse mineral map placed on the views of its field, by its edges or by marked places, and judged."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import CoarseMap
from mineralseg.core.geometry import strips
from mineralseg.core.legend import IGNORE
from mineralseg.core.registration import Bend, Registration
from mineralseg.imaging.map_registration import register_map
from mineralseg.imaging.map_search import MapPrior
from mineralseg.imaging.warp import resample_labels
from mineralseg.io.raster import probe
from mineralseg.stages.marked_places import register_marked_places
from mineralseg.stages.registering import ReducedView, read_reduced

LANDMARKS_NAME = "landmarks.csv"
"""Beside the map of a sample: places that a person marked, which then replace the search."""

MAP, IMAGE = "map", "image"
_STRIP_PX = 512
_OPTICAL_MAP_PX = 0.5
"""Map pixels a pixel of the views in the search; finer adds cost and no accuracy."""

_FINE_MAP_PX = 4
"""Below so many pixels a map pixel the views are brought to map pixels, or memory would grow."""


def place_map(
    map_HW: NDArray[np.uint8],
    views: Mapping[str, Path],
    *,
    map_px: float,
    placement: CoarseMap,
    landmarks: Path | None,
) -> Registration:
    """Return how a map lies on the views of its field, in pixels of their files, gates applied.

    Args:
        map_HW: class numbers by map pixel, 255 void.
        views: files on one grid.
        map_px: how many of their pixels a map pixel spans, by the pixel sizes.
        placement: what is known beforehand, and the gates.
        landmarks: places that a person marked, instead of a search.
    """
    if landmarks is not None:
        return _gated(_by_landmarks(landmarks, map_HW, views, map_px, placement), map_px, placement)
    factor = max(int(map_px) if map_px < _FINE_MAP_PX else round(map_px * _OPTICAL_MAP_PX), 1)
    reduced = [read_reduced(path, factor=factor) for path in views.values()]
    found = register_map(
        map_HW,
        np.concatenate([view.image_HWC for view in reduced], axis=2),
        prior=MapPrior(
            scale=map_px / factor,
            max_rotation_deg=placement.max_rotation_deg,
            max_scale_change=placement.max_scale_change,
            flips=placement.flips,
        ),
        refine=placement.refine,
        min_peak_ratio=placement.min_peak_ratio,
        frames=(MAP, IMAGE),
    )
    return _gated(_native(found, reduced[0]), map_px, placement)


def map_on_grid(
    map_HW: NDArray[np.uint8], found: Registration, *, size_px: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return class numbers (height, width) on the image's grid by nearest neighbour, 255 beyond the map."""
    placed_HW = np.full(size_px, IGNORE, np.uint8)
    for window in strips(size_px, rows=_STRIP_PX):
        codes, inside = resample_labels(map_HW, found.warp, window)
        placed_HW[window.slices] = np.where(inside, codes, np.uint8(IGNORE))
    return placed_HW


def _by_landmarks(
    landmarks: Path,
    map_HW: NDArray[np.uint8],
    views: Mapping[str, Path],
    map_px: float,
    placement: CoarseMap,
) -> Registration:
    info = probe(next(iter(views.values())))
    return register_marked_places(
        landmarks,
        moving_size_px=(map_HW.shape[1], map_HW.shape[0]),
        fixed_size_px=(info.width, info.height),
        scale=map_px,
        max_scale_change=placement.max_scale_change,
        frames=(MAP, IMAGE),
    )


def _native(found: Registration, view: ReducedView) -> Registration:
    """Return a registration on reduced views as one on their files.

    The lattice of the bend keeps its corner, though the corner pixel's centre moves by half a block: the
    bend changes by far less than a pixel over that distance.
    """
    if found.moving_to_fixed is None:
        return found
    bend = found.bend
    return replace(
        found,
        moving_to_fixed=view.to_native(IMAGE) @ found.moving_to_fixed,
        bend=None if bend is None else Bend(bend.step_px * view.factor, bend.offset_xy),
        residual_px=None if found.residual_px is None else found.residual_px * view.factor,
    )


def _gated(found: Registration, map_px: float, placement: CoarseMap) -> Registration:
    if found.verdict == "refused" or found.residual_px is None:
        return found
    residual_map_px = found.residual_px / map_px
    if residual_map_px > placement.max_residual_map_px:
        reason = f"matched places lie {residual_map_px:.2f} map px apart, more than "
        reason += f"{placement.max_residual_map_px:g} (labels.placement.max_residual_map_px)"
        return replace(found, verdict="refused", reason=reason)
    return found
