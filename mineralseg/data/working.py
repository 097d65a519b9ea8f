"""Slides at working resolution on disk: memory-mapped, so that random patches cost no decoding.

A data set larger than memory stays on disk; the operating system keeps what is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import Window, mirrored
from mineralseg.core.legend import IGNORE
from mineralseg.imaging.resample import area_mean, block_centres
from mineralseg.io.arrays import create_array, open_array

_STRIP_PX = 256


@dataclass(frozen=True)
class WorkingSlide:
    """One slide as the network sees it: image (h, w, channels), labels (h, w) of class indices; uint8."""

    name: str
    image_HWC: NDArray[np.uint8]
    labels_HW: NDArray[np.uint8]

    @property
    def height(self) -> int:
        """Rows, working pixels."""
        return len(self.labels_HW)

    @property
    def width(self) -> int:
        """Columns, working pixels."""
        return int(self.labels_HW.shape[1])

    def read_rows(self, row: int, height: int) -> NDArray[np.uint8]:
        """Return full-width rows (height, w, channels) of the image."""
        return np.asarray(self.image_HWC[row : row + height])

    def patch(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return image and labels of a window that may reach over the edge: mirrored there, and void."""
        rows = np.arange(window.row, window.row + window.height)
        cols = np.arange(window.col, window.col + window.width)
        inside = ((rows >= 0) & (rows < self.height))[:, None] & ((cols >= 0) & (cols < self.width))
        row_low, row_high, rows = _mirrored_span(rows, self.height)
        col_low, col_high, cols = _mirrored_span(cols, self.width)
        place = np.ix_(rows, cols)
        image = np.asarray(self.image_HWC[row_low:row_high, col_low:col_high])[place]
        labels = np.asarray(self.labels_HW[row_low:row_high, col_low:col_high])[place]
        return image, np.where(inside, labels, np.uint8(IGNORE))


def write_working_copy(
    folder: Path,
    *,
    read_image: Callable[[Window], NDArray[np.uint8]],
    read_labels: Callable[[Window], NDArray[np.uint8]],
    size_px: tuple[int, int],
    bands: int,
    factor: int,
) -> None:
    """Write image.npy and labels.npy of a slide at working resolution, a strip at a time.

    Args:
        folder: where; completed files appear under their final names.
        read_image: returns native uint8 (h, w, bands) of a window.
        read_labels: returns native class indices (h, w) of a window.
        size_px: native height and width.
        bands: channels of the image.
        factor: native pixels per working pixel.
    """
    height, width = size_px
    rows, cols = -(-height // factor), -(-width // factor)
    with (
        # what is entered first is named last: labels.npy stands for a finished copy
        create_array(folder / "labels.npy", (rows, cols)) as labels,
        create_array(folder / "image.npy", (rows, cols, bands)) as image,
    ):
        for row in range(0, rows, _STRIP_PX):
            stop = min(row + _STRIP_PX, rows)
            window = Window(row * factor, 0, min(stop * factor, height) - row * factor, width)
            image[row:stop] = area_mean(read_image(window), factor=factor)
            labels[row:stop] = block_centres(read_labels(window), factor=factor)


def open_working_copy(folder: Path, name: str) -> WorkingSlide:
    """Return the slide whose working copy lies in `folder`, memory-mapped."""
    return WorkingSlide(name, open_array(folder / "image.npy"), open_array(folder / "labels.npy"))


def channel_statistics(slides: Sequence[WorkingSlide]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation by channel (grey levels 0..255) over all pixels of the slides."""
    channels = slides[0].image_HWC.shape[2]
    levels = np.arange(256, dtype=np.float64)
    histogram = np.zeros((channels, 256), np.int64)
    for slide in slides:
        for row in range(0, slide.height, _STRIP_PX):
            strip = slide.read_rows(row, _STRIP_PX)
            for channel in range(channels):
                histogram[channel] += np.bincount(strip[..., channel].ravel(), minlength=256)
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    mean = weights @ levels
    deviation = np.sqrt(np.maximum(weights @ levels**2 - mean**2, 1.0))
    return [round(float(v), 4) for v in mean], [round(float(v), 4) for v in deviation]


def _mirrored_span(places: NDArray[np.int64], length: int) -> tuple[int, int, NDArray[np.int64]]:
    """Return the span of real places needed, and where each wanted place lies in it (mirrored at edges)."""
    folded = mirrored(places, length)
    low, high = int(folded.min()), int(folded.max()) + 1
    return low, high, folded - low
