"""How far a map still lies from the image under it, measured patch by patch."""

import numpy as np
from numpy.typing import NDArray

from mineralseg.imaging.map_refinement import Fit, Subject, blurred, expected_classes, lay

_CLEAR = 0.25
"""Least correlation of expected classes with those of the map for a patch to be measured."""
_FILLED = 0.6
_SIGMA_PX = 1.0

Image = NDArray[np.float32]
Matrix = NDArray[np.float64]


def local_displacements(subject: Subject, fit: Fit, *, patch_px: int, reach_px: int) -> tuple[Matrix, int]:
    """Return how far (n, 2), map pixels, patches still lie from where they fit best, and their number.

    Patches of `patch_px` a side; expected classes of the image and classes of the map are correlated over
    all shifts up to `reach_px`. A patch counts where its highest correlation rises clearly above the
    others and lies within reach; flat ones are left out.
    """
    laid_CHW, weight = lay(subject, fit, sigma_px=0.0, weight_HW=None)
    expected_CHW = expected_classes(subject.words_HW, laid_CHW, weight)
    mean = (laid_CHW * weight).sum(axis=(1, 2), keepdims=True) / max(float(weight.sum()), 1e-6)
    here = blurred((expected_CHW - mean) * weight, _SIGMA_PX)
    there = np.pad(blurred((laid_CHW - mean) * weight, _SIGMA_PX), ((0, 0), (reach_px,) * 2, (reach_px,) * 2))
    height, width = weight.shape
    shifts = range(2 * reach_px + 1)
    heights = []
    for down in shifts:
        for across in shifts:
            moved = there[:, down : down + height, across : across + width]
            product = _patch_sums(np.einsum("kyx,kyx->yx", here, moved), patch_px)
            energy = _patch_sums(np.einsum("kyx,kyx->yx", moved, moved), patch_px)
            heights.append(product / np.sqrt(np.maximum(energy, 1.0)))
    own = np.sqrt(np.maximum(_patch_sums(np.einsum("kyx,kyx->yx", here, here), patch_px), 1.0))
    surfaces = np.stack(heights, axis=-1) / own[..., None]
    filled = _patch_sums(weight, patch_px) > _FILLED * patch_px**2
    side = 2 * reach_px + 1
    found = [_peak(surface.reshape(side, side)) for surface in surfaces[filled]]
    shifts_xy = np.array([peak for peak in found if peak is not None]).reshape(-1, 2)
    linear = fit.image_to_map[:2, :2]
    return shifts_xy @ linear.T, int(filled.sum())


def _peak(surface: Matrix) -> tuple[float, float] | None:
    """Return the shift (x, y) of a surface's peak from its middle, None if it is at the rim or not clear."""
    side = len(surface)
    row, col = np.unravel_index(int(np.argmax(surface)), surface.shape)
    if not (0 < row < side - 1 and 0 < col < side - 1):
        return None
    if surface[row, col] < _CLEAR:
        return None
    offsets = []
    for before, here, after in (surface[row, col - 1 : col + 2], surface[row - 1 : row + 2, col]):
        bow = before - 2 * here + after
        offsets.append(float(np.clip((before - after) / (2 * bow), -0.5, 0.5)) if bow < 0 else 0.0)
    return col + offsets[0] - side // 2, row + offsets[1] - side // 2


def _patch_sums(image_HW: Image, patch_px: int) -> Matrix:
    """Return the sums over square patches; what is left at the right and lower edge is dropped."""
    rows, cols = image_HW.shape[0] // patch_px, image_HW.shape[1] // patch_px
    whole = image_HW[: rows * patch_px, : cols * patch_px]
    sums: Matrix = whole.reshape(rows, patch_px, cols, patch_px).sum(axis=(1, 3), dtype=np.float64)
    return sums
