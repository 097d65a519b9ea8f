"""The confusion matrix, from which every score derives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE


@dataclass(frozen=True)
class ConfusionMatrix:
    """Pixel counts (classes, classes), rows = truth, columns = prediction; void pixels are in no cell.

    Laws: additive over images; an absent class scores NaN, never 1; all scores derive from the counts.
    """

    counts: NDArray[np.int64]

    @classmethod
    def zero(cls, classes: int) -> "ConfusionMatrix":
        """Return the matrix of no pixels."""
        return cls(np.zeros((classes, classes), np.int64))

    @classmethod
    def of(
        cls, truth_HW: NDArray[np.uint8], predicted_HW: NDArray[np.uint8], *, classes: int
    ) -> "ConfusionMatrix":
        """Return the counts of two maps of class indices; pixels that are `IGNORE` in either are left out."""
        if truth_HW.shape != predicted_HW.shape:
            raise ValueError(f"maps of different size: {truth_HW.shape} and {predicted_HW.shape}")
        valid = (truth_HW != IGNORE) & (predicted_HW != IGNORE)
        truth, predicted = truth_HW[valid].astype(np.int64), predicted_HW[valid]
        if max(truth.max(initial=0), predicted.max(initial=0)) >= classes:
            raise ValueError(f"a class index is beyond the {classes} classes")
        counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
        return cls(counts.reshape(classes, classes))

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        return ConfusionMatrix(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        """Number of pixels counted."""
        return int(self.counts.sum())

    def iou(self) -> NDArray[np.float64]:
        """Return the intersection over union by class (Jaccard 1912); NaN of a class in neither map."""
        hits = np.diag(self.counts)
        return _ratio(hits, self.counts.sum(0) + self.counts.sum(1) - hits)

    def precision(self) -> NDArray[np.float64]:
        """Return, by class, the share of predicted pixels that are right (user's accuracy)."""
        return _ratio(np.diag(self.counts), self.counts.sum(0))

    def recall(self) -> NDArray[np.float64]:
        """Return, by class, the share of true pixels that were found (producer's accuracy)."""
        return _ratio(np.diag(self.counts), self.counts.sum(1))

    def mean_iou(self) -> float:
        """Return the mean IoU over the classes that occur in truth or prediction; NaN of no pixels."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """Return the share of pixels that are right; NaN of no pixels."""
        return float(_ratio(np.trace(self.counts), np.asarray(self.counts.sum())))

    def truth_fractions(self) -> NDArray[np.float64]:
        """Return the modal fractions of the truth by class."""
        return _ratio(self.counts.sum(1), np.asarray(self.counts.sum()))

    def predicted_fractions(self) -> NDArray[np.float64]:
        """Return the modal fractions of the prediction by class."""
        return _ratio(self.counts.sum(0), np.asarray(self.counts.sum()))


def rounded(score: float) -> float | None:
    """Return a score with six digits, None where there is none (NaN): what JSON can hold."""
    return None if np.isnan(score) else round(score, 6)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return part / whole, NaN where the whole is zero."""
    part_f, whole_f = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    ratio: NDArray[np.float64] = np.divide(
        part_f, whole_f, out=np.full(whole_f.shape, np.nan), where=whole_f > 0
    )
    return ratio
