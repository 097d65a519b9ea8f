"""Pixels of one image on the grid of another, a window at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import Window, mirrored
from mineralseg.core.registration import Bend, Warp
from mineralseg.imaging.resample import area_mean

Floats = NDArray[np.float64]
Code = TypeVar("Code", bound=np.integer)

_BLOCK_PX = 512
_KERNEL_PX = 3
_MOST_CROP_PX = 8192
_SHRINK = 1.5
_STEPS = 1024.0
_STRIP_VALUES = 1 << 22
_BANDS_AT_ONCE = 4  # more than OpenCV's cubic kernel takes are resampled in groups


def resample_window(
    moving_HWC: NDArray[np.uint8], warp: Warp, window: Window
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a window of the fixed grid filled from the moving image, and where that has pixels.

    Cubic convolution (R. G. Keys, 1981, doi:10.1109/TASSP.1981.1163711) of the image, mirrored at its
    edges; where the grid is coarser than the image by more than half, of its block means, so that fine
    texture does not alias. Whole-pixel shifts are exact, and any windows of one grid fit together bit for
    bit. Only what lies below the window is read, in blocks, so that memory does not grow with the image.

    Args:
        moving_HWC: uint8, any number of bands, in memory or mapped from a file.
        warp: from the fixed grid to the moving image.
        window: on the fixed grid; it may lie outside of both images.

    Returns:
        Pixels (h, w, bands), 0 where there are none, and True (h, w) where the point lies in the moving
        image, out to half a pixel beyond the centres of its outermost pixels.
    """
    pixels_HWC = np.zeros((window.height, window.width, moving_HWC.shape[2]), np.uint8)
    valid_HW = np.zeros((window.height, window.width), np.bool_)
    source = _Source(moving_HWC, _reduction(warp, moving_HWC.shape[:2]))
    for block in _blocks(window, _BLOCK_PX):
        part = _within(block, window)
        pixels_HWC[part], valid_HW[part] = _resample_block(source, warp, block)
    return pixels_HWC, valid_HW


def resample_labels(
    codes_HW: NDArray[Code], warp: Warp, window: Window
) -> tuple[NDArray[Code], NDArray[np.bool_]]:
    """Return the nearest code at each pixel of a window of the fixed grid, and where there is one.

    No code is ever mixed from others; 0 stands where the point lies outside of the map.
    """
    nearest_HW = np.zeros((window.height, window.width), codes_HW.dtype)
    valid_HW = np.zeros((window.height, window.width), np.bool_)
    for block in _blocks(window, _BLOCK_PX):
        part = _within(block, window)
        x, y = _places(warp, block)
        valid = valid_HW[part] = _inside(x, y, codes_HW.shape)
        rows, cols = (np.floor(axis[valid] + 0.5).astype(np.intp) for axis in (y, x))
        nearest_HW[part][valid] = codes_HW[rows, cols]
    return nearest_HW, valid_HW


@dataclass(frozen=True)
class _Source:
    """An image seen as means of blocks of `factor` pixels a side, reduced only where it is looked at."""

    image_HWC: NDArray[np.uint8]
    factor: int

    def places(self, places_px: Floats) -> Floats:
        """Return coordinates of the image, of either axis, as ones of the block means.

        They are rounded to 1/1024 px: single precision then holds them exactly wherever a crop starts.
        """
        if self.factor > 1:
            places_px = (places_px - (self.factor - 1) / 2) / self.factor
        rounded: Floats = np.rint(places_px * _STEPS) / _STEPS
        return rounded

    def crop(self, rows: range, cols: range) -> NDArray[np.uint8]:
        """Return block means at rows and columns that may reach a kernel beyond the edge, mirrored there."""
        height, width = (-(-side // self.factor) for side in self.image_HWC.shape[:2])
        inner_rows, inner_cols = _held(rows, height), _held(cols, width)
        inner = self._means(inner_rows, inner_cols)
        if (inner_rows, inner_cols) == (rows, cols):
            return inner
        across = mirrored(np.arange(cols.start, cols.stop), width) - inner_cols.start
        down = mirrored(np.arange(rows.start, rows.stop), height) - inner_rows.start
        return inner[np.ix_(down, across)]

    def _means(self, rows: range, cols: range) -> NDArray[np.uint8]:
        factor = self.factor
        across = slice(cols.start * factor, cols.stop * factor)
        if factor == 1:
            return np.ascontiguousarray(self.image_HWC[rows.start : rows.stop, across])
        values = len(cols) * factor * factor * self.image_HWC.shape[2]
        step = max(_STRIP_VALUES // values, 1)
        return np.concatenate(
            [
                area_mean(
                    self.image_HWC[start * factor : min(start + step, rows.stop) * factor, across],
                    factor=factor,
                )
                for start in range(rows.start, rows.stop, step)
            ]
        )


def _resample_block(
    source: _Source, warp: Warp, block: Window
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a block and where it is valid; split where a strong bend spreads it over much of the image."""
    x, y = _places(warp, block)
    valid_HW = _inside(x, y, source.image_HWC.shape)
    pixels_HWC = np.zeros((*valid_HW.shape, source.image_HWC.shape[2]), np.uint8)
    if not valid_HW.any():
        return pixels_HWC, valid_HW
    x, y = source.places(x), source.places(y)
    rows, cols = _reach(y[valid_HW]), _reach(x[valid_HW])
    if max(len(rows), len(cols)) > _MOST_CROP_PX and max(block.height, block.width) > 1:
        for piece in _blocks(block, -(-max(block.height, block.width) // 2)):
            part = _within(piece, block)
            pixels_HWC[part] = _resample_block(source, warp, piece)[0]
        return pixels_HWC, valid_HW
    crop_HWC = source.crop(rows, cols)
    # Points without a source are looked up anywhere, for OpenCV need not know about edges, then cleared.
    map_x, map_y = (
        np.where(valid_HW, axis - places.start, _KERNEL_PX).astype(np.float32)
        for axis, places in ((x, cols), (y, rows))
    )
    for band in range(0, crop_HWC.shape[2], _BANDS_AT_ONCE):
        bands = slice(band, band + _BANDS_AT_ONCE)
        group_HWC = np.ascontiguousarray(crop_HWC[..., bands])
        resampled = cv2.remap(group_HWC, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        pixels_HWC[..., bands] = resampled.reshape(*valid_HW.shape, -1)
    pixels_HWC[~valid_HW] = 0
    return pixels_HWC, valid_HW


def _places(warp: Warp, window: Window) -> tuple[Floats, Floats]:
    """Return x and y in the moving image (h, w) of every pixel of a window: `Warp.apply` on a grid."""
    x = np.arange(window.col, window.col + window.width, dtype=np.float64)
    y = np.arange(window.row, window.row + window.height, dtype=np.float64)[:, np.newaxis]
    matrix = warp.fixed_to_moving.matrix
    moved_x, moved_y, depth = (row[0] * x + (row[1] * y + row[2]) for row in matrix)
    if not np.array_equal(matrix[2], (0, 0, 1)):
        with np.errstate(divide="ignore", invalid="ignore"):  # on the horizon, which is nowhere inside
            moved_x, moved_y = moved_x / depth, moved_y / depth
    if warp.bend is not None:
        offset = _bend_on(warp.bend, window)
        moved_x, moved_y = moved_x + offset[..., 0], moved_y + offset[..., 1]
    return moved_x, moved_y


def _bend_on(bend: Bend, window: Window) -> Floats:
    """Return the displacements (h, w, 2) over a window: `Bend.at` on a grid, one axis after the other."""
    top, down = _knots(window.row, window.height, bend.step_px, bend.offset_xy.shape[0])
    left, right = _knots(window.col, window.width, bend.step_px, bend.offset_xy.shape[1])
    knots = bend.offset_xy[:, left[0] : left[-1] + 2]
    down, left = down[:, np.newaxis, np.newaxis], left - left[0]
    by_row = (1 - down) * knots[top] + down * knots[top + 1]
    offset: Floats = (1 - right)[:, np.newaxis] * by_row[:, left] + right[:, np.newaxis] * by_row[:, left + 1]
    return offset


def _knots(start: int, length: int, step_px: float, count: int) -> tuple[NDArray[np.intp], Floats]:
    """Return the knot before each place along an axis, and how far beyond it the place lies, 0..1."""
    place = np.clip(np.arange(start, start + length) / step_px, 0, count - 1)
    before = np.minimum(place.astype(np.intp), count - 2)
    return before, place - before


def _inside(x: Floats, y: Floats, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape[:2]
    inside: NDArray[np.bool_] = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return inside


def _reduction(warp: Warp, shape: tuple[int, ...]) -> int:
    """Return the side of the blocks to average: moving pixels a fixed pixel at the image's middle, or 1."""
    height, width = shape[:2]
    matrix = warp.fixed_to_moving.matrix
    middle_xy = np.array([[(width - 1) / 2, (height - 1) / 2]])
    place = np.append(warp.fixed_to_moving.inverse().apply(middle_xy)[0], 1.0)
    depth = float(matrix[2] @ place)
    shrink = float(np.sqrt(abs(np.linalg.det(matrix) / depth**3)))
    return min(round(shrink), max(height, width)) if shrink > _SHRINK else 1


def _reach(places_px: Floats) -> range:
    """Return the whole pixels that the kernel may want around places."""
    return range(int(np.floor(places_px.min())) - _KERNEL_PX, int(np.floor(places_px.max())) + _KERNEL_PX + 2)


def _held(places: range, length: int) -> range:
    """Return the part of `places` that an axis has, with all that its mirror images at the ends stand for."""
    least = 2 * _KERNEL_PX + 2
    return range(max(min(places.start, length - least), 0), min(max(places.stop, least), length))


def _blocks(window: Window, side_px: int) -> Iterator[Window]:
    for row in range(window.row, window.row + window.height, side_px):
        for col in range(window.col, window.col + window.width, side_px):
            height = min(side_px, window.row + window.height - row)
            yield Window(row, col, height, min(side_px, window.col + window.width - col))


def _within(block: Window, window: Window) -> tuple[slice, slice]:
    return Window(block.row - window.row, block.col - window.col, block.height, block.width).slices
