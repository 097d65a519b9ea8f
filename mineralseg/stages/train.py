"""Train: find the weights, with every epoch on record and on disk."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from mineralseg.config.params import Params
from mineralseg.core.confusion import rounded
from mineralseg.core.legend import Legend
from mineralseg.core.progress import Progress
from mineralseg.engine.checkpoint import load_checkpoint
from mineralseg.engine.device import make_deterministic
from mineralseg.engine.fit import FitState
from mineralseg.io.files import hold_lock, sweep, write_json, write_text
from mineralseg.io.tables import read_legend, write_csv
from mineralseg.models.bundle import save_bundle
from mineralseg.stages.code import code_sha256
from mineralseg.stages.fitting import Training, confusion_of, epoch_metrics
from mineralseg.stages.manifest import read_manifest, read_split
from mineralseg.stages.per_sample import content_key
from mineralseg.stages.runs import RunBook
from mineralseg.stages.training_data import (
    SampleFiles,
    content_of,
    forget_working_copies,
    part_samples,
    view_specs,
)
from mineralseg.stages.workspace import Workspace
from mineralseg.tracking.tracker import Tracker

HISTORY_NAME = "history.csv"
_FINISHED = "finished"


def train_model(params: Params, workspace: Workspace, *, runs: RunBook, progress: Progress) -> dict[str, Any]:
    """Train on part `train`, validate on whole images of part `val`, and write model/ (a bundle).

    An interrupted training of the same data, parameters and code goes on where its last checkpoint was
    and ends with the same weights.

    Returns:
        The stage's report: epochs, the epoch kept, its validation scores.

    Raises:
        Busy: another process trains in this workspace.
        Refused: the loss became infinite or NaN.
    """
    with hold_lock(workspace.lock("train"), purpose="training"):
        make_deterministic(threads=params.train.threads)
        legend = read_legend(workspace.legend_file)
        slides, split = read_manifest(workspace.manifest), read_split(workspace.splits)
        train = part_samples(workspace, slides, split, "train", params.data)
        val = part_samples(workspace, slides, split, "val", params.data)
        specs = view_specs(slides, params.data)
        identity = training_identity(params, legend, train=train, val=val)
        fingerprint = identity["fingerprint"]
        folder = workspace.checkpoints / fingerprint[:32]
        sweep(folder)
        found = load_checkpoint(folder, warn=progress)
        _forget_other_trainings(workspace, fingerprint)
        forget_working_copies(workspace, [*train, *val], data=params.data, specs=specs)
        state, run_id = found or (None, None)
        name = f"{params.model.arch}-{params.model.encoder}-{fingerprint[:6]}"
        with runs.open(
            name=name,
            fingerprint=fingerprint,
            tags=identity_tags(identity),
            resume_run_id=run_id or None,
        ) as tracker:
            describe_run(tracker, params, identity, train=train, val=val)
            if state is not None and tracker.run_id != run_id:
                log_history(tracker, state, legend)
            training = Training(params, legend, specs, workspace=workspace, progress=progress)
            state = training.run(train, val, resume=state, tracker=tracker, checkpoints=folder)
        bundle = training.bundle(state, identity, pixel_sizes=[f.slide.pixel_size.um for f in train])
        save_bundle(bundle, workspace.model)
        write_text(folder / _FINISHED, "")
        _write_history(workspace, state, legend)
        report = _report(state, legend)
        write_json(workspace.report("train"), report)
        return report


def training_identity(
    params: Params, legend: Legend, *, train: Sequence[SampleFiles], val: Sequence[SampleFiles]
) -> dict[str, str]:
    """Return the hashes that identify a training; `fingerprint` covers everything its weights depend on."""
    parts = {
        "code_sha256": code_sha256("train"),
        "legend_sha256": content_key({"legend": legend.to_rows()}),
        "train_data_sha256": content_key(content_of(train)),
        "val_data_sha256": content_key(content_of(val)),
        "params_sha256": params_sha256(params),
    }
    return {"fingerprint": content_key(parts), **parts}


def params_sha256(params: Params) -> str:
    """Return one hash over the parameters that the weights depend on."""
    sections = params.model_dump(mode="json", include={"data", "model", "train", "inference"})
    return content_key({"seed": params.project.seed, **sections})


def identity_tags(identity: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of a training as tags of its run and of its versions."""
    return {f"mineralseg.{name}": value for name, value in identity.items()}


def describe_run(
    tracker: Tracker,
    params: Params,
    identity: dict[str, str],
    *,
    train: Sequence[SampleFiles],
    val: Sequence[SampleFiles],
) -> None:
    """Log parameters and data sets of a training to its run."""
    tracker.log_params(params.flat())
    for context, samples in (("training", train), ("validation", val)):
        tracker.log_dataset(
            name=f"{params.project.name}/{context}",
            digest=identity[f"{'train' if context == 'training' else 'val'}_data_sha256"][:36],
            source="data/aligned",
            context=context,
            tags={"samples": ", ".join(files.slide.sample for files in samples)[:500]},
        )


def log_history(tracker: Tracker, state: FitState, legend: Legend) -> None:
    """Log the epochs that another run saw to the run that goes on with them."""
    for epoch, row in enumerate(state.history, 1):
        tracker.log_metrics(epoch_metrics(row, legend), step=epoch)


def _forget_other_trainings(workspace: Workspace, fingerprint: str) -> None:
    """Remove the checkpoints of finished trainings; those of interrupted ones may still go on."""
    if not workspace.checkpoints.is_dir():
        return
    for folder in workspace.checkpoints.iterdir():
        if folder.name != fingerprint[:32] and (folder / _FINISHED).exists():
            shutil.rmtree(folder)


def _write_history(workspace: Workspace, state: FitState, legend: Legend) -> None:
    """Write one row an epoch, for `dvc plots` and spreadsheets."""
    rows = [epoch_metrics(row, legend) for row in state.history]
    write_csv(
        workspace.root / "reports" / HISTORY_NAME,
        ["epoch", *rows[0]],
        [[number, *(round(value, 6) for value in row.values())] for number, row in enumerate(rows, 1)],
    )


def _report(state: FitState, legend: Legend) -> dict[str, Any]:
    kept = confusion_of(state.history[state.kept_epoch - 1])
    return {
        "epochs": state.epoch,
        "kept_epoch": state.kept_epoch,
        "val_mean_iou": rounded(kept.mean_iou()),
        "val_pixel_accuracy": rounded(kept.pixel_accuracy()),
        "val_iou": {n: rounded(float(v)) for n, v in zip(legend.names, kept.iou(), strict=True)},
    }
