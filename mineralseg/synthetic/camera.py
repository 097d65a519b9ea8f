"""From light to pixels: focus, a slightly displaced view, uneven lamp, sensor noise, display encoding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mineralseg.core.transforms import Transform
from mineralseg.synthetic.texture import Field

_ENCODE_STEPS = 4095


@dataclass(frozen=True)
class Exposure:
    """How a view is taken.

    `gain` by channel; `blur_px` of the lens; `falloff` of the lamp to the corners (0..1) about
    `lamp_center` (x, y as fractions of the view); `electrons` at white; `read_noise` and offset `black` as
    shares of white; `srgb`: encoded for a screen (light), or written as they are (electrons).
    """

    gain: tuple[float, ...]
    blur_px: float
    falloff: float
    lamp_center: tuple[float, float]
    electrons: float
    read_noise: float
    black: float
    srgb: bool


def resample(clean_HWC: Field, *, view_to_canvas: Transform, size_px: int, blur_px: float) -> Field:
    """Return a clean image as a displaced camera sees it, (size, size, C).

    The lens blurs (Gaussian), then cubic splines interpolate between pixels.

    Args:
        clean_HWC: the image on the canvas.
        view_to_canvas: pixels of the view to pixels of the canvas; a pure whole-pixel shift is exact.
        size_px: side of the view.
        blur_px: standard deviation of the blur.
    """
    swap = [1, 0]
    linear = view_to_canvas.matrix[:2, :2][np.ix_(swap, swap)]
    offset = view_to_canvas.matrix[:2, 2][swap]
    whole = np.array_equal(linear, np.eye(2)) and np.array_equal(offset, np.round(offset))
    view = np.empty((size_px, size_px, clean_HWC.shape[2]), np.float32)
    for channel in range(clean_HWC.shape[2]):
        sharp = np.asarray(clean_HWC[..., channel], np.float32)
        soft = ndimage.gaussian_filter(sharp, blur_px, truncate=3.0)
        if whole:
            top, left = (int(value) for value in offset)
            view[..., channel] = soft[top : top + size_px, left : left + size_px]
        else:
            view[..., channel] = ndimage.affine_transform(
                soft, linear, offset, (size_px, size_px), order=3, mode="mirror"
            )
    return view


def expose(view_HWC: Field, exposure: Exposure, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the 8-bit picture of a view of linear light (lamp = 1), same shape.

    Shot noise is Gaussian with the variance of the Poisson law (European Machine Vision Association,
    standard 1288, release 4.0), to which read noise adds.
    """
    height, width = view_HWC.shape[:2]
    center_x, center_y = exposure.lamp_center
    x = (np.arange(width, dtype=np.float32) / width - center_x)[None]
    y = (np.arange(height, dtype=np.float32) / height - center_y)[:, None]
    lamp = (1 - exposure.falloff * 2 * (x**2 + y**2)).astype(np.float32)
    picture = np.empty(view_HWC.shape, np.uint8)
    table = _encoding(srgb=exposure.srgb)
    for channel, gain in enumerate(exposure.gain):
        light = np.maximum(view_HWC[..., channel] * lamp * np.float32(gain), 0)
        spread = np.sqrt(light / np.float32(exposure.electrons) + np.float32(exposure.read_noise**2))
        light += spread * rng.standard_normal(light.shape, np.float32) + np.float32(exposure.black)
        picture[..., channel] = table[(np.clip(light, 0, 1) * _ENCODE_STEPS + 0.5).astype(np.int32)]
    return picture


def _encoding(*, srgb: bool) -> NDArray[np.uint8]:
    """Return 8-bit values of linear light in even steps from 0 to 1 (IEC 61966-2-1 if `srgb`)."""
    linear = np.linspace(0, 1, _ENCODE_STEPS + 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * (curve if srgb else linear)).astype(np.uint8)
