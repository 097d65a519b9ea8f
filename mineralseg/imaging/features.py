"""Places in an image that can be found again in another one: keypoints and their descriptors."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Image = NDArray[Any]
"""float32 (H, W)."""

_MOST_KEYPOINTS = 8000
_CONTRAST_THRESHOLD = 0.02
_RATIO = 0.8
_BLOCK = 1024


@dataclass(frozen=True)
class Features:
    """A view as registration sees it.

    Attributes:
        grey_HW: brightness with local contrast evened out, 0..1; crossed polars leave much in the dark.
        keypoints_xy: places (n, 2).
        descriptors: what lies around them (n, 128), rows of unit length.
    """

    grey_HW: Image
    keypoints_xy: Points
    descriptors: NDArray[np.float32]


def describe(image_HWC: NDArray[np.uint8]) -> Features:
    """Return the features of a view, uint8 (H, W, 1 or 3).

    Brightness after contrast-limited adaptive equalisation, SIFT keypoints (Lowe 2004,
    doi:10.1023/B:VISI.0000029664.99615.94), and the square-root form of their descriptors, whose scalar
    product is the Hellinger kernel (Arandjelović & Zisserman 2012, doi:10.1109/CVPR.2012.6248018).
    """
    evened_HW = _evened(image_HWC)
    sift = cv2.SIFT.create(nfeatures=_MOST_KEYPOINTS, contrastThreshold=_CONTRAST_THRESHOLD)
    keypoints, descriptors = sift.detectAndCompute(evened_HW, None)
    if descriptors is None:
        keypoints, descriptors = (), np.zeros((0, 128), np.float32)
    share = descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)
    return Features(
        grey_HW=evened_HW.astype(np.float32) / 255,
        keypoints_xy=np.array([keypoint.pt for keypoint in keypoints], np.float64).reshape(-1, 2),
        descriptors=np.sqrt(share, dtype=np.float32),
    )


def evened_grey(image_HWC: NDArray[np.uint8]) -> Image:
    """Return brightness with local contrast evened out, 0..1, of an image uint8 (H, W, 1 or 3)."""
    return _evened(image_HWC).astype(np.float32) / 255


def _evened(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey_HW = image_HWC[..., 0] if image_HWC.shape[2] == 1 else cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    clahe = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8))
    return np.asarray(clahe.apply(np.ascontiguousarray(grey_HW)), np.uint8)


def match(fixed: Features, moving: Features) -> tuple[Points, Points]:
    """Return places (n, 2) of the fixed and of the moving view that look like each other and like no third.

    A match is mutual and clearly better than the second best (Lowe's ratio test).
    """
    if len(fixed.descriptors) < 2 or len(moving.descriptors) < 2:
        return np.zeros((0, 2)), np.zeros((0, 2))
    best_of_moving = np.full(len(moving.descriptors), -1.0, np.float32)
    mate_of_moving = np.zeros(len(moving.descriptors), np.intp)
    mate_of_fixed = np.zeros(len(fixed.descriptors), np.intp)
    clear = np.zeros(len(fixed.descriptors), np.bool_)
    for start in range(0, len(fixed.descriptors), _BLOCK):
        likeness = fixed.descriptors[start : start + _BLOCK] @ moving.descriptors.T
        rows = np.arange(len(likeness))
        mate = likeness.argmax(axis=1)
        best = likeness[rows, mate]
        column_best = likeness.max(axis=0)
        better = column_best > best_of_moving
        mate_of_moving[better] = likeness.argmax(axis=0)[better] + start
        best_of_moving[better] = column_best[better]
        likeness[rows, mate] = -1
        second = likeness.max(axis=1)
        mate_of_fixed[start : start + len(mate)] = mate
        # unit vectors: the squared distance is 2 - 2 x likeness
        clear[start : start + len(mate)] = (1 - best) < _RATIO**2 * (1 - second)
    mutual = clear & (mate_of_moving[mate_of_fixed] == np.arange(len(mate_of_fixed)))
    chosen = np.flatnonzero(mutual)
    return fixed.keypoints_xy[chosen], moving.keypoints_xy[mate_of_fixed[chosen]]
