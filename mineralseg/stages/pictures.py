"""Pictures of how files lie on one another, drawn from small parts of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import Window
from mineralseg.core.legend import IGNORE
from mineralseg.core.registration import Bend, Registration, Warp
from mineralseg.core.transforms import Transform
from mineralseg.imaging.evidence import Overlaid, class_outlines, compare, telling_places
from mineralseg.imaging.warp import resample_labels, resample_window
from mineralseg.io.raster import Raster, open_raster, probe
from mineralseg.stages.file_pixels import crop_under
from mineralseg.stages.registering import ReducedView, read_reduced

_PANEL_PX = 800
_INSET_PX = 190
_MAP_PANEL_PX = 1400


def picture_of_views(
    fixed: Path, moving: Path, found: Registration, *, names: tuple[str, str]
) -> NDArray[np.uint8]:
    """Return a picture of a moving file on a fixed one as `found` says: overview, and places at full size."""
    small_fixed = read_reduced(fixed, factor=_display_factor(fixed))
    small_moving = read_reduced(moving, factor=_display_factor(moving))
    warp = small_warp(found.warp, fixed=small_fixed, moving=small_moving)
    height, width = small_fixed.image_HWC.shape[:2]
    pixels, valid = resample_window(small_moving.image_HWC, warp, Window(0, 0, height, width))
    overview = Overlaid(small_fixed.image_HWC, pixels, valid)
    side = -(-_INSET_PX // small_fixed.factor)
    corners = [
        (x * small_fixed.factor, y * small_fixed.factor) for x, y in telling_places(overview, side_px=side)
    ]
    with open_raster(fixed) as on, open_raster(moving) as source:
        insets = list(_insets(on, source, found.warp, corners))
    return compare(overview, insets, names=names)


def picture_of_map(
    fixed: Path, map_HW: NDArray[np.uint8], found: Registration, colors: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return the outlines of a map on an image, in colours (RGB by class number).

    Args:
        fixed: the image.
        map_HW: class numbers by map pixel, 255 void.
        found: how it lies.
        colors: RGB by class number.
    """
    info = probe(fixed)
    small = read_reduced(fixed, factor=-(-max(info.height, info.width) // _MAP_PANEL_PX))
    height, width = small.image_HWC.shape[:2]
    warp = small_warp(found.warp, fixed=small, moving=ReducedView(map_HW, 1))
    codes, inside = resample_labels(map_HW, warp, Window(0, 0, height, width))
    return class_outlines(small.image_HWC, np.where(inside, codes, np.uint8(IGNORE)), colors)


def small_warp(warp: Warp, *, fixed: ReducedView, moving: ReducedView) -> Warp:
    """Return the warp between reduced images of the two files that a warp connects."""
    to_fixed = fixed.to_native(warp.fixed_to_moving.source)
    to_moving = moving.to_native(warp.fixed_to_moving.target)
    bend = warp.bend
    return Warp(
        to_moving.inverse() @ warp.fixed_to_moving @ to_fixed,
        None if bend is None else Bend(bend.step_px / fixed.factor, bend.offset_xy / moving.factor),
    )


def _insets(
    fixed: Raster, moving: Raster, warp: Warp, corners: Sequence[tuple[int, int]]
) -> Iterator[Overlaid]:
    """Yield windows of the fixed image with the moving one on them, at the pixels of the file."""
    side = min(_INSET_PX, fixed.height, fixed.width)
    for x, y in corners:
        window = Window(min(y, fixed.height - side), min(x, fixed.width - side), side, side)
        crop = crop_under(moving, warp, window)
        if crop is None:
            continue
        shift = np.eye(3)
        shift[:2, 2] = -crop.corner_xy
        onto = Transform(shift, warp.fixed_to_moving.target, "crop")
        pixels, valid = resample_window(crop.image_HWC, Warp(onto @ warp.fixed_to_moving, warp.bend), window)
        if valid.any():
            yield Overlaid(fixed.read(window), pixels, valid)


def _display_factor(path: Path) -> int:
    info = probe(path)
    return -(-info.width // _PANEL_PX)
