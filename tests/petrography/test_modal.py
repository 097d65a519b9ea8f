import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.core.geometry import PixelSize
from mineralseg.core.legend import Legend, Mineral
from mineralseg.petrography.modal import ModalRow, measure_modal
from tests.laws import LAW

LEGEND = Legend.of(
    [Mineral(3, "pores", "#000000"), Mineral(7, "quartz", "#ffffff"), Mineral(8, "mica", "#00ff00")]
)


def test_areas_are_counted_by_mineral() -> None:
    rows = measure_modal(np.array([1_000_000, 3_000_000, 0]), LEGEND, PixelSize.declared(2.0))
    assert rows == [
        ModalRow("pores", 3, 1_000_000, 25.0, 4.0),
        ModalRow("quartz", 7, 3_000_000, 75.0, 12.0),
        ModalRow("mica", 8, 0, 0.0, 0.0),
    ]


@LAW
@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=3))
def test_percentages_add_up_to_a_hundred(counts: list[int]) -> None:
    rows = measure_modal(np.array(counts), LEGEND, PixelSize.unknown())
    if sum(counts):
        assert math.fsum(row.area_percent for row in rows) == pytest.approx(100)
    else:
        assert all(math.isnan(row.area_percent) for row in rows)


def test_without_a_pixel_size_there_are_no_areas() -> None:
    rows = measure_modal(np.array([1, 2, 3]), LEGEND, PixelSize.unknown())
    assert [row.area_mm2 for row in rows] == [None, None, None]


def test_counts_and_legend_belong_together() -> None:
    with pytest.raises(ValueError, match="shorter"):
        measure_modal(np.array([1, 2]), LEGEND, PixelSize.unknown())
