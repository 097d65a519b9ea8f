"""Claim: writing a raster that is read back and compared costs a small multiple of writing it unchecked.

Writes the same label map through `raster_writer` and through bare rasterio with the same options, in
turn, and prints the ratio of the median times.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mineralseg.io.gdal import quiet_georeference, rasterio
from mineralseg.io.raster_writer import RasterSpec, raster_writer

SIDE_PX, STRIP_PX, ROUNDS = 8192, 512, 3


def label_map() -> np.ndarray:
    """Return blocky class indices, about as compressible as a mineral map."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 7, (SIDE_PX // 32, SIDE_PX // 32), np.uint8)
    return coarse.repeat(32, 0).repeat(32, 1)


def write_checked(path: Path, pixels: np.ndarray) -> None:
    """Write through the project's writer."""
    with raster_writer(path, spec=RasterSpec(SIDE_PX, SIDE_PX, 1)) as target:
        for row in range(0, SIDE_PX, STRIP_PX):
            target.write(pixels[row : row + STRIP_PX], row=row)


def write_bare(path: Path, pixels: np.ndarray) -> None:
    """Write through rasterio alone."""
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": SIDE_PX, "width": SIDE_PX}
    options |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    with quiet_georeference(), rasterio.open(path, "w", **options) as target:
        for row in range(0, SIDE_PX, STRIP_PX):
            place = rasterio.windows.Window(0, row, SIDE_PX, STRIP_PX)
            target.write(pixels[None, row : row + STRIP_PX], window=place)


def main() -> None:
    """Print the ratio."""
    pixels = label_map()
    seconds: dict[str, list[float]] = {"checked": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, write in (("checked", write_checked), ("bare", write_bare)):
                started = time.perf_counter()
                write(Path(folder) / f"{name}.tif", pixels)
                seconds[name].append(time.perf_counter() - started)
    checked, bare = (statistics.median(seconds[name]) for name in ("checked", "bare"))
    print(f"{SIDE_PX} x {SIDE_PX} px: checked {checked:.2f} s, bare {bare:.2f} s, ratio {checked / bare:.2f}")


if __name__ == "__main__":
    main()
