"""Align: bring the views of each sample on one pixel grid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

from mineralseg.config.data import AlignSection
from mineralseg.config.params import Params
from mineralseg.core.geometry import Window
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Slide
from mineralseg.io.files import write_json
from mineralseg.io.raster import open_raster
from mineralseg.io.raster_writer import TILE_PX, RasterSpec, raster_writer
from mineralseg.stages.code import code_sha256
from mineralseg.stages.manifest import read_manifest
from mineralseg.stages.per_sample import SampleWork, redo_changed
from mineralseg.stages.workspace import Workspace


def align_slides(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write data/aligned/<sample>/<illumination>.tif for every sample and return the stage's report."""
    tally = redo_changed(
        [_work(slide, params.align, workspace.raw) for slide in read_manifest(workspace.manifest)],
        out=workspace.aligned,
        code=code_sha256("align"),
        progress=progress,
    )
    report = tally.report()
    write_json(workspace.report("align"), report)
    return report


def _work(slide: Slide, align: AlignSection, raw: Path) -> SampleWork:
    depends_on = {
        "align": align.model_dump(mode="json"),
        "views": {name: image.sha256 for name, image in slide.views.items()},
        "pixel_size_um": slide.pixel_size.um,
    }

    def make(folder: Path) -> Mapping[str, Any]:
        match align.kind:
            case "identity":
                return _copy_views(slide, raw, folder)
            case _:
                assert_never(align.kind)

    return SampleWork(slide.sample, depends_on, make)


def _copy_views(slide: Slide, raw: Path, folder: Path) -> Mapping[str, Any]:
    """Write every view as a tiled TIFF, pixels unchanged (sizes were compared when the slide was made)."""
    for name, image in slide.views.items():
        spec = RasterSpec(image.height, image.width, image.bands, pixel_size=slide.pixel_size)
        with (
            open_raster(raw / image.path) as source,
            raster_writer(folder / f"{name}.tif", spec=spec) as target,
        ):
            for row in range(0, image.height, TILE_PX):
                window = Window(row, 0, min(TILE_PX, image.height - row), image.width)
                target.write(source.read(window), row=row)
    return {"method": "identity"}
