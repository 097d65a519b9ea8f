"""Pictures of label maps: colours, overlays, error maps."""

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE, Legend

RIGHT_RGB = (46, 160, 67)
WRONG_RGB = (218, 54, 51)


def colorize(indices_HW: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """Return class indices (H, W) in the colours of the legend (H, W, 3), void in black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(legend)] = [mineral.rgb for mineral in legend.minerals]
    colors_HWC: NDArray[np.uint8] = table[indices_HW]
    return colors_HWC


def overlay(
    image_HWC: NDArray[np.uint8], indices_HW: NDArray[np.uint8], legend: Legend, *, opacity: float = 0.35
) -> NDArray[np.uint8]:
    """Return the image under a tint of its classes, class boundaries drawn at full colour.

    Args:
        image_HWC: uint8, one or three bands.
        indices_HW: class indices of the same size; void pixels show the bare image.
        legend: whose colours tint.
        opacity: share of the tint, 0..1.
    """
    photo = np.broadcast_to(image_HWC, (*image_HWC.shape[:2], 3)).astype(np.float32)
    colors = colorize(indices_HW, legend).astype(np.float32)
    share = np.where(boundaries(indices_HW), 1.0, opacity).astype(np.float32)
    share[indices_HW == IGNORE] = 0
    mixed = photo + share[..., None] * (colors - photo)
    return (mixed + 0.5).astype(np.uint8)


def error_map(
    image_HWC: NDArray[np.uint8], truth_HW: NDArray[np.uint8], predicted_HW: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return the greyed image tinted green where the prediction is right and red where it is wrong."""
    grey = image_HWC.astype(np.float32).mean(axis=2, keepdims=True).repeat(3, axis=2)
    valid = (truth_HW != IGNORE) & (predicted_HW != IGNORE)
    tint = np.where((truth_HW == predicted_HW)[..., None], RIGHT_RGB, WRONG_RGB).astype(np.float32)
    mixed_HWC: NDArray[np.float32] = np.where(valid[..., None], 0.45 * grey + 0.55 * tint, grey)
    return (mixed_HWC + 0.5).astype(np.uint8)


def boundaries(indices_HW: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return True at pixels whose right or lower neighbour has another class."""
    edge = np.zeros(indices_HW.shape, np.bool_)
    edge[:, :-1] |= indices_HW[:, :-1] != indices_HW[:, 1:]
    edge[:-1] |= indices_HW[:-1] != indices_HW[1:]
    return edge
