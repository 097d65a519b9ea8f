"""Where training patches are cut: some uniform, some centred on a class drawn uniformly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mineralseg.data.working import WorkingSlide
from mineralseg.errors import DataFault


@dataclass(frozen=True)
class Place:
    """Centre of a patch: index of the slide, row and column in working pixels."""

    slide: int
    row: int
    col: int


class ClassIndex:
    """Where each class lies in a set of slides: a pixel of any class in O(log rows + width) a draw."""

    def __init__(self, slides: Sequence[WorkingSlide], *, classes: int) -> None:
        """Count every class in every row of `slides` once, strip by strip."""
        self._slides = slides
        self._rows_by_class = [_cumulative_rows(slide, classes) for slide in slides]
        self.pixels = np.array([rows[:, -1] for rows in self._rows_by_class])
        """Labelled pixels, int64 (slides, classes)."""
        self.present = np.flatnonzero(self.pixels.sum(axis=0))
        """Class indices that occur."""
        if not len(self.present):
            raise DataFault("training samples", found="no labelled pixel", expected="masks with classes")

    def draw(self, class_index: int, rng: np.random.Generator) -> Place:
        """Return a pixel drawn uniformly among all pixels of a class."""
        of_class = self.pixels[:, class_index]
        rank = int(rng.integers(of_class.sum()))
        slide = int(np.searchsorted(np.cumsum(of_class), rank, side="right"))
        rank -= int(of_class[:slide].sum())
        cumulative = self._rows_by_class[slide][class_index]
        row = int(np.searchsorted(cumulative, rank, side="right"))
        rank -= int(cumulative[row - 1]) if row else 0
        col = int(np.flatnonzero(self._slides[slide].labels_HW[row] == class_index)[rank])
        return Place(slide, row, col)


def draw_places(
    index: ClassIndex,
    slides: Sequence[WorkingSlide],
    *,
    number: int,
    balanced_share: float,
    rng: np.random.Generator,
) -> list[Place]:
    """Return `number` patch centres: a balanced share around a class drawn uniformly, the rest anywhere.

    Centring on classes drawn uniformly shows rare minerals as often as common ones; the uniform share
    keeps the natural proportions in view.
    """
    areas = np.array([slide.height * slide.width for slide in slides], np.float64)
    places = []
    for _ in range(number):
        if rng.random() < balanced_share:
            places.append(index.draw(int(rng.choice(index.present)), rng))
        else:
            slide = int(rng.choice(len(slides), p=areas / areas.sum()))
            places.append(
                Place(slide, int(rng.integers(slides[slide].height)), int(rng.integers(slides[slide].width)))
            )
    return places


def _cumulative_rows(slide: WorkingSlide, classes: int) -> NDArray[np.int64]:
    """Return, by class, the pixels of the class in rows 0..r: int64 (classes, rows)."""
    counts = np.zeros((classes, slide.height), np.int64)
    for row in range(slide.height):
        counts[:, row] = np.bincount(slide.labels_HW[row], minlength=256)[:classes]
    return counts.cumsum(axis=1)
