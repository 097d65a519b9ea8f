"""Views of a group as they lie, or brought on one grid first, as the model's own samples were."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import AlignByRegistration
from mineralseg.core.geometry import Window
from mineralseg.errors import DataFault
from mineralseg.io.files import scratch_folder
from mineralseg.io.raster import Raster, open_raster, probe
from mineralseg.models.bundle import ViewSpec
from mineralseg.stages.registering import VALID_NAME, register_views, write_on_grid
from mineralseg.stages.views import StackedViews, open_views


@dataclass(frozen=True)
class GroupOnGrid:
    """Open views on one grid, where all of them have pixels, and how each was brought there."""

    views: StackedViews
    valid: Raster | None
    alignment: Mapping[str, Mapping[str, Any]]

    def valid_rows(self, row: int, height: int) -> NDArray[np.bool_]:
        """Return where full-width rows (height, w) have pixels in every view."""
        if self.valid is None:
            return np.ones((height, self.views.width), np.bool_)
        return self.valid.read(Window(row, 0, height, self.views.width))[..., 0] > 0


@contextmanager
def open_on_grid(
    paths: Mapping[str, Path],
    specs: Sequence[ViewSpec],
    *,
    align: AlignByRegistration | None,
    group: str,
    scratch: Path,
) -> Iterator[GroupOnGrid]:
    """Open the files of `specs`' illuminations on one grid: as they are, or registered as `align` says.

    Args:
        paths: files by illumination.
        specs: the views that are read, in channel order.
        align: how the model's own samples were registered; None when views come aligned.
        group: name for messages.
        scratch: folder for the registered views, which live as long as the block.

    Raises:
        DataFault: a file is not usable, or a view could not be registered well enough.
    """
    wanted = {spec.illumination: paths[spec.illumination] for spec in specs}
    if align is not None and align.reference in paths:
        wanted[align.reference] = paths[align.reference]
    if align is None or len(wanted) == 1:
        with open_views(wanted, specs, group=group) as views:
            yield GroupOnGrid(views, None, {})
        return
    reference = align.reference if align.reference in wanted else specs[0].illumination
    infos = {name: probe(path) for name, path in wanted.items()}
    found = register_views(
        wanted,
        reference=reference,
        align=align,
        pixel_um={name: info.pixel_size.um for name, info in infos.items()},
    )
    refused = [f"{name}: {each.reason}" for name, each in found.items() if each.verdict == "refused"]
    if refused:
        raise DataFault(
            f"group {group}",
            found="; ".join(refused),
            expected=f"views of one field that can be brought on {reference}",
            fix="check that all views show one field; `mineralseg register` shows two of them",
        )
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(scratch))
        write_on_grid(
            wanted,
            {name: each.warp for name, each in found.items()},
            reference=reference,
            folder=folder,
            pixel_size=infos[reference].pixel_size,
        )
        placed = {name: folder / f"{name}.tif" for name in wanted}
        views = stack.enter_context(open_views(placed, specs, group=group))
        valid = stack.enter_context(open_raster(folder / VALID_NAME))
        yield GroupOnGrid(views, valid, {name: each.to_row() for name, each in found.items()})
