"""The uncertain band along the boundaries of a label map."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE

_STRIP_PX = 1024


def void_band(indices_HW: NDArray[np.uint8], *, width_px: float) -> NDArray[np.uint8]:
    """Return the labels with every pixel nearer than `width_px` to a boundary between two classes void (255).

    The distance is Euclidean, from the pixel's centre to the line between two neighbours of different
    classes; where one of them is void already there is no boundary. Memory beside the result is that of a
    strip.
    """
    banded_HW = indices_HW.copy()
    if width_px <= 0:
        return banded_HW
    halo_px = int(np.ceil(width_px)) + 1
    height = len(indices_HW)
    for start in range(0, height, _STRIP_PX):
        stop = min(start + _STRIP_PX, height)
        top, bottom = max(start - halo_px, 0), min(stop + halo_px, height)
        beside_HW = _beside_boundary(indices_HW[top:bottom])
        if not beside_HW.any():
            continue
        away_HW = cv2.distanceTransform((~beside_HW).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        near_HW = away_HW[start - top : stop - top] + 0.5 <= width_px
        banded_HW[start:stop][near_HW] = IGNORE
    return banded_HW


def _beside_boundary(indices_HW: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels that have a neighbour (above, below, left, right) of another class."""
    beside_HW = np.zeros(indices_HW.shape, np.bool_)
    known_HW = indices_HW != IGNORE
    across = (indices_HW[:, 1:] != indices_HW[:, :-1]) & known_HW[:, 1:] & known_HW[:, :-1]
    down = (indices_HW[1:] != indices_HW[:-1]) & known_HW[1:] & known_HW[:-1]
    beside_HW[:, 1:] |= across
    beside_HW[:, :-1] |= across
    beside_HW[1:] |= down
    beside_HW[:-1] |= down
    return beside_HW
