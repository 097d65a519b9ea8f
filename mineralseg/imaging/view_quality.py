"""Views that cannot be registered, or that seem to be another view than their name says."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SOFTNESS_PX = 3
_LEAST_STRUCTURE_LEVELS = 2.0
_MOST_WHITE, _MOST_BLACK = 0.6, 0.97
_BRIGHTER = 1.15
_SKEWER = 0.5


def fault_of_view(image_HWC: NDArray[np.uint8]) -> str:
    """Return why a view shows nothing to register by, empty when it does.

    Blank: after smoothing (3 px) its brightness varies by less than 2 of 255 levels. Saturated: more than
    60 % of it are white or 97 % black in all bands; much of a good crossed-polars view or element map is
    black.

    Args:
        image_HWC: uint8 (H, W, bands).
    """
    white = float((image_HWC >= 254).all(axis=2).mean())
    black = float((image_HWC <= 1).all(axis=2).mean())
    if white > _MOST_WHITE:
        return f"it is overexposed: {100 * white:.0f} % of it is white; take it again with less light"
    if black > _MOST_BLACK:
        return f"it is underexposed: {100 * black:.0f} % of it is black; take it again with more light"
    soft_HW = cv2.GaussianBlur(_brightness(image_HWC), (0, 0), _SOFTNESS_PX)
    structure = float(soft_HW.std())
    if structure < _LEAST_STRUCTURE_LEVELS:
        return f"it is blank: its brightness varies by {structure:.1f} of 255 levels; is it the right file?"
    return ""


def fault_of_names(*, plane_HWC: NDArray[np.uint8], crossed_HWC: NDArray[np.uint8]) -> str:
    """Return why a PPL and an XPL view seem to have each other's names, empty when they do not.

    Under crossed polars most of a section is darker than in plane-polarised light: pores and opaque
    grains are black, and so is each grain near extinction. A crossed view that was only exposed longer is
    brighter too, but most of it still lies below its mean, where most of a plane view lies above: both
    must speak for a swap.

    Args:
        plane_HWC: the view called PPL, uint8.
        crossed_HWC: the view called XPL, uint8.
    """
    plane, crossed = (float(np.median(_brightness(image))) for image in (plane_HWC, crossed_HWC))
    skewer = _skewness(plane_HWC) > _skewness(crossed_HWC) + _SKEWER
    if crossed > _BRIGHTER * max(plane, 1.0) and skewer:
        return (
            f"the XPL view is brighter (median {crossed:.0f}) than the PPL view ({plane:.0f}); "
            "have they each other's names?"
        )
    return ""


def _skewness(image_HWC: NDArray[np.uint8]) -> float:
    brightness = _brightness(image_HWC).astype(np.float64)
    centred = brightness - brightness.mean()
    return float((centred**3).mean() / max(float((centred**2).mean()), 1e-9) ** 1.5)


def _brightness(image_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    mean_HW: NDArray[np.float32] = image_HWC.mean(axis=2, dtype=np.float32)
    return mean_HW
