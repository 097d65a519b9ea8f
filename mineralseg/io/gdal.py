"""GDAL, closed off before it starts; every module that needs rasterio takes it from here.

GDAL reads its settings when it registers its drivers, so they have to be in the environment before
rasterio is imported; a `rasterio.Env` comes too late for `GDAL_SKIP`.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_CLOSED = {
    # These drivers follow names found inside a file to other files and to the network: a VRT called
    # photo.tif would show any file of this machine as an image.
    "GDAL_SKIP": (
        "VRT GTI DERIVED WMS WMTS WCS HTTP OGCAPI EEDA EEDAI STACIT STACTA PLMOSAIC DAAS NGW "
        "MBTiles GPKG SQLite PDF Rasterlite"
    ),
    # An .aux.xml beside an image would change its palette, scale and nodata.
    "GDAL_PAM_ENABLED": "NO",
    # No other file of the folder is looked at: neither masks, nor overviews, nor world files.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # The fast path for whole PNG images gives black pixels and no error when the file is cut short.
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",
    # A JPEG cut short would be filled up with grey.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",
    # Megabytes of decoded blocks; the default is 5 % of the machine, whatever a container may use.
    "GDAL_CACHEMAX": "256",
}
os.environ.update(_CLOSED)

import rasterio  # noqa: E402 - see above: the settings come first
from rasterio._err import CPLE_BaseError  # noqa: E402 - rasterio lets some of these through as they are
from rasterio.errors import NotGeoreferencedWarning, RasterioError  # noqa: E402

__all__ = ["GDAL_ERRORS", "quiet_georeference", "rasterio"]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""Everything that rasterio raises about a file."""


@contextmanager
def quiet_georeference() -> Iterator[None]:
    """Silence, inside the block, the warning that an image lies nowhere on the Earth: micrographs do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
