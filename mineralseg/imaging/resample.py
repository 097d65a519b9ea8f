"""Changing the number of pixels: area averages down, bilinear up."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def area_mean(image_HWC: NDArray[np.uint8], *, factor: int) -> NDArray[np.uint8]:
    """Return the image with every block of `factor` x `factor` pixels averaged, rounded half up.

    Shape (ceil(H / factor), ceil(W / factor), C). A block that the edge cuts is completed by repeating
    the last row or column.
    """
    if factor == 1:
        return image_HWC
    height, width, bands = image_HWC.shape
    full = np.pad(image_HWC, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    rows, cols = full.shape[0] // factor, full.shape[1] // factor
    by_row = full.reshape(rows, factor, cols * factor, bands).sum(axis=1, dtype=np.uint32)
    sums = by_row.reshape(rows, cols, factor, bands).sum(axis=2, dtype=np.uint32)
    mean_HWC: NDArray[np.uint8] = ((sums + factor * factor // 2) // (factor * factor)).astype(np.uint8)
    return mean_HWC


def block_centres(labels_HW: NDArray[np.uint8], *, factor: int) -> NDArray[np.uint8]:
    """Return the label at the centre of every block that `area_mean` averages."""
    height, width = labels_HW.shape
    rows = np.minimum(np.arange(0, height, factor) + factor // 2, height - 1)
    cols = np.minimum(np.arange(0, width, factor) + factor // 2, width - 1)
    return labels_HW[np.ix_(rows, cols)]


def enlarge(planes_CHW: NDArray[np.float32], *, factor: int) -> NDArray[np.float32]:
    """Return planes (C, H, W) at `factor` times the size, bilinear between pixel centres."""
    if factor == 1:
        return planes_CHW
    height, width = planes_CHW.shape[1] * factor, planes_CHW.shape[2] * factor
    out = np.empty((planes_CHW.shape[0], height, width), np.float32)
    for index, plane in enumerate(planes_CHW):
        out[index] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    return out


def shrink_to(image_HWC: NDArray[Any], *, longest_px: int) -> NDArray[Any]:
    """Return an image for the screen: every n-th pixel, so that no side is longer than `longest_px`."""
    step = -(-max(image_HWC.shape[:2]) // longest_px)
    return image_HWC[::step, ::step]
