"""Predict: maps, confidence and modal mineralogy of groups of views, one folder a group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE, Legend, histogram
from mineralseg.core.progress import Progress
from mineralseg.errors import ConfigurationError, DataFault, MineralsegError, UntrustedArtefact
from mineralseg.imaging.render import overlay
from mineralseg.io.files import hold_lock, read_json, sha256_file, sweep, write_json
from mineralseg.io.raster_writer import RasterSpec, raster_writer, write_png
from mineralseg.io.tables import write_csv
from mineralseg.petrography.modal import ModalRow, measure_modal
from mineralseg.stages.grids import GroupOnGrid, open_on_grid
from mineralseg.stages.groups import Group
from mineralseg.stages.per_sample import content_key
from mineralseg.stages.scoring import Predictor
from mineralseg.stages.views import StackedViews

RUN_NAME = "run.json"
_PREVIEW_PX = 2048
_SCALE_TOLERANCE = 0.25


@dataclass(frozen=True)
class GroupResult:
    """What became of one group: done, failed or skipped (already there), its files and its modes."""

    group: str
    status: Literal["done", "failed", "skipped"]
    outputs: dict[str, str] = field(default_factory=dict)
    modal_percent: dict[str, float] = field(default_factory=dict)
    error: MineralsegError | None = None


@dataclass(frozen=True)
class ModelIdentity:
    """Which model maps are made with: registered name, version number, hash of the weights."""

    name: str
    version: int
    weights_sha256: str


def predict_groups(
    predictor: Predictor,
    groups: Sequence[Group],
    *,
    model: ModelIdentity,
    out: Path,
    overwrite: bool,
    progress: Progress,
) -> Iterator[GroupResult]:
    """Write `out`/<group>/ for every group, yielding each result as it is there.

    A group whose maps were made from the same files by the same model is skipped. A group that fails
    does not stop the others and leaves no map under a final name; `run.json` is written last, so a
    folder without it is unfinished.

    Args:
        predictor: the model.
        groups: what to predict.
        model: recorded with every map.
        out: folder of the results, locked meanwhile.
        overwrite: replace maps of other inputs or another model instead of refusing.
        progress: told how far each group is.

    Raises:
        Busy: another process writes to `out`.
    """
    with hold_lock(out / ".lock", purpose="predict"):
        for number, group in enumerate(groups, 1):
            prefix = f"predict: {group.name} ({number} of {len(groups)})"
            try:
                yield _predict_group(
                    predictor,
                    group,
                    model=model,
                    folder=out / group.name,
                    overwrite=overwrite,
                    progress=lambda text, prefix=prefix: progress(f"{prefix} {text}"),  # type: ignore[misc]
                )
            except MineralsegError as fault:
                yield GroupResult(group.name, "failed", error=fault)


def _predict_group(
    predictor: Predictor,
    group: Group,
    *,
    model: ModelIdentity,
    folder: Path,
    overwrite: bool,
    progress: Progress,
) -> GroupResult:
    if group.fault is not None:
        raise group.fault
    specs = predictor.views_of(list(group.views), group=group.name)
    _keep_inputs_safe(folder, group)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(
            folder, found="a file", expected="a place for a folder", fix="choose another --out"
        )
    provenance: dict[str, Any] = {
        "model": {
            "name": model.name,
            "version": model.version,
            "weights_sha256": model.weights_sha256,
            "behaviour_sha256": content_key(
                predictor.spec.model_dump(mode="json", exclude={"scores", "training"})
            ),
        },
        "inputs": {
            spec.illumination: {
                "path": str(group.views[spec.illumination]),
                "sha256": sha256_file(group.views[spec.illumination]),
            }
            for spec in specs
        },
    }
    done = _finished(folder, provenance)
    if done is not None and not overwrite:
        progress("is there already")
        return _result(group.name, "skipped", folder, done, predictor.legend)
    if (folder / RUN_NAME).exists() and not overwrite:
        raise ConfigurationError(
            folder,
            found="maps of other inputs or another model",
            expected="an empty place",
            fix="choose another --out, or --overwrite",
        )
    (folder / RUN_NAME).unlink(missing_ok=True)
    sweep(folder)
    with open_on_grid(
        group.views, specs, align=predictor.spec.align, group=group.name, scratch=folder
    ) as placed:
        _compare_scales(predictor, placed.views, group.name)
        modal, preview = _write_maps(predictor, placed, folder, model=model, progress=progress)
        alignment = dict(placed.alignment)
    write_png(folder / "overlay.png", preview)
    outputs = _write_tables(folder, modal) | {
        "labels": "labels.tif",
        "confidence": "confidence.tif",
        "overlay": "overlay.png",
    }
    record = provenance | {
        "group": group.name,
        "alignment": alignment,
        "outputs": outputs,
        "sha256": {kind: sha256_file(folder / name) for kind, name in outputs.items()},
        "modal_percent": {row.mineral: round(row.area_percent, 4) for row in modal},
    }
    write_json(folder / RUN_NAME, record)
    return _result(group.name, "done", folder, record, predictor.legend)


def _result(
    group: str, status: Literal["done", "skipped"], folder: Path, record: dict[str, Any], legend: Legend
) -> GroupResult:
    """Return what the record of a finished group says, with its files where they are now."""
    names = record["outputs"] | {"run": RUN_NAME}
    paths = {kind: str(folder / name) for kind, name in names.items()}
    percent = record["modal_percent"]
    return GroupResult(group, status, paths, {name: percent[name] for name in legend.names})


def _write_maps(
    predictor: Predictor, placed: GroupOnGrid, folder: Path, *, model: ModelIdentity, progress: Progress
) -> tuple[list[ModalRow], NDArray[np.uint8]]:
    """Write labels.tif and confidence.tif strip by strip; return the modes and a picture for the screen.

    Where a registered view has no pixels, the maps say nothing (255).
    """
    legend, views = predictor.legend, placed.views
    counts = np.zeros(len(legend), np.int64)
    step = -(-max(views.height, views.width) // _PREVIEW_PX)
    preview = []
    told = _every_tenth(progress)
    with (
        raster_writer(folder / "labels.tif", spec=_label_spec(predictor, views, model)) as labels,
        raster_writer(folder / "confidence.tif", spec=_confidence_spec(views)) as confidence,
    ):
        for strip in predictor.strips(views, progress=told):
            valid = placed.valid_rows(strip.row, len(strip.classes_HW))
            classes = np.where(valid, strip.classes_HW, np.uint8(IGNORE))
            percent = (strip.confidence_HW * 100 + 0.5).astype(np.uint8)
            labels.write(legend.encode(classes), row=strip.row)
            confidence.write(np.where(valid, percent, np.uint8(IGNORE)), row=strip.row)
            counts += histogram(classes)[: len(legend)]
            rows = slice(-strip.row % step, None, step)
            picked = classes[rows, ::step]
            photo = [
                views.read_rows(strip.row + row, 1)[:, ::step, : predictor.spec.views[0].bands]
                for row in range(-strip.row % step, len(strip.classes_HW), step)
            ]
            if len(picked):
                preview.append(overlay(np.concatenate(photo), picked, legend))
    return measure_modal(counts, legend, views.pixel_size), np.concatenate(preview)


def _label_spec(predictor: Predictor, views: StackedViews, model: ModelIdentity) -> RasterSpec:
    legend = predictor.legend
    tags = {
        "MINERALSEG_MODEL": f"{model.name} version {model.version}",
        "MINERALSEG_WEIGHTS_SHA256": model.weights_sha256,
        **{f"CLASS_{mineral.code}": mineral.name for mineral in legend.minerals},
    }
    return RasterSpec(
        views.height,
        views.width,
        1,
        palette=legend.palette(),
        nodata=IGNORE,
        pixel_size=views.pixel_size,
        tags=tags,
        overviews="mode",
    )


def _confidence_spec(views: StackedViews) -> RasterSpec:
    return RasterSpec(
        views.height,
        views.width,
        1,
        nodata=IGNORE,
        pixel_size=views.pixel_size,
        tags={"UNIT": "percent", "MEANING": "probability of the class in labels.tif"},
        overviews="average",
    )


def _write_tables(folder: Path, modal: Sequence[ModalRow]) -> dict[str, str]:
    """Write the modal mineralogy as CSV and JSON, and return their names."""
    header = ["mineral", "code", "pixels", "area_percent", "area_mm2"]
    write_csv(
        folder / "modal.csv",
        header,
        [
            [
                row.mineral,
                row.code,
                row.pixels,
                f"{row.area_percent:.4f}",
                "" if row.area_mm2 is None else f"{row.area_mm2:.6f}",
            ]
            for row in modal
        ],
    )
    write_json(
        folder / "modal.json",
        {
            "denominator": "all classified pixels",
            "minerals": [{name: getattr(row, name) for name in header} for row in modal],
        },
    )
    return {"modal_csv": "modal.csv", "modal_json": "modal.json"}


def _finished(folder: Path, provenance: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of maps made from the same files by the same model, if they are all sound."""
    try:
        record: dict[str, Any] = read_json(folder / RUN_NAME)
        same = _identity(record) == _identity(provenance)
        sound = same and isinstance(record["modal_percent"], dict)
        sound = sound and all(
            sha256_file(folder / Path(name).name) == record["sha256"][kind]
            for kind, name in record["outputs"].items()
        )
    except (DataFault, KeyError, TypeError, AttributeError):
        return None
    return record if sound else None


def _identity(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what decides whether two records are of the same maps: weights, behaviour, input hashes."""
    model = record["model"]
    inputs = {view: entry["sha256"] for view, entry in record["inputs"].items()}
    return model["weights_sha256"], model["behaviour_sha256"], inputs


def _keep_inputs_safe(folder: Path, group: Group) -> None:
    """Refuse to write where the inputs are, or in a folder in there."""
    for path in group.views.values():
        if folder.resolve().is_relative_to(path.resolve().parent):
            raise ConfigurationError(
                folder,
                found="the folder of the input images",
                expected="another one",
                fix="choose another --out",
            )


def _compare_scales(predictor: Predictor, views: StackedViews, group: str) -> None:
    """Refuse an image whose known pixel size is far from what the model was trained on."""
    known, size = predictor.spec.pixel_size_um, views.pixel_size
    if known is None or size.um is None:
        return
    low, high = known[0] * (1 - _SCALE_TOLERANCE), known[1] * (1 + _SCALE_TOLERANCE)
    if not low <= size.um <= high:
        raise UntrustedArtefact(
            f"group {group}",
            found=f"{size.um:g} um/px",
            expected=f"{low:.3g} to {high:.3g} um/px, what the model was trained on and a quarter beside",
            fix="resample the image, or use a model for this magnification",
        )


def _every_tenth(progress: Progress) -> Any:
    """Return a listener that passes on every tenth of the way."""
    last = -1

    def told(done: int, total: int) -> None:
        nonlocal last
        tenth = 10 * done // total
        if tenth > last:
            last = tenth
            progress(f"{10 * tenth} %")

    return told
