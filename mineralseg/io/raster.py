"""The one reader of images: TIFF, PNG, JPEG, BMP and GIF of 8 bits, whole or by window, or a reason why not.

What a file is follows from its first bytes, never from its name; only the decoder of that format is
asked to open it, and no other file is read. Images are never converted silently: where two programs
would show different pixels (16 bits, CMYK, a turned orientation, several pages), the file is refused
with what to do about it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import PixelSize, Window
from mineralseg.errors import DataFault, EnvironmentFault
from mineralseg.io.files import open_regular, printable
from mineralseg.io.gdal import GDAL_ERRORS, quiet_georeference, rasterio
from mineralseg.io.headers import Driver, Header, HeaderError, pixel_size_of_tag, read_header, sniff
from mineralseg.io.impostors import describe_impostor

MAX_PIXELS = 2**32
"""Largest height x width that is opened (65536 x 65536): a header of 200 bytes can claim any size."""

MAX_BLOCK_BYTES = 2**29
"""Largest strip or tile; GDAL decodes a whole one, however small the window that is asked for."""

MAX_READ_BYTES = 2**32
"""Largest array that one read returns; larger images are read by window."""

_FORMATS = "a TIFF, PNG, JPEG, BMP or GIF image"
_GREY, _RGB = (("gray",), ("gray", "alpha")), (("red", "green", "blue"), ("red", "green", "blue", "alpha"))
_MIN_IS_WHITE, _CMYK, _YCBCR, _JPEG = 0, 5, 6, 7
_READABLE_PHOTOMETRICS = (0, 1, 2, 3, _YCBCR)
_EXACT_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
"""TIFF's none, LZW, deflate (two codes), PackBits, LZMA and Zstandard; all others may change values."""


@dataclass(frozen=True)
class RasterInfo:
    """Size in pixels, bands as read (1 grey or 3 RGB) and pixel size of an image."""

    height: int
    width: int
    bands: int
    pixel_size: PixelSize


class Raster:
    """An open image. It belongs to the thread that opened it and ends with its `open_raster` block."""

    def __init__(self, path: Path, source: Any, header: Header) -> None:
        """Decide how the bands of `source` become grey or RGB; `DataFault` when they do not."""
        self.path = path
        self.height, self.width = int(source.height), int(source.width)
        self.pixel_size = _pixel_size(source, header)
        self.lossy = _is_lossy(header)
        """Whether the file's compression may have changed colours, above all at the edges of grains."""
        self._source = source
        interpretation = tuple(band.name for band in source.colorinterp)
        self._colors = _palette_colors(source) if interpretation == ("palette",) else None
        if self._colors is not None:
            self.bands = int(self._colors.shape[1])
        elif interpretation in _GREY + _RGB:
            self.bands = 1 if interpretation in _GREY else 3
        else:
            _refuse(
                path,
                f"bands of the kinds {', '.join(interpretation)}",
                "one grey band or red, green and blue",
                "export it as an RGB image",
            )
        if self._colors is None and "NBITS" in source.tags(1, ns="IMAGE_STRUCTURE"):
            _refuse(
                path,
                f"{source.tags(1, ns='IMAGE_STRUCTURE')['NBITS']}-bit grey values",
                "8 bits per band",
                "export it as 8 bit grey",
            )

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the pixels of a window inside the image: uint8 (height, width, bands).

        A palette is expanded to its colours, alpha is dropped and the colours under it stay as stored.

        Raises:
            ValueError: the window reaches over the edge.
            DataFault: the file is damaged there.
            EnvironmentFault: the window does not fit in memory.
        """
        if window.row < 0 or window.col < 0:
            raise ValueError(f"{window} begins before the image")
        if window.row + window.height > self.height or window.col + window.width > self.width:
            raise ValueError(f"{window} reaches over an image of {self.height} x {self.width}")
        if self._colors is None:
            pixels_HWC: NDArray[np.uint8] = _read_bands(
                self.path, self._source, range(1, self.bands + 1), window
            )
            return pixels_HWC
        indices_HW = _read_bands(self.path, self._source, (1,), window)[..., 0]
        if int(indices_HW.max()) >= len(self._colors):
            _refuse(
                self.path,
                f"colour number {indices_HW.max()} of a palette of {len(self._colors)}",
                "colours that are in the palette",
                "export it as an RGB image",
            )
        colors_HWC: NDArray[np.uint8] = self._colors[indices_HW]
        return colors_HWC

    def read_all(self) -> NDArray[np.uint8]:
        """Return all pixels: uint8 (height, width, bands)."""
        return self.read(Window(0, 0, self.height, self.width))


@contextmanager
def open_raster(path: Path) -> Iterator[Raster]:
    """Open an image for reading by window.

    Raises:
        DataFault: it is missing, not an image, damaged, too large, or would have to be converted.
    """
    with _opened(path) as (source, header):
        yield Raster(path, source, header)


def probe(path: Path) -> RasterInfo:
    """Return what `open_raster` would say of an image, without reading its pixels."""
    with open_raster(path) as raster:
        return RasterInfo(raster.height, raster.width, raster.bands, raster.pixel_size)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Return the codes of a label mask: uint8 (height, width), palette indices or grey values as stored.

    Raises:
        DataFault: the file is not an image, or not one whose values are codes (RGB, 16 bits, lossy).
    """
    codes_HW = read_mask_codes(path)
    if codes_HW.dtype != np.uint8:
        _refuse_mask(path, "uint16 values", fix="name its codes in a table of codes, or export it as 8 bit")
    return codes_HW.astype(np.uint8, copy=False)


def read_mask_codes(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the codes of a mask as stored (height, width), uint16 if it has 16 bits: for a table of codes.

    Raises:
        DataFault: as `read_mask`, but for 16 bits.
    """
    with _opened(path, kinds=("uint8", "uint16")) as (source, header):
        interpretation = tuple(band.name for band in source.colorinterp)
        if _is_lossy(header):
            _refuse_mask(path, "lossy compression, which blurs codes at the edges of grains")
        if header.driver == "GIF":
            _refuse_mask(
                path,
                "a GIF, whose colour numbers change with the program that saves it",
                fix="read it by its colours, or export it as an indexed or grey PNG",
            )
        if interpretation not in (("palette",), ("gray",)):
            _refuse_mask(path, f"bands of the kinds {', '.join(interpretation)}")
        if header.photometric == _MIN_IS_WHITE:
            _refuse_mask(path, "values stored inverted (MinIsWhite), which programs read differently")
        return _read_bands(path, source, (1,), Window(0, 0, int(source.height), int(source.width)))[..., 0]


@contextmanager
def _opened(path: Path, *, kinds: Sequence[str] = ("uint8",)) -> Iterator[tuple[Any, Header]]:
    """Open an image whose header, size and kind of values are fit for use."""
    header = _checked_header(path)
    with quiet_georeference():
        try:
            # The path is absolute and the driver named, so that GDAL takes neither for anything else.
            source = rasterio.open(str(path.absolute()), driver=header.driver)
        except GDAL_ERRORS as error:
            raise _damaged(path, "cannot be opened", error) from error
    with source:
        _check_size(path, source)
        _check_values(path, source, header, kinds)
        yield source, header


def _checked_header(path: Path) -> Header:
    """Return the header of an image, or say what the file is instead."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        _refuse(path, "a name that is not UTF-8", "a name in UTF-8", "rename the file")
    with open_regular(path) as file:
        first_bytes = file.read(512)
        driver: Driver | None = sniff(first_bytes)
        if driver is None:
            found, fix = describe_impostor(first_bytes)
            _refuse(path, found, _FORMATS, fix)
        try:
            header = read_header(file, driver)
        except HeaderError as error:
            raise _damaged(path, "damaged", error) from error
    if header.pages > 1:
        what = "frames of an animation" if driver == "GIF" else "pages"
        fix = f"save the {'frame' if driver == 'GIF' else 'page'} to use as a file of its own"
        _refuse(path, f"{header.pages} {what}", "one image a file", fix)
    return header


def _check_size(path: Path, source: Any) -> None:
    """Refuse sizes that would exhaust the memory before anything is decoded."""
    pixels = source.height * source.width
    if not 0 < pixels <= MAX_PIXELS:
        _refuse(
            path,
            f"{source.width} x {source.height} px",
            f"1 to {MAX_PIXELS} px in all",
            "cut it into parts, or export it again if this is not its size",
        )
    block_bytes = max(height * width for height, width in source.block_shapes) * source.count
    if block_bytes > MAX_BLOCK_BYTES:
        _refuse(
            path,
            f"blocks of {block_bytes / 2**20:.0f} MiB",
            f"tiles or strips of at most {MAX_BLOCK_BYTES / 2**20:.0f} MiB",
            "re-tile it: gdal_translate -co TILED=YES",
        )


def _check_values(path: Path, source: Any, header: Header, kinds: Sequence[str]) -> None:
    """Refuse what has no single meaning as grey or RGB of these kinds of numbers, upright."""
    found = sorted(set(source.dtypes))
    if len(found) != 1 or found[0] not in kinds:
        _refuse(
            path,
            f"{', '.join(found)} values",
            "8 bits per band (uint8)",
            "export it as 8 bit, with the same brightness range for all images",
        )
    orientation = header.orientation
    if header.driver == "JPEG":
        orientation = int(source.tags().get("EXIF_Orientation", "1") or 1)
    if orientation not in (0, 1):  # 0 is not defined, and written by programs that mean "as it is"
        _refuse(
            path,
            f"a turned image (EXIF orientation {orientation})",
            "rows as they are seen",
            "open it in an image editor and save it upright; its mask too",
        )
    color_space = source.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    if header.photometric == _CMYK or color_space in {"CMYK", "YCCK"}:
        _refuse(path, "colours of ink (CMYK)", "grey or RGB", "export it as RGB")
    if header.photometric not in (None, *_READABLE_PHOTOMETRICS) or (
        header.photometric == _YCBCR and header.compression != _JPEG
    ):
        _refuse(path, f"TIFF colour model {header.photometric}", "grey, RGB or palette", "export it as RGB")


def _palette_colors(source: Any) -> NDArray[np.uint8]:
    """Return the colours of a palette (n, 3), or its greys (n, 1) when it holds nothing else.

    GDAL shows an image stored inverted (MinIsWhite) as one with a falling grey palette: it comes out
    as it is meant to be seen.
    """
    colormap = source.colormap(1)
    colors = np.zeros((max(colormap) + 1, 3), np.uint8)
    for index, rgba in colormap.items():
        colors[index] = rgba[:3]
    grey = bool((colors == colors[:, :1]).all())
    return colors[:, :1] if grey else colors


def _is_lossy(header: Header) -> bool:
    return header.driver == "JPEG" or header.compression not in (None, *_EXACT_COMPRESSIONS)


def _pixel_size(source: Any, header: Header) -> PixelSize:
    um = pixel_size_of_tag(source.tags()) or header.pixel_size_um
    return PixelSize.unknown() if um is None else PixelSize(um, "file")


def _read_bands(path: Path, source: Any, bands: Sequence[int], window: Window) -> NDArray[Any]:
    """Return bands (counted from 1) of a window as (height, width, bands)."""
    size_bytes = window.height * window.width * len(bands) * np.dtype(source.dtypes[0]).itemsize
    if size_bytes > MAX_READ_BYTES:
        _refuse(
            path,
            f"{size_bytes / 2**30:.1f} GiB of pixels in one piece",
            f"at most {MAX_READ_BYTES / 2**30:.0f} GiB",
            "cut the image into parts",
        )
    place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    try:
        pixels_BHW: NDArray[Any] = source.read(list(bands), window=place)
    except GDAL_ERRORS as error:
        rows = f"rows {window.row} to {window.row + window.height - 1} cannot be read"
        raise _damaged(path, rows, error) from error
    except MemoryError as error:
        raise EnvironmentFault(
            printable(path),
            found=f"{window.height} x {window.width} px do not fit in memory",
            fix="read it by smaller windows, or on a machine with more memory",
        ) from error
    return np.ascontiguousarray(pixels_BHW.transpose(1, 2, 0))


def _damaged(path: Path, what: str, error: BaseException) -> DataFault:
    """Return the fault of a file that its decoder could not read; the first cause says most."""
    reason = " ".join(str(error.__cause__ or error).split())
    return DataFault(
        printable(path),
        found=f"{what}: {reason}",
        fix="copy the file again from its source, or export it again",
    )


def _refuse(path: Path, found: str, expected: str, fix: str) -> NoReturn:
    raise DataFault(printable(path), found=found, expected=expected, fix=fix)


def _refuse_mask(
    path: Path, found: str, *, fix: str = "export it as an indexed or grey PNG, without smoothing"
) -> NoReturn:
    _refuse(path, found, "a mask whose 8-bit values are codes of the legend", fix)
