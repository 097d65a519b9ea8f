"""Figures of scores, drawn without a display."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.legend import Legend


def confusion_figure(confusion: ConfusionMatrix, legend: Legend) -> bytes:
    """Return a PNG of the confusion matrix: rows are truth, each cell the percentage of its row."""
    counts = confusion.counts.astype(np.float64)
    rows = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100 * counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    side = 2.2 + min(0.62 * len(legend), 22.0)  # a legend of 200 classes still fits on a page
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(legend)), legend.names, rotation=40, ha="right")
    axes.set_yticks(range(len(legend)), legend.names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    for (row, col), value in np.ndenumerate(percent):
        if np.isfinite(value):
            axes.text(
                col, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 55 else "#222222"
            )
    figure.colorbar(image, ax=axes, label="% of true pixels", shrink=0.8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
