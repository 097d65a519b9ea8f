"""Registrations made exact at the pixels of the files, where the search saw reduced views."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import Window
from mineralseg.core.registration import Registration, Warp
from mineralseg.imaging.features import evened_grey
from mineralseg.imaging.local_matching import LocalMatches, edge_strength, find_places, joined
from mineralseg.imaging.view_registration import Prior, refit
from mineralseg.io.raster import Raster, open_raster

_WINDOWS = (3, 4)
"""Rows and columns of windows; their pixels are all that is read, however large the image."""

_WINDOW_PX, _REACH_PX, _MARGIN_PX = 448, 10, 9


@dataclass(frozen=True)
class Crop:
    """A part of an image, and where its top left corner (x, y) lies in the file."""

    image_HWC: NDArray[np.uint8]
    corner_xy: NDArray[np.float64]


def at_file_pixels(found: Registration, fixed: Path, moving: Path, *, prior: Prior) -> Registration:
    """Return a registration of reduced views fitted anew on some windows at the pixels of their files."""
    if found.verdict == "refused":
        return found
    with open_raster(fixed) as on, open_raster(moving) as source:
        parts = [
            each
            for window in _spread_windows(on)
            for each in [_places_in(on, source, window, found)]
            if each is not None
        ]
    return refit(found, joined(parts), prior=prior) if parts else found


def _spread_windows(raster: Raster) -> Iterator[Window]:
    """Yield windows spread over an image, row by row as files are read."""
    rows, cols = _WINDOWS
    height, width = min(_WINDOW_PX, raster.height), min(_WINDOW_PX, raster.width)
    for row in np.linspace(0, raster.height - height, rows).astype(int).tolist():
        for col in np.linspace(0, raster.width - width, cols).astype(int).tolist():
            yield Window(row, col, height, width)


def _places_in(fixed: Raster, moving: Raster, window: Window, found: Registration) -> LocalMatches | None:
    """Return places matched in one window, in pixels of the files; None where the moving view has none."""
    crop = crop_under(moving, found.warp, window)
    if crop is None or found.moving_to_fixed is None:
        return None
    corner, onto = np.eye(3), np.eye(3)
    corner[:2, 2] = crop.corner_xy
    onto[:2, 2] = [-window.col, -window.row]
    here = onto @ found.moving_to_fixed.matrix @ corner
    edges_HW = edge_strength(evened_grey(fixed.read(window)))
    places = find_places(edges_HW, evened_grey(crop.image_HWC), here, reach_px=_REACH_PX)
    return replace(
        places,
        moving_xy=places.moving_xy + crop.corner_xy,
        fixed_xy=places.fixed_xy + np.array([window.col, window.row]),
    )


def crop_under(moving: Raster, warp: Warp, window: Window) -> Crop | None:
    """Return the part of a moving image that lies on a window of the fixed one, None when nothing does."""
    ends = np.array(
        [[0, 0], [window.width, 0], [0, window.height], [window.width, window.height]], np.float64
    )
    places = warp.apply(ends + np.array([window.col, window.row]))
    low = np.maximum(np.floor(places.min(axis=0)).astype(int) - _MARGIN_PX, 0)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + _MARGIN_PX, [moving.width, moving.height])
    if (high <= low).any():
        return None
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    return Crop(moving.read(Window(top, left, bottom - top, right - left)), low.astype(np.float64))
