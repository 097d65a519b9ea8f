"""Images as people have them, with the options that Pillow saves them with, and a look into one."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mineralseg.core.geometry import Window
from mineralseg.io.raster import open_raster
from tests.io.attacks import GREY_HW, RGB_HWC

RGB, GREY = Image.fromarray(RGB_HWC), Image.fromarray(GREY_HW)
PALETTE = RGB.quantize(16)
ALPHA = Image.fromarray(np.dstack([RGB_HWC, GREY_HW]))

ORDINARY: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "grey.png": (GREY, {}),
    "rgb.png": (RGB, {}),
    "rgba.png": (ALPHA, {}),
    "grey alpha.png": (Image.merge("LA", (GREY, GREY)), {}),
    "palette.png": (PALETTE, {}),
    "palette of 4 bits.png": (PALETTE, {"bits": 4}),
    "palette with transparency.png": (PALETTE, {"transparency": 3}),
    "transparent colour.png": (RGB, {"transparency": (0, 20, 40)}),
    "grey.jpg": (GREY, {}),
    "rgb.jpg": (RGB, {"subsampling": 0}),
    "progressive.jpg": (RGB, {"progressive": True, "subsampling": 0}),
    "grey.tif": (GREY, {}),
    "rgb.tif": (RGB, {}),
    "rgba.tif": (ALPHA, {}),
    "palette.tif": (PALETTE, {}),
    "deflate.tif": (RGB, {"compression": "tiff_adobe_deflate"}),
    "lzw.tif": (RGB, {"compression": "tiff_lzw"}),
    "packbits.tif": (RGB, {"compression": "packbits"}),
    "big.tif": (RGB, {"big_tiff": True}),
    "white is zero.tif": (GREY, {"tiffinfo": {262: 0}}),
    "black and white.tif": (GREY.point(lambda value: 255 * (value > 60), mode="1"), {}),
    "rgb.bmp": (RGB, {}),
    "grey.bmp": (GREY, {}),
    "palette.bmp": (PALETTE, {}),
}


def read_a_corner(path: Path) -> None:
    """Open an image and decode at most 512 x 512 pixels of it."""
    with open_raster(path) as raster:
        raster.read(Window(0, 0, min(raster.height, 512), min(raster.width, 512)))
