"""Patches of a class map that are too small to be believed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE

_CONNECTIVITY = 4


def void_small_patches(indices_HW: NDArray[np.uint8], *, min_area_px: int) -> NDArray[np.uint8]:
    """Return the map with every patch of one class below `min_area_px` pixels made void (255).

    Single spots of an automated SEM or a micro-XRF are mixed or misidentified spectra more often than
    grains. Patches are 4-connected; cost grows with pixels times classes present.
    """
    kept_HW = indices_HW.copy()
    if min_area_px <= 1:
        return kept_HW
    for index in np.unique(indices_HW):
        if index == IGNORE:
            continue
        _, patch_HW, stats, _ = cv2.connectedComponentsWithStats(
            (indices_HW == index).astype(np.uint8), connectivity=_CONNECTIVITY
        )
        small = stats[:, cv2.CC_STAT_AREA] < min_area_px
        small[0] = False  # what is not of this class
        kept_HW[small[patch_HW]] = IGNORE
    return kept_HW
