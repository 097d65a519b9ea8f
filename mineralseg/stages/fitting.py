"""The parts of one training, built from parameters: network, patches, validation, plan."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

import torch

from mineralseg.config.params import Params
from mineralseg.config.training import CrossEntropyDiceLoss, CrossEntropyLoss, DiceLoss, LossSection
from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.legend import Legend
from mineralseg.core.progress import Progress
from mineralseg.data.augment import Augmentation, Augmenter
from mineralseg.data.patches import PatchLoader
from mineralseg.data.working import WorkingSlide, channel_statistics
from mineralseg.engine.checkpoint import save_checkpoint
from mineralseg.engine.device import select_device
from mineralseg.engine.fit import EpochReport, FitState, Optimisation, fit
from mineralseg.engine.predict import Tiling, classifier, predict_strips, score
from mineralseg.models import losses
from mineralseg.models.build import NormalisedNetwork, build_network
from mineralseg.models.bundle import Bundle, BundleSpec, ClassSpec, ViewSpec, pack_weights
from mineralseg.stages.training_data import SampleFiles, working_slides
from mineralseg.stages.workspace import Workspace
from mineralseg.tracking.tracker import Tracker


def epoch_metrics(row: dict[str, Any], legend: Legend) -> dict[str, float]:
    """Return the metrics of one row of the history, by the names that MLflow shows."""
    confusion = confusion_of(row)
    return {
        "train/loss": row["loss"],
        "train/learning_rate": row["learning_rate"],
        "val/mean_iou": confusion.mean_iou(),
        "val/pixel_accuracy": confusion.pixel_accuracy(),
        **{f"val/iou/{n}": float(v) for n, v in zip(legend.names, confusion.iou(), strict=True)},
    }


def confusion_of(row: dict[str, Any]) -> ConfusionMatrix:
    """Return the validation counts in a row of the history."""
    return ConfusionMatrix(torch.tensor(row["confusion"], dtype=torch.int64).numpy())


class Training:
    """The parts of one training, built from parameters."""

    def __init__(
        self,
        params: Params,
        legend: Legend,
        specs: Sequence[ViewSpec],
        *,
        workspace: Workspace,
        progress: Progress,
    ) -> None:
        self._params, self._legend, self._specs = params, legend, tuple(specs)
        self._workspace, self._progress = workspace, progress
        bands = [spec.bands for spec in specs]
        self._view_bands = bands if params.data.mode == "stack" else bands[:1]
        self._statistics: tuple[list[float], list[float]] = ([], [])

    def run(
        self,
        train: Sequence[SampleFiles],
        val: Sequence[SampleFiles],
        *,
        resume: FitState | None,
        tracker: Tracker,
        checkpoints: Path,
    ) -> FitState:
        """Train to the last epoch, logging and saving each, and return the final state."""
        settings, classes = self._params.train, len(self._legend)
        train_slides, val_slides = (self._working(part) for part in (train, val))
        self._statistics = channel_statistics(train_slides)
        augmentation = Augmentation(**settings.augment.model_dump())
        loader = PatchLoader(
            train_slides,
            Augmenter(augmentation, patch_px=settings.patch_px, view_bands=self._view_bands),
            classes=classes,
            balanced_share=settings.balanced_share,
            seed=self._params.project.seed,
            workers=settings.workers,
        )
        absent = [self._legend.names[k] for k in range(classes) if k not in loader.index.present]
        if absent:
            self._progress(f"train: no training pixel of {', '.join(absent)}; the model cannot learn it")
        if resume is not None and resume.epoch >= settings.epochs:
            self._progress(f"train: all {settings.epochs} epochs were done before")
            return resume
        started, first = time.monotonic(), 0 if resume is None else resume.epoch
        if first:
            self._progress(f"train: goes on after epoch {first} of {settings.epochs}")
        state = resume
        for report in fit(
            self._network(),
            batches=lambda epoch: loader.batches(
                epoch, number=settings.batches_per_epoch, size=settings.batch_size
            ),
            validate=lambda network: self._validate(network, val_slides),
            loss=_loss(settings.loss),
            optimisation=self._plan(),
            resume=resume,
        ):
            state = report.state
            tracker.log_metrics(epoch_metrics(state.history[-1], self._legend), step=report.epoch)
            save_checkpoint(checkpoints, state, run_id=tracker.run_id or "")
            self._progress(
                _line(report, settings.epochs, (time.monotonic() - started) / (report.epoch - first))
            )
        if state is None:
            raise ValueError("no epoch was run")
        return state

    def bundle(
        self, state: FitState, identity: dict[str, str], *, pixel_sizes: Sequence[float | None]
    ) -> Bundle:
        """Return the kept weights as a bundle without scores."""
        params, (mean, deviation) = self._params, self._statistics
        weights = {name.removeprefix("body."): value for name, value in state.kept.items()}
        known = [size for size in pixel_sizes if size is not None]
        spec = BundleSpec(
            schema_version=1,
            arch=params.model.arch,
            encoder=params.model.encoder,
            mode=params.data.mode,
            views=self._specs,
            classes=tuple(ClassSpec(**row) for row in self._legend.to_rows()),
            mean=tuple(mean),
            deviation=tuple(deviation),
            downsample=params.data.downsample,
            pixel_size_um=(min(known), max(known)) if len(known) == len(pixel_sizes) else None,
            tile_px=params.inference.tile_px,
            overlap_px=params.inference.overlap_px,
            batch_size=params.inference.batch_size,
            test_time_views=params.inference.views,
            training=identity,
            scores=None,
            weights_sha256=pack_weights(weights)[1],
        )
        return Bundle(spec, weights)

    def _working(self, samples: Sequence[SampleFiles]) -> list[WorkingSlide]:
        return working_slides(
            self._workspace, samples, data=self._params.data, specs=self._specs, progress=self._progress
        )

    def _network(self) -> NormalisedNetwork:
        model = self._params.model
        torch.manual_seed(self._params.project.seed)
        body = build_network(
            model.arch,
            model.encoder,
            encoder_weights=model.encoder_weights,
            channels=sum(self._view_bands),
            classes=len(self._legend),
        )
        mean, deviation = self._statistics
        network = NormalisedNetwork(
            body, mean=mean, deviation=deviation, precision=self._params.train.precision
        )
        return network.to(select_device(self._params.train.device))

    def _plan(self) -> Optimisation:
        settings = self._params.train
        return Optimisation(
            epochs=settings.epochs,
            batches_per_epoch=settings.batches_per_epoch,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_share=settings.warmup_share,
            ema_decay=settings.ema_decay,
            clip_norm=settings.clip_norm,
            keep=settings.keep,
            seed=self._params.project.seed,
        )

    def _validate(self, network: torch.nn.Module, slides: Sequence[WorkingSlide]) -> ConfusionMatrix:
        inference, classes = self._params.inference, len(self._legend)
        tiling = Tiling(inference.tile_px, inference.overlap_px, inference.batch_size, downsample=1, views=1)
        classify = classifier(network, channels=sum(self._view_bands), views=1)
        total = ConfusionMatrix.zero(classes)
        for slide in slides:
            strips = predict_strips(slide, classify, classes=classes, tiling=tiling)
            total += score(strips, slide.labels_HW, classes=classes)
        return total


def _loss(section: LossSection) -> losses.Loss:
    match section:
        case CrossEntropyLoss():
            return losses.cross_entropy
        case DiceLoss():
            return losses.dice
        case CrossEntropyDiceLoss(dice_weight=weight):
            return losses.cross_entropy_dice(weight)
        case _:
            assert_never(section)


def _line(report: EpochReport, epochs: int, seconds_per_epoch: float) -> str:
    left = (epochs - report.epoch) * seconds_per_epoch
    return (
        f"train: epoch {report.epoch} of {epochs}  loss {report.loss:.3f}  "
        f"val mean IoU {report.confusion.mean_iou():.3f}  accuracy {report.confusion.pixel_accuracy():.3f}  "
        f"about {left:.0f} s left"
    )
