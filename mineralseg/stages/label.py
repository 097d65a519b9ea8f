"""Label: turn each mask into class indices on the grid of the aligned views."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

import numpy as np

from mineralseg.config.data import LabelsSection
from mineralseg.config.params import Params
from mineralseg.core.legend import IGNORE, Legend
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Slide
from mineralseg.errors import DataFault
from mineralseg.io.files import write_json
from mineralseg.io.raster import read_mask
from mineralseg.io.raster_writer import RasterSpec, raster_writer
from mineralseg.io.tables import read_legend
from mineralseg.stages.code import code_sha256
from mineralseg.stages.inspect import counts_of
from mineralseg.stages.manifest import read_manifest
from mineralseg.stages.per_sample import SampleWork, redo_changed
from mineralseg.stages.workspace import Workspace

LABEL_NAME = "label.tif"


def decode_labels(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write data/labels/<sample>/label.tif (class indices, 255 void) and return the stage's report."""
    legend = read_legend(workspace.legend_file)
    tally = redo_changed(
        [_work(slide, legend, params.labels, workspace.raw) for slide in read_manifest(workspace.manifest)],
        out=workspace.labels,
        code=code_sha256("label"),
        progress=progress,
    )
    counts = np.array([record["counts"] for record in tally.records.values()], np.int64)
    shares = counts.sum(axis=0) / max(int(counts.sum()), 1)
    report = tally.report() | {
        "area_percent": {
            name: round(100 * float(share), 4) for name, share in zip(legend.names, shares, strict=True)
        },
    }
    write_json(workspace.report("label"), report)
    return report


def _work(slide: Slide, legend: Legend, labels: LabelsSection, raw: Path) -> SampleWork:
    label = slide.label
    if label is None:
        raise DataFault(f"sample {slide.sample}", found="no mask", expected="one mask in label/")
    depends_on = {
        "labels": labels.model_dump(mode="json"),
        "mask": label.sha256,
        "pixel_size_um": slide.pixel_size.um,
        "legend": legend.to_rows(),
    }

    def make(folder: Path) -> Mapping[str, Any]:
        match labels.kind:
            case "class_ids":
                indices = legend.decode(read_mask(raw / label.path))
            case _:
                assert_never(labels.kind)
        palette = {index: mineral.rgb for index, mineral in enumerate(legend.minerals)}
        spec = RasterSpec(
            label.height,
            label.width,
            1,
            palette=palette | {IGNORE: (0, 0, 0)},
            nodata=IGNORE,
            pixel_size=slide.pixel_size,
        )
        with raster_writer(folder / LABEL_NAME, spec=spec) as target:
            target.write(indices, row=0)
        return {"counts": counts_of(indices, len(legend))}

    return SampleWork(slide.sample, depends_on, make)
