"""Align: bring the views of each sample on one pixel grid, with the evidence that they lie on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mineralseg.config.data import AlignByRegistration, AlignIdentity, AlignSection
from mineralseg.config.params import Params
from mineralseg.core.geometry import strips
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Slide
from mineralseg.errors import Refused
from mineralseg.io.files import write_json
from mineralseg.io.raster import open_raster
from mineralseg.io.raster_writer import TILE_PX, RasterSpec, raster_writer
from mineralseg.stages.accepted import forget_accepted, write_accepted
from mineralseg.stages.alignment_evidence import write_alignment_report, write_evidence
from mineralseg.stages.code import code_sha256
from mineralseg.stages.manifest import read_manifest
from mineralseg.stages.per_sample import SampleWork, Tally, redo_changed
from mineralseg.stages.registering import register_views, write_on_grid
from mineralseg.stages.workspace import Workspace


def align_slides(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write data/aligned/<sample>/<illumination>.tif for every sample and return the stage's report.

    Registered samples also get valid.tif, and for each view <view>.registration.json and a picture; the
    page reports/alignment/index.html shows them, worst first.

    Raises:
        Refused: a view could not be registered well enough, and `align.when_refused` is stop.
    """
    slides = read_manifest(workspace.manifest)
    forget_accepted(workspace.aligned)
    tally = redo_changed(
        [_work(slide, params.align, workspace.raw) for slide in slides],
        out=workspace.aligned,
        code=code_sha256("align"),
        progress=progress,
    )
    refused = refusals(tally)
    write_alignment_report(workspace, params.align, slides, tally.records)
    if refused and not (
        isinstance(params.align, AlignByRegistration) and params.align.when_refused == "drop"
    ):
        raise Refused(
            "alignment",
            found="; ".join(f"sample {sample}: {reason}" for sample, reason in refused.items()),
            expected="views of one field that pass the gates of align in params.yaml",
            fix="look at reports/alignment/index.html; correct the images, widen the gates, "
            "or leave such samples out with align.when_refused: drop",
        )
    for sample, reason in refused.items():
        progress(f"align: {sample} is left out: {reason}")
    write_accepted(workspace.aligned, [slide.sample for slide in slides if slide.sample not in refused])
    report = tally.report() | {"dropped": sorted(refused)} | _figures(tally.records)
    write_json(workspace.report("align"), report)
    return report


def refusals(tally: Tally) -> dict[str, str]:
    """Return why each refused sample is refused."""
    reasons = {
        sample: "; ".join(
            f"{view}: {row['reason']}" for view, row in record["views"].items() if row["verdict"] == "refused"
        )
        for sample, record in tally.records.items()
    }
    return {sample: reason for sample, reason in reasons.items() if reason}


def _work(slide: Slide, align: AlignSection, raw: Path) -> SampleWork:
    depends_on = {
        "align": align.model_dump(mode="json", exclude={"when_refused", "reference"}),
        "views": {name: [image.sha256, image.pixel_um] for name, image in slide.views.items()},
        "reference": slide.reference,
        "pixel_size_um": slide.pixel_size.um,
    }

    def make(folder: Path) -> Mapping[str, Any]:
        match align:
            case AlignIdentity():
                return _copy_views(slide, raw, folder)
            case AlignByRegistration():
                return _register(slide, align, raw, folder)

    return SampleWork(slide.sample, depends_on, make)


def _copy_views(slide: Slide, raw: Path, folder: Path) -> Mapping[str, Any]:
    """Write every view as a tiled TIFF, pixels unchanged (ingest compared their sizes)."""
    for name, image in slide.views.items():
        spec = RasterSpec(image.height, image.width, image.bands, pixel_size=slide.pixel_size)
        with (
            open_raster(raw / image.path) as source,
            raster_writer(folder / f"{name}.tif", spec=spec) as target,
        ):
            for window in strips((image.height, image.width), rows=TILE_PX):
                target.write(source.read(window), row=window.row)
    return {"views": {}}


def _register(slide: Slide, align: AlignByRegistration, raw: Path, folder: Path) -> Mapping[str, Any]:
    """Register the views, write them on one grid if all were accepted, and write the evidence."""
    paths = {name: raw / image.path for name, image in slide.views.items()}
    found = register_views(
        paths,
        reference=slide.reference,
        align=align,
        pixel_um=_pixel_um(slide),
    )
    if all(each.verdict == "accepted" for each in found.values()):
        warps = {name: each.warp for name, each in found.items()}
        covered = write_on_grid(
            paths, warps, reference=slide.reference, folder=folder, pixel_size=slide.pixel_size
        )
    else:
        covered = {}
    views = {}
    for name, each in found.items():
        views[name] = each.to_row() | {
            "reference": slide.reference,
            "residual_um": _um(each.residual_px, slide),
            "covered": None if name not in covered else round(covered[name], 4),
        }
        write_json(folder / f"{name}.registration.json", views[name])
        write_evidence(folder / f"{name}.png", slide=slide, view=name, registration=each, raw=raw)
    return {"views": views}


def _pixel_um(slide: Slide) -> dict[str, float | None]:
    """Return um per pixel by view as the files say; of a reference that is silent, as a person declared."""
    stated = {name: image.pixel_um for name, image in slide.views.items()}
    return stated | {slide.reference: stated[slide.reference] or slide.pixel_size.um}


def _um(residual_px: float | None, slide: Slide) -> float | None:
    um = slide.pixel_size.um
    return None if um is None or residual_px is None else round(residual_px * um, 4)


def _figures(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metrics over the accepted views: worst and median residual, lowest score, least covered."""
    rows = [
        row
        for record in records.values()
        for row in record["views"].values()
        if all(each["verdict"] == "accepted" for each in record["views"].values())
    ]
    if not rows:
        return {}
    residuals = [row["residual_px"] for row in rows]
    return {
        "residual_px_worst": max(residuals),
        "residual_px_median": round(float(np.median(residuals)), 4),
        "score_lowest": min(row["score"] for row in rows),
        "covered_least": min(row["covered"] for row in rows),
    }
