from collections import Counter

import numpy as np
import pytest
from scipy import stats

from mineralseg.core.legend import IGNORE
from mineralseg.data.sampling import ClassIndex, Place, draw_places
from mineralseg.data.working import WorkingSlide
from mineralseg.errors import DataFault

DRAWS = 6000
UNLIKELY = 1e-3  # the seeds are fixed: a law that holds passes always, one that does not fails always


def _slide(labels: list[str]) -> WorkingSlide:
    """Return a slide drawn in text, a digit a class and a dot void."""
    codes = [[IGNORE if each == "." else int(each) for each in row] for row in labels]
    labels_HW = np.array(codes, np.uint8)
    return WorkingSlide("s", np.zeros((*labels_HW.shape, 1), np.uint8), labels_HW)


SLIDES = [
    _slide(["0000.", "01000", "0000."]),
    _slide(["....", "....", "...."]),
    _slide(["000000", "111000", "00.000", "0.0003"]),
]


def _pixels_of(class_index: int) -> list[Place]:
    return [
        Place(number, int(row), int(col))
        for number, slide in enumerate(SLIDES)
        for row, col in np.argwhere(slide.labels_HW == class_index)
    ]


def test_classes_are_counted_by_slide() -> None:
    index = ClassIndex(SLIDES, classes=4)
    assert index.pixels.tolist() == [[12, 1, 0, 0], [0, 0, 0, 0], [18, 3, 0, 1]]
    assert index.present.tolist() == [0, 1, 3]


@pytest.mark.parametrize("class_index", [0, 1, 3])
def test_every_pixel_of_a_class_is_drawn_as_often(class_index: int) -> None:
    index, rng = ClassIndex(SLIDES, classes=4), np.random.default_rng(1)
    drawn = Counter(index.draw(class_index, rng) for _ in range(DRAWS))
    pixels = _pixels_of(class_index)
    assert set(drawn) == set(pixels)
    assert stats.chisquare([drawn[pixel] for pixel in pixels]).pvalue > UNLIKELY or len(pixels) == 1


def _labels_at(places: list[Place]) -> Counter[int]:
    return Counter(int(SLIDES[place.slide].labels_HW[place.row, place.col]) for place in places)


def _draw(balanced_share: float, seed: int) -> list[Place]:
    index = ClassIndex(SLIDES, classes=4)
    return draw_places(
        index, SLIDES, number=DRAWS, balanced_share=balanced_share, rng=np.random.default_rng(seed)
    )


def test_balanced_places_show_every_class_as_often() -> None:
    seen = _labels_at(_draw(1.0, 2))
    assert set(seen) == {0, 1, 3}
    assert stats.chisquare(list(seen.values())).pvalue > UNLIKELY


def test_other_places_are_uniform_over_all_pixels_of_all_slides() -> None:
    drawn = Counter(_draw(0.0, 3))
    everywhere = [Place(n, r, c) for n, s in enumerate(SLIDES) for r, c in np.ndindex(s.labels_HW.shape)]
    assert set(drawn) <= set(everywhere)
    assert stats.chisquare([drawn[place] for place in everywhere]).pvalue > UNLIKELY


def test_the_balanced_share_is_kept() -> None:
    share, areas = 0.6, sum(slide.labels_HW.size for slide in SLIDES)
    expected = share / 3 + (1 - share) / areas  # class 3 is one pixel of three classes
    seen = _labels_at(_draw(share, 4))[3]
    assert stats.binomtest(seen, DRAWS, expected).pvalue > UNLIKELY


def test_the_generator_alone_decides() -> None:
    assert _draw(0.5, 5) == _draw(0.5, 5)
    assert _draw(0.5, 5) != _draw(0.5, 6)


def test_slides_without_labels_cannot_be_learned_from() -> None:
    with pytest.raises(DataFault, match="no labelled pixel"):
        ClassIndex([SLIDES[1]], classes=4)
