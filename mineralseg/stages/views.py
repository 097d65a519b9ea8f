"""Several views of one field as one image whose channels are theirs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.geometry import PixelSize, Window
from mineralseg.errors import DataFault
from mineralseg.io.raster import Raster, open_raster
from mineralseg.models.bundle import ViewSpec


class StackedViews:
    """Open views, read as one image (h, w, sum of bands) in the order they were given."""

    def __init__(self, rasters: Sequence[Raster]) -> None:
        """Stack `rasters`, which agree in size."""
        self._rasters = tuple(rasters)
        self.height, self.width = rasters[0].height, rasters[0].width
        stated = {raster.pixel_size for raster in rasters if raster.pixel_size.um is not None}
        self.pixel_size = stated.pop() if len(stated) == 1 else PixelSize.unknown()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the channels of a window."""
        return np.concatenate([raster.read(window) for raster in self._rasters], axis=2)

    def read_rows(self, row: int, height: int) -> NDArray[np.uint8]:
        """Return the channels of full-width rows."""
        return self.read(Window(row, 0, height, self.width))


@contextmanager
def open_views(paths: Mapping[str, Path], specs: Sequence[ViewSpec], *, group: str) -> Iterator[StackedViews]:
    """Open the files of `specs`' illuminations, in that order, as one image.

    Raises:
        DataFault: a file is unreadable, has another number of bands than the model takes, or another
            size than the first.
    """
    with ExitStack() as stack:
        rasters: list[Raster] = []
        for spec in specs:
            raster = stack.enter_context(open_raster(paths[spec.illumination]))
            if raster.bands != spec.bands:
                raise DataFault(
                    paths[spec.illumination],
                    found=f"{raster.bands} band(s)",
                    expected=f"{spec.bands} for {spec.illumination}",
                    fix="export it as for training",
                )
            if rasters and (raster.height, raster.width) != (rasters[0].height, rasters[0].width):
                raise DataFault(
                    f"group {group}",
                    found=f"{spec.illumination} is {raster.width} x {raster.height} px",
                    expected=f"{rasters[0].width} x {rasters[0].height} px like {specs[0].illumination}",
                    fix="the views of a group must show the same field at the same size",
                )
            rasters.append(raster)
        yield StackedViews(rasters)
