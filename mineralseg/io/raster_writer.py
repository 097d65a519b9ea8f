"""The one writer of rasters: what has its final name was read back from the disk, block by block.

GDAL flushes its last blocks when a file is closed, and rasterio does not report what fails there: on a
full disk a raster can be lost without an error. So a raster is written under a temporary name, closed,
opened again and compared with the checksums taken on the way in, and only then renamed.
"""

import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from mineralseg.core.geometry import PixelSize, Window
from mineralseg.errors import DataFault, EnvironmentFault
from mineralseg.io.files import open_regular, printable, replacement, write_atomic
from mineralseg.io.gdal import GDAL_ERRORS, quiet_georeference, rasterio
from mineralseg.io.headers import PIXEL_SIZE_TAG, HeaderError, read_header

TILE_PX = 512
"""Side of a tile: strips of a multiple of it are written and read without touching a tile twice."""

_UM_PER_CM = 10_000.0


@dataclass(frozen=True)
class RasterSpec:
    """What a raster will be: uint8, `bands` 1 (grey or palette) or 3 (RGB).

    `palette` gives colours (r, g, b) to codes; `nodata` is the value that means nothing is known;
    `overviews` says how smaller copies for display are made: "mode" (most frequent) for codes,
    "average" for colours, None for none.
    """

    height: int
    width: int
    bands: int
    palette: Mapping[int, tuple[int, int, int]] | None = None
    nodata: int | None = None
    pixel_size: PixelSize = field(default_factory=PixelSize.unknown)
    tags: Mapping[str, str] = field(default_factory=dict)
    overviews: Literal["mode", "average"] | None = None

    def __post_init__(self) -> None:
        if self.height <= 0 or self.width <= 0 or self.bands not in (1, 3):
            raise ValueError(f"no raster has {self.height} x {self.width} px and {self.bands} bands")
        if self.palette is not None and (self.bands != 1 or self.overviews == "average"):
            raise ValueError("a palette belongs to one band of codes, and codes have no average")
        if PIXEL_SIZE_TAG in self.tags:
            raise ValueError(f"{PIXEL_SIZE_TAG} is written from pixel_size")


@dataclass(frozen=True)
class _Written:
    """One window as it was handed in: where, and the CRC32 of its bytes (height, width, bands)."""

    window: Window
    crc: int


class RasterWriter:
    """Takes the pixels of one raster, each exactly once, every column from top to bottom."""

    def __init__(self, path: Path, spec: RasterSpec, target: Any) -> None:
        """Write to the open dataset `target`; `path` is the name to tell in errors."""
        self._path, self._spec, self._target = path, spec, target
        self._written: list[_Written] = []
        self._next_row_W = np.zeros(spec.width, np.int64)

    def write(self, pixels: NDArray[np.uint8], *, row: int, col: int = 0) -> None:
        """Write uint8 pixels (h, w) or (h, w, bands) with their top left corner at (row, col).

        Raises:
            ValueError: a pixel lies outside, was written before, or would leave a gap above it.
            EnvironmentFault: the disk refused.
        """
        spec = self._spec
        pixels_HWB = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
        if pixels_HWB.dtype != np.uint8 or pixels_HWB.ndim != 3 or pixels_HWB.shape[2] != spec.bands:
            raise ValueError(f"{pixels.dtype} {pixels.shape} are not uint8 pixels of {spec.bands} bands")
        window = Window(row, col, pixels_HWB.shape[0], pixels_HWB.shape[1])
        rows, cols = window.slices
        if col < 0 or cols.stop > spec.width or rows.stop > spec.height:
            raise ValueError(f"{window} reaches over a raster of {spec.height} x {spec.width}")
        if not (self._next_row_W[cols] == row).all():
            raise ValueError(f"{window} writes pixels twice or leaves a gap above")
        with _gdal_writing(self._path):
            self._target.write(pixels_HWB.transpose(2, 0, 1), window=_place(window))
        self._next_row_W[cols] = rows.stop
        self._written.append(_Written(window, _crc(pixels_HWB)))

    def _finish(self) -> tuple[_Written, ...]:
        """Close the dataset and return what was written to it.

        Raises:
            ValueError: a pixel was never written.
        """
        missing = int((self._spec.height - self._next_row_W).sum())
        if missing:
            raise ValueError(f"{missing} pixels of {self._path} were never written")
        with _gdal_writing(self._path):
            self._target.close()
        return tuple(self._written)


@contextmanager
def raster_writer(path: Path, *, spec: RasterSpec) -> Iterator[RasterWriter]:
    """Write a tiled, deflate-compressed TIFF that takes the name `path` once it is complete and read back.

    On any failure an older file of that name stays as it was, and nothing new is left.

    Raises:
        EnvironmentFault: the disk or the rights do not allow it, or what was read back differs.
        ValueError: the block did not write every pixel exactly once.
    """
    with replacement(path) as temporary:
        with quiet_georeference(), _gdal_writing(path):
            target = rasterio.open(temporary, "w", **_profile(spec))
        try:
            with _gdal_writing(path):
                _describe(target, spec)
            writer = RasterWriter(path, spec, target)
            yield writer
            written = writer._finish()
        finally:
            with suppress(*GDAL_ERRORS):
                target.close()
        if spec.overviews is not None:
            _build_overviews(path, temporary, spec)
        _verify(path, temporary, written)


def write_png(path: Path, rgb_HWC: NDArray[np.uint8], *, text: Mapping[str, str] | None = None) -> None:
    """Write RGB pixels, uint8 (height, width, 3), as a PNG, wholly or not at all.

    Args:
        path: the file to write.
        rgb_HWC: the pixels.
        text: metadata by keyword (1 to 79 Latin-1 characters).

    Raises:
        EnvironmentFault: the disk or the rights do not allow it.
    """
    if rgb_HWC.dtype != np.uint8 or rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3:
        raise ValueError(f"{rgb_HWC.dtype} {rgb_HWC.shape} are not uint8 RGB pixels")
    metadata = PngImagePlugin.PngInfo()
    for keyword, value in (text or {}).items():
        metadata.add_text(keyword, value)
    buffer = io.BytesIO()
    Image.fromarray(rgb_HWC).save(buffer, "PNG", pnginfo=metadata)
    write_atomic(path, buffer.getvalue())


def _profile(spec: RasterSpec) -> dict[str, Any]:
    """Return the creation options of a raster."""
    longest_px = max(spec.height, spec.width)
    tile_px = min(TILE_PX, -(-longest_px // 16) * 16)  # TIFF wants multiples of 16
    photometric = "palette" if spec.palette is not None else "minisblack" if spec.bands == 1 else "rgb"
    return {
        "driver": "GTiff",
        "height": spec.height,
        "width": spec.width,
        "count": spec.bands,
        "dtype": "uint8",
        "nodata": spec.nodata,
        "tiled": True,
        "blockxsize": tile_px,
        "blockysize": tile_px,
        "interleave": "pixel",
        "photometric": photometric,
        "compress": "deflate",
        "predictor": 1 if spec.palette is not None else 2,  # differences of codes mean nothing
        "BIGTIFF": "IF_SAFER",
    }


def _describe(target: Any, spec: RasterSpec) -> None:
    """Write palette, tags and pixel size; they come before the pixels, so that the header stays in front."""
    if spec.palette is not None:
        target.write_colormap(1, dict(spec.palette))
    tags = dict(spec.tags)
    if spec.pixel_size.um is not None:
        per_cm = repr(_UM_PER_CM / spec.pixel_size.um)
        tags |= {"TIFFTAG_XRESOLUTION": per_cm, "TIFFTAG_YRESOLUTION": per_cm, "TIFFTAG_RESOLUTIONUNIT": "3"}
        tags[PIXEL_SIZE_TAG] = repr(spec.pixel_size.um)
    target.update_tags(**tags)


def _overview_factors(spec: RasterSpec) -> list[int]:
    """Return 2, 4, 8 ... until the smallest copy fits in one tile."""
    factors: list[int] = []
    while max(spec.height, spec.width) > TILE_PX * 2 ** len(factors):
        factors.append(2 ** (len(factors) + 1))
    return factors


def _build_overviews(path: Path, temporary: Path, spec: RasterSpec) -> None:
    """Add smaller copies to the closed raster."""
    factors = _overview_factors(spec)
    if not factors:
        return
    resampling = rasterio.enums.Resampling[spec.overviews]
    with quiet_georeference(), _gdal_writing(path):
        with rasterio.open(temporary, "r+", driver="GTiff") as target:
            target.build_overviews(factors, resampling)
        # A closed file says whether the copies reached it.
        with rasterio.open(temporary, driver="GTiff") as source:
            built = source.overviews(1)
    if built != factors:
        raise _lost(path, f"overviews {built} instead of {factors}")


def _verify(path: Path, temporary: Path, written: tuple[_Written, ...]) -> None:
    """Compare the closed file with what was handed in, and decode every block of its overviews."""
    try:
        with open_regular(temporary) as file:
            read_header(file, "GTiff")
    except (HeaderError, DataFault) as error:
        raise _lost(path, str(error)) from error
    with quiet_georeference(), _gdal_writing(path), rasterio.open(temporary, driver="GTiff") as source:
        for part in written:
            pixels_BHW = source.read(window=_place(part.window))
            if _crc(pixels_BHW.transpose(1, 2, 0)) != part.crc:
                raise _lost(path, f"other pixels at {part.window}")
        overviews = len(source.overviews(1))
    for level in range(overviews):
        with (
            quiet_georeference(),
            _gdal_writing(path),
            rasterio.open(temporary, driver="GTiff", overview_level=level) as source,
        ):
            for _, place in source.block_windows(1):
                source.read(window=place)


def _crc(pixels_HWB: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels_HWB).data)


def _place(window: Window) -> Any:
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)


@contextmanager
def _gdal_writing(path: Path) -> Iterator[None]:
    """Turn what GDAL reports while `path` is written or read back into an `EnvironmentFault`."""
    try:
        yield
    except GDAL_ERRORS as error:
        raise _lost(path, " ".join(str(error.__cause__ or error).split())) from error


def _lost(path: Path, reason: str) -> EnvironmentFault:
    return EnvironmentFault(
        printable(path),
        found=f"could not be written whole ({reason})",
        fix="make sure that the disk has space and works, then run again",
    )
