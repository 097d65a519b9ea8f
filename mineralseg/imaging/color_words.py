"""The colours of an image as numbers of typical colours."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.intp]

_WORDS = 96
_LEARNED_PX = 12_000
_ROUNDS = 8
_BLOCK_PX = 1 << 15


def color_words(image_HWC: NDArray[np.float32], valid_HW: NDArray[np.float32]) -> Words:
    """Return the number of the nearest of some typical colours at every pixel.

    The colours of all channels together, each channel in units of its own spread, are gathered by Lloyd's
    k-means (1982, doi:10.1109/TIT.1982.1056489) on an even sample of the valid pixels. The same image
    gives the same words.
    """
    pixels = image_HWC.reshape(-1, image_HWC.shape[2])
    inside = np.flatnonzero(valid_HW.ravel() > 0.5)
    sample = pixels[inside[:: max(len(inside) // _LEARNED_PX, 1)]]
    spread = np.maximum(sample.std(axis=0), 1e-3)
    typical = _typical(sample / spread)
    blocks = (pixels[start : start + _BLOCK_PX] / spread for start in range(0, len(pixels), _BLOCK_PX))
    return np.concatenate([_nearest(block, typical) for block in blocks]).reshape(image_HWC.shape[:2])


def _typical(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return at most 96 colours that stand for a sample (n, channels); a colour nobody chooses stays."""
    distinct = np.unique(sample, axis=0)
    rng = np.random.default_rng(1)
    typical = distinct[rng.choice(len(distinct), min(_WORDS, len(distinct)), replace=False)]
    for _ in range(_ROUNDS):
        chosen = _nearest(sample, typical)
        count = np.bincount(chosen, minlength=len(typical))
        sums = [np.bincount(chosen, channel, len(typical)) for channel in sample.T]
        mean = np.column_stack(sums) / np.maximum(count, 1)[:, None]
        typical = np.where(count[:, None] > 0, mean, typical).astype(np.float32)
    return typical


def _nearest(colors: NDArray[np.float32], typical: NDArray[np.float32]) -> Words:
    distance = (typical**2).sum(axis=1) - 2 * colors @ typical.T
    nearest: Words = distance.argmin(axis=1)
    return nearest
