"""Label: turn each mask or mineral map into class indices on the grid of the aligned views."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import CoarseMap, OnGrid
from mineralseg.config.params import Params
from mineralseg.core.geometry import strips
from mineralseg.core.legend import IGNORE, Legend
from mineralseg.core.progress import Progress
from mineralseg.core.registration import Registration
from mineralseg.core.slide import Slide
from mineralseg.errors import DataFault, Refused
from mineralseg.imaging.label_edges import void_band
from mineralseg.imaging.speckle import void_small_patches
from mineralseg.io.files import sha256_file, write_json
from mineralseg.io.raster import open_raster
from mineralseg.io.raster_writer import RasterSpec, raster_writer
from mineralseg.stages.accepted import accepted_slides, forget_accepted, write_accepted
from mineralseg.stages.code import code_sha256
from mineralseg.stages.inspect import counts_of, map_scale
from mineralseg.stages.labelling_evidence import write_labelling_report, write_map_picture
from mineralseg.stages.manifest import read_manifest
from mineralseg.stages.map_placement import LANDMARKS_NAME, map_on_grid, place_map
from mineralseg.stages.masks import MaskReader
from mineralseg.stages.per_sample import SampleWork, read_record, redo_changed
from mineralseg.stages.registering import VALID_NAME
from mineralseg.stages.workspace import LABEL_NAME, Workspace

_STRIP_PX = 512


def decode_labels(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write data/labels/<sample>/label.tif (class indices, 255 void) and return the stage's report.

    The page reports/labelling/index.html shows what became of every mask.

    Raises:
        Refused: a coarse map could not be placed well enough, and its `when_refused` is stop.
    """
    masks = MaskReader.open(params.labels.masks, legend_file=workspace.legend_file, tables=workspace.raw)
    slides = accepted_slides(workspace.aligned, read_manifest(workspace.manifest))
    forget_accepted(workspace.labels)
    tally = redo_changed(
        [_work(slide, params, masks, workspace) for slide in slides],
        out=workspace.labels,
        code=code_sha256("label"),
        progress=progress,
    )
    refused = {
        sample: record["map"]["reason"]
        for sample, record in tally.records.items()
        if record["map"] is not None and record["map"]["verdict"] == "refused"
    }
    write_labelling_report(workspace, masks.legend, tally.records)
    _pass_gate(params, refused, progress)
    accepted = [slide.sample for slide in slides if slide.sample not in refused]
    write_accepted(workspace.labels, accepted)
    report = tally.report() | {"dropped": sorted(refused)}
    report |= _figures([tally.records[sample] for sample in accepted], masks.legend)
    write_json(workspace.report("label"), report)
    return report


def _pass_gate(params: Params, refused: Mapping[str, str], progress: Progress) -> None:
    """Stop when maps were refused and are not to be dropped."""
    placement = params.labels.placement
    if refused and isinstance(placement, CoarseMap) and placement.when_refused == "stop":
        raise Refused(
            "mineral maps",
            found="; ".join(f"sample {sample}: {reason}" for sample, reason in refused.items()),
            expected="maps that pass the gates of labels.placement in params.yaml",
            fix="look at reports/labelling/index.html; mark places in "
            f"data/raw/<sample>/label/{LANDMARKS_NAME}, or leave such samples out with "
            "labels.placement.when_refused: drop",
        )
    for sample, reason in refused.items():
        progress(f"label: {sample} is left out: {reason}")


def _figures(records: list[Mapping[str, Any]], legend: Legend) -> dict[str, Any]:
    """Return area shares over all labelled pixels, and what was voided or not mapped."""
    counts = np.array([record["counts"] for record in records], np.int64).reshape(-1, len(legend)).sum(axis=0)
    shares = counts / max(int(counts.sum()), 1)
    return {
        "area_percent": {
            name: round(100 * float(share), 4) for name, share in zip(legend.names, shares, strict=True)
        },
        "void_percent_most": max((record["void_percent"] for record in records), default=0.0),
        "unmapped_percent_most": max((record["unmapped_percent"] for record in records), default=0.0),
    }


def _work(slide: Slide, params: Params, masks: MaskReader, workspace: Workspace) -> SampleWork:
    label = slide.label
    if label is None:
        raise DataFault(f"sample {slide.sample}", found="no mask", expected="one mask in label/")
    aligned = workspace.aligned / slide.sample
    landmarks = workspace.raw / slide.sample / "label" / LANDMARKS_NAME
    views = read_record(aligned)["files"]
    placement = params.labels.placement
    of_views = VALID_NAME if isinstance(placement, OnGrid) else ".tif"
    marked = isinstance(placement, CoarseMap) and landmarks.is_file()
    depends_on = {
        "masks": masks.key(),
        "placement": placement.model_dump(mode="json", exclude={"when_refused"}),
        "mask": [label.sha256, label.pixel_um],
        "reference": slide.reference,
        "landmarks": sha256_file(landmarks) if marked else None,
        "aligned": {name: digest for name, digest in views.items() if name.endswith(of_views)},
        "pixel_size_um": slide.pixel_size.um,
    }

    def make(folder: Path) -> Mapping[str, Any]:
        mask = masks.read(workspace.raw / label.path)
        match placement:
            case OnGrid():
                indices_HW, placed = mask.indices_HW, None
            case CoarseMap():
                indices_HW, placed = _placed(
                    slide, mask.indices_HW, placement, aligned, landmarks if marked else None
                )
                write_map_picture(folder, slide, aligned, mask.indices_HW, placed, masks.legend)
        if placed is None or placed.verdict == "accepted":
            _void_outside(indices_HW, aligned / VALID_NAME)
            _write_label(folder, indices_HW, slide, masks.legend)
        return {
            "counts": counts_of(indices_HW, len(masks.legend)),
            "void_percent": _percent(int(np.count_nonzero(indices_HW == IGNORE)), indices_HW.size),
            "edge_percent": round(mask.edge_percent, 4),
            "unmapped_percent": round(mask.unmapped_percent, 4),
            "strange": [asdict(each) for each in mask.strange],
            "map": None if placed is None else placed.to_row(),
        }

    return SampleWork(slide.sample, depends_on, make)


def _placed(
    slide: Slide,
    map_HW: NDArray[np.uint8],
    placement: CoarseMap,
    aligned: Path,
    landmarks: Path | None,
) -> tuple[NDArray[np.uint8], Registration]:
    """Return a coarse map on the grid of the views, void where it is not certain; and how it was placed."""
    map_px = map_scale(slide, placement)
    views = {name: aligned / f"{name}.tif" for name in slide.views}
    found = place_map(map_HW, views, map_px=map_px, placement=placement, landmarks=landmarks)
    if found.verdict == "refused" or found.residual_px is None:
        return np.full((slide.height, slide.width), IGNORE, np.uint8), found
    believed_HW = void_small_patches(map_HW, min_area_px=placement.min_area_map_px)
    indices_HW = map_on_grid(believed_HW, found, size_px=(slide.height, slide.width))
    indices_HW = void_band(indices_HW, width_px=placement.void_band * (map_px / 2 + found.residual_px))
    if not (indices_HW != IGNORE).any():
        return indices_HW, replace(found, verdict="refused", reason="the map labels nothing of the view")
    return indices_HW, found


def _void_outside(indices_HW: NDArray[np.uint8], valid: Path) -> None:
    """Make labels void in place where not every view has pixels; views taken as aligned all have them."""
    if not valid.is_file():
        return
    with open_raster(valid) as raster:
        for window in strips((raster.height, raster.width), rows=_STRIP_PX):
            indices_HW[window.slices][raster.read(window)[..., 0] == 0] = IGNORE


def _write_label(folder: Path, indices_HW: NDArray[np.uint8], slide: Slide, legend: Legend) -> None:
    palette = {index: mineral.rgb for index, mineral in enumerate(legend.minerals)}
    spec = RasterSpec(
        indices_HW.shape[0],
        indices_HW.shape[1],
        1,
        palette=palette | {IGNORE: (0, 0, 0)},
        nodata=IGNORE,
        pixel_size=slide.pixel_size,
    )
    with raster_writer(folder / LABEL_NAME, spec=spec) as target:
        target.write(indices_HW, row=0)


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 4)
