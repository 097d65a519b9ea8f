"""The evaluation as a page that a petrographer reads: scores, then pictures, worst sample first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.models.bundle import BundleSpec
from mineralseg.stages.pages import render
from mineralseg.stages.scoring import SampleScore, pooled


@dataclass(frozen=True)
class SampleFigures:
    """File names of a sample's pictures by kind, beside the page."""

    name: str
    confusion: ConfusionMatrix
    names: Mapping[str, str]


def render_page(spec: BundleSpec, scores: Sequence[SampleScore], figures: Sequence[SampleFigures]) -> str:
    """Return the page as HTML; it shows files of its own folder and loads nothing else."""
    legend = spec.legend
    total = pooled(scores, classes=len(legend))
    columns = (
        total.iou(),
        total.precision(),
        total.recall(),
        total.truth_fractions(),
        total.predicted_fractions(),
    )
    return render(
        "evaluation.html",
        spec=spec,
        total=total,
        classes=[
            {"mineral": mineral, "values": [float(column[k]) for column in columns]}
            for k, mineral in enumerate(legend.minerals)
        ],
        samples=sorted(scores, key=lambda each: each.confusion.mean_iou()),
        figures=figures,
    )
