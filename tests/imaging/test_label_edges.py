"""The void band is exactly as wide as asked, everywhere and in every strip."""

import numpy as np
import pytest

from mineralseg.core.legend import IGNORE
from mineralseg.imaging.label_edges import void_band


def two_halves(height: int = 20, width: int = 40) -> np.ndarray:
    classes = np.zeros((height, width), np.uint8)
    classes[:, width // 2 :] = 3
    return classes


@pytest.mark.parametrize(("width_px", "voided"), [(0.0, 0), (0.4, 0), (0.5, 1), (1.4, 1), (1.5, 2), (4.5, 5)])
def test_the_band_reaches_as_far_as_asked_on_both_sides(width_px: float, voided: int) -> None:
    found = void_band(two_halves(), width_px=width_px)
    assert [int(count) for count in (found == IGNORE).sum(axis=1)] == [2 * voided] * 20
    assert (found[:, : 20 - voided] == 0).all()
    assert (found[:, 20 + voided :] == 3).all()


def test_distances_are_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 3, (6, 5)), np.ones((9, 9))).astype(np.uint8)
    classes[20:30, 10:20] = IGNORE
    beside = np.zeros(classes.shape, bool)
    for y, x in np.ndindex(*classes.shape):
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < classes.shape[0] and 0 <= u < classes.shape[1]:
                pair = {int(classes[y, x]), int(classes[v, u])}
                beside[y, x] |= len(pair) == 2 and IGNORE not in pair
    places = np.argwhere(beside)
    expected = classes.copy()
    for y, x in np.ndindex(*classes.shape):
        if np.hypot(*(places - [y, x]).T).min() + 0.5 <= 3.2:
            expected[y, x] = IGNORE
    assert np.array_equal(void_band(classes, width_px=3.2), expected)


def test_void_is_no_boundary_and_the_input_is_kept() -> None:
    classes = np.full((10, 10), 2, np.uint8)
    classes[4:] = IGNORE
    assert np.array_equal(void_band(classes, width_px=3), classes)
    before = two_halves()
    void_band(before, width_px=3)
    assert np.array_equal(before, two_halves())


def test_strips_meet_without_a_seam() -> None:
    tall = np.zeros((2100, 12), np.uint8)
    tall[1024:] = 1  # a boundary on the edge of a strip
    tall[2040:] = 2
    rows = np.flatnonzero((void_band(tall, width_px=6.5) == IGNORE).all(axis=1)).tolist()
    assert rows == [*range(1017, 1031), *range(2033, 2047)]
