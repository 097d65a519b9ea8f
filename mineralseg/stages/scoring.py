"""Scoring a bundle on labelled samples, image by image, in strips."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.data import AlignByRegistration
from mineralseg.core.confusion import ConfusionMatrix, rounded
from mineralseg.core.legend import IGNORE, Legend
from mineralseg.core.progress import Progress
from mineralseg.engine.device import select_device
from mineralseg.engine.predict import Classifier, Strip, Tiling, classifier, predict_strips
from mineralseg.errors import DataFault
from mineralseg.models.bundle import Bundle, BundleSpec, Scores, ViewSpec
from mineralseg.stages.grids import open_on_grid
from mineralseg.stages.views import StackedViews

_PREVIEW_PX = 1024


@dataclass(frozen=True)
class LabelledSample:
    """A sample to score: its views by illumination, and how to read its class indices (H, W).

    `align` says how its views are brought on one grid first; None when they lie on one.
    """

    name: str
    views: dict[str, Path]
    read_labels: Callable[[], NDArray[np.uint8]]
    align: AlignByRegistration | None


@dataclass(frozen=True)
class SampleScore:
    """How the bundle did on one sample: counts, and small pictures of image, truth and prediction."""

    name: str
    confusion: ConfusionMatrix
    image_HWC: NDArray[np.uint8]
    truth_HW: NDArray[np.uint8]
    predicted_HW: NDArray[np.uint8]


class Predictor:
    """A bundle made ready to classify images on this machine."""

    def __init__(self, bundle: Bundle) -> None:
        """Build the network once."""
        self.spec: BundleSpec = bundle.spec
        self.legend: Legend = bundle.spec.legend
        network = bundle.network().to(select_device("auto"))
        self._classify: Classifier = classifier(
            network, channels=bundle.spec.channels, views=bundle.spec.test_time_views
        )
        self._tiling = Tiling(
            bundle.spec.tile_px,
            bundle.spec.overlap_px,
            bundle.spec.batch_size,
            bundle.spec.downsample,
            bundle.spec.test_time_views,
        )

    def views_of(self, present: Sequence[str], *, group: str) -> tuple[ViewSpec, ...]:
        """Return the views of a group to read, in channel order.

        A stacked model needs all of its views; a model of separate views takes those that are there.

        Raises:
            DataFault: names the group and the view that is missing.
        """
        usable = tuple(spec for spec in self.spec.views if spec.illumination in present)
        if (self.spec.mode == "stack" and len(usable) < len(self.spec.views)) or not usable:
            missing = [s.illumination for s in self.spec.views if s.illumination not in present]
            raise DataFault(
                f"group {group}",
                found=f"view {', '.join(missing)} is missing",
                expected=", ".join(spec.illumination for spec in self.spec.views),
                fix=f"add {group}_{missing[0]}.tif; there is {', '.join(sorted(present)) or 'nothing'}",
            )
        return usable

    def strips(
        self, views: StackedViews, *, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Iterator[Strip]:
        """Yield the class map of open views in strips from top to bottom."""
        return predict_strips(
            views, self._classify, classes=len(self.legend), tiling=self._tiling, progress=progress
        )


def score_samples(
    predictor: Predictor, samples: Sequence[LabelledSample], *, scratch: Path, progress: Progress
) -> list[SampleScore]:
    """Return the score of every sample at native resolution; registered views live in `scratch` meanwhile."""
    scores = []
    for number, sample in enumerate(samples, 1):
        progress(f"evaluate: {sample.name} ({number} of {len(samples)})")
        scores.append(_score_sample(predictor, sample, scratch))
    return scores


def pooled(scores: Sequence[SampleScore], *, classes: int) -> ConfusionMatrix:
    """Return the counts of all samples together, from which data-set scores are taken."""
    return sum((each.confusion for each in scores), start=ConfusionMatrix.zero(classes))


def summarise(scores: Sequence[SampleScore], legend: Legend) -> Scores:
    """Return the pooled scores of several samples, rounded to six digits."""
    total = pooled(scores, classes=len(legend))
    return Scores(
        samples=tuple(each.name for each in scores),
        pixel_accuracy=rounded(total.pixel_accuracy()),
        mean_iou=rounded(total.mean_iou()),
        iou={n: rounded(float(v)) for n, v in zip(legend.names, total.iou(), strict=True)},
    )


def _score_sample(predictor: Predictor, sample: LabelledSample, scratch: Path) -> SampleScore:
    classes = len(predictor.legend)
    truth = sample.read_labels()
    specs = predictor.views_of(list(sample.views), group=sample.name)
    with open_on_grid(sample.views, specs, align=sample.align, group=sample.name, scratch=scratch) as placed:
        views = placed.views
        if truth.shape != (views.height, views.width):
            raise DataFault(
                f"sample {sample.name}",
                found=f"a mask of {truth.shape[1]} x {truth.shape[0]} px",
                expected=f"{views.width} x {views.height} px like its image",
            )
        step = -(-max(truth.shape) // _PREVIEW_PX)
        preview = np.zeros(truth[::step, ::step].shape, np.uint8)
        total = ConfusionMatrix.zero(classes)
        with closing(predictor.strips(views)) as strips:  # type: ignore[type-var]
            for strip in strips:
                rows = slice(strip.row, strip.row + len(strip.classes_HW))
                valid = placed.valid_rows(strip.row, len(strip.classes_HW))
                truth[rows] = np.where(valid, truth[rows], np.uint8(IGNORE))
                total += ConfusionMatrix.of(truth[rows], strip.classes_HW, classes=classes)
                first = -strip.row % step
                preview_row = (strip.row + first) // step
                chosen = strip.classes_HW[first::step, ::step]
                preview[preview_row : preview_row + len(chosen)] = chosen
        bands = specs[0].bands
        image = np.concatenate(
            [views.read_rows(row, 1)[:, ::step, :bands] for row in range(0, views.height, step)]
        )
    return SampleScore(sample.name, total, image, truth[::step, ::step], preview)
