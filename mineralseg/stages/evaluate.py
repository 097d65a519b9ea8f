"""Evaluate: score a model on samples that it has not seen, and show where it is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import AlignByRegistration
from mineralseg.config.params import Params
from mineralseg.core.legend import Legend
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Illumination
from mineralseg.core.split import Part
from mineralseg.engine.device import make_deterministic
from mineralseg.errors import ConfigurationError, DataFault, DataFaults, MineralsegError, UntrustedArtefact
from mineralseg.imaging.figures import confusion_figure
from mineralseg.imaging.render import colorize, error_map, overlay
from mineralseg.io.files import write_atomic, write_json
from mineralseg.io.raster import read_mask
from mineralseg.io.raster_writer import write_png
from mineralseg.io.samples import SampleFolder, find_samples
from mineralseg.io.tables import find_legend, read_legend, read_samples, write_csv
from mineralseg.models.bundle import Bundle, BundleSpec, Scores, load_bundle
from mineralseg.models.card import render_card
from mineralseg.stages.evaluation_page import SampleFigures, render_page
from mineralseg.stages.manifest import read_manifest, read_split
from mineralseg.stages.per_sample import content_key
from mineralseg.stages.runs import RunBook
from mineralseg.stages.scoring import (
    LabelledSample,
    Predictor,
    SampleScore,
    pooled,
    score_samples,
    summarise,
)
from mineralseg.stages.training_data import content_of, part_samples
from mineralseg.stages.workspace import Workspace
from mineralseg.tracking.tracker import Tracker


def evaluate_model(
    params: Params, workspace: Workspace, *, runs: RunBook, progress: Progress
) -> dict[str, Any]:
    """Score model/ on part `test`; write report, page and pictures, and add them to the training's run."""
    make_deterministic(threads=params.train.threads)
    bundle = load_bundle(workspace.model)
    predictor = Predictor(bundle)
    samples = workspace_samples(params, workspace, "test", bundle)
    scores = score_samples(predictor, samples, scratch=workspace.scratch, progress=progress)
    summary = summarise(scores, predictor.legend)
    report = summary.model_dump(mode="json")
    write_json(workspace.report("evaluate"), report)
    write_evaluation(workspace.evaluation, scores, bundle, overlays=params.eval.overlays)
    scored = bundle.with_scores(summary).spec
    run = runs.find(bundle.spec.training["fingerprint"])
    log_evaluation(run, scored, workspace.evaluation, name=params.project.name)
    return report


def evaluate_bundle(
    bundle: Bundle, samples: Sequence[LabelledSample], *, scratch: Path, progress: Progress
) -> Scores:
    """Return the pooled scores of a bundle on labelled samples; `scratch` holds registered views."""
    if not samples:
        raise ConfigurationError("evaluate", found="no sample", expected="at least one labelled sample")
    predictor = Predictor(bundle)
    scores = score_samples(predictor, samples, scratch=scratch, progress=progress)
    return summarise(scores, predictor.legend)


def workspace_samples(
    params: Params, workspace: Workspace, part: Part, bundle: Bundle
) -> list[LabelledSample]:
    """Return the aligned, labelled samples of one part of a workspace, for a bundle that may be scored there.

    Raises:
        UntrustedArtefact: the bundle has other classes, or was trained on other data or another split, so
            that a held-out sample of today may be one that it has seen.
    """
    _require_same_classes(bundle, read_legend(workspace.legend_file), workspace.legend_file)
    slides, split = read_manifest(workspace.manifest), read_split(workspace.splits)
    for seen in ("train", "val") if part != "train" else ():
        content = content_key(content_of(part_samples(workspace, slides, split, seen, params.data)))
        if content != bundle.spec.training[f"{seen}_data_sha256"]:
            raise UntrustedArtefact(
                "model",
                found=f"training with other {seen} samples than the workspace has now",
                expected="the same data and split, or its scores could be of rock that it has seen",
                fix="check out the data of that version, or score it on other slides with --data",
            )
    return [
        LabelledSample(files.slide.sample, files.views, files.labels, align=None)
        for files in part_samples(workspace, slides, split, part, params.data)
    ]


def folder_samples(root: Path, bundle: Bundle) -> list[LabelledSample]:
    """Return the labelled samples of a folder in the guide's layout, whose legend must be the bundle's.

    Their masks hold codes on the grid of the model's reference view, or of that which samples.csv names.

    Raises:
        UntrustedArtefact: the bundle's classes are not those of the folder.
        DataFaults: samples without exactly one mask, or with a view twice.
    """
    legend = read_legend(find_legend(root))
    _require_same_classes(bundle, legend, root)
    table = root / "samples.csv"
    references = {row.sample: row.reference for row in read_samples(table)} if table.is_file() else {}
    samples, faults = [], list[MineralsegError]()
    for folder in find_samples(root):
        twice = [str(name) for name, paths in folder.views.items() if len(paths) > 1]
        if len(folder.labels) != 1 or twice:
            found = f"{', '.join(twice)} twice" if twice else f"{len(folder.labels)} masks"
            faults.append(
                DataFault(f"sample {folder.name}", found=found, expected="one file a view, one mask")
            )
        else:
            samples.append(_labelled(folder, legend, bundle.spec.align, references.get(folder.name)))
    if faults:
        raise DataFaults(faults)
    return samples


def write_evaluation(folder: Path, scores: Sequence[SampleScore], bundle: Bundle, *, overlays: int) -> None:
    """Write index.html, the confusion matrix (PNG, CSV) and pictures of the worst samples into `folder`."""
    legend = bundle.spec.legend
    total = pooled(scores, classes=len(legend))
    write_atomic(folder / "confusion.png", confusion_figure(total, legend))
    write_csv(
        folder / "confusion.csv",
        ["truth \\ predicted", *legend.names],
        [[name, *row] for name, row in zip(legend.names, total.counts.tolist(), strict=True)],
    )
    worst_first = sorted(scores, key=lambda each: (each.confusion.mean_iou(), each.name))
    figures = []
    for each in worst_first[:overlays]:
        pictures = {
            "image": np.broadcast_to(each.image_HWC, (*each.truth_HW.shape, 3)),
            "truth": colorize(each.truth_HW, legend),
            "prediction": colorize(each.predicted_HW, legend),
            "overlay": overlay(each.image_HWC, each.predicted_HW, legend),
            "errors": error_map(each.image_HWC, each.truth_HW, each.predicted_HW),
        }
        names = {kind: f"{each.name}_{kind}.png" for kind in pictures}
        for kind, picture in pictures.items():
            write_png(folder / names[kind], np.ascontiguousarray(picture))
        figures.append(SampleFigures(each.name, each.confusion, names))
    write_atomic(folder / "index.html", render_page(bundle.spec, scores, figures).encode())


def log_evaluation(tracker: Tracker, spec: BundleSpec, folder: Path, *, name: str) -> None:
    """Add the scores in `spec`, confusion matrix, overlays, error maps and the model card to a run."""
    scores = spec.scores
    if scores is not None:
        named = {"pixel_accuracy": scores.pixel_accuracy, "mean_iou": scores.mean_iou}
        named |= {f"iou/{mineral}": value for mineral, value in scores.iou.items()}
        tracker.log_metrics({f"test/{k}": v for k, v in named.items() if v is not None}, step=0)
    card = render_card(spec, name=name)
    tracker.set_description(card)
    tracker.log_text(card, "model-card.md")
    # At the top of the run's files, for that is where MLflow offers them side by side for two runs.
    for path in sorted(folder.glob("*.png")):
        if path.stem == "confusion" or path.stem.endswith(("_overlay", "_errors")):
            tracker.log_artifact(path, folder="")


def _require_same_classes(bundle: Bundle, legend: Legend, place: Path) -> None:
    """Refuse to score a bundle against a legend with other codes or names."""
    theirs = bundle.spec.legend
    if [(m.code, m.name) for m in legend.minerals] != [(m.code, m.name) for m in theirs.minerals]:
        raise UntrustedArtefact(
            "model",
            found=f"classes {_listed(theirs)}",
            expected=f"{_listed(legend)} as in {place}",
            fix="evaluate on data with the model's classes",
        )


def _labelled(
    folder: SampleFolder, legend: Legend, align: AlignByRegistration | None, reference: str | None
) -> LabelledSample:
    if align is not None and reference is not None:
        if Illumination.parse(reference) not in folder.views:
            raise DataFault(
                f"sample {folder.name}",
                found=f"a mask drawn on {reference}, which is not there",
                expected=", ".join(map(str, folder.views)),
                fix="add the view, or correct the column `reference` of samples.csv",
            )
        align = align.model_copy(update={"reference": reference})

    def read_labels() -> NDArray[np.uint8]:
        return legend.decode(read_mask(folder.labels[0]))

    return LabelledSample(
        folder.name, {str(name): paths[0] for name, paths in folder.views.items()}, read_labels, align
    )


def _listed(legend: Legend) -> str:
    return ", ".join(f"{mineral.code} {mineral.name}" for mineral in legend.minerals)
