import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.core.geometry import PixelSize, Window, mirrored, tile_starts
from mineralseg.errors import ConfigurationError, DataFault
from tests.laws import LAW


@st.composite
def tilings(draw: st.DrawFn) -> tuple[int, int, int]:
    tile = draw(st.integers(1, 64))
    return draw(st.integers(1, 500)), tile, draw(st.integers(1, tile))


@LAW
@given(tilings())
def test_tiles_cover_the_length_and_do_not_leave_it(tiling: tuple[int, int, int]) -> None:
    length, tile, stride = tiling
    starts = tile_starts(length, tile, stride)
    covered = {place for start in starts for place in range(start, start + tile)}
    assert covered == set(range(max(length, tile)))


@LAW
@given(tilings())
def test_tiles_are_a_stride_apart_and_the_last_is_flush(tiling: tuple[int, int, int]) -> None:
    length, tile, stride = tiling
    starts = tile_starts(length, tile, stride)
    steps = np.diff(starts)
    assert (steps[:-1] == stride).all()
    assert ((steps > 0) & (steps <= stride)).all()
    assert starts[-1] == max(length - tile, 0)


@pytest.mark.parametrize("stride", [0, -1, 65])
def test_a_stride_beyond_a_tile_leaves_gaps_and_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        tile_starts(100, 64, stride)


@LAW
@given(length=st.integers(1, 9), before=st.integers(0, 40), after=st.integers(0, 40))
def test_mirrored_places_are_those_of_a_reflected_array(length: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(length), (before, after), mode="reflect")
    assert np.array_equal(mirrored(np.arange(-before, length + after), length), expected)


def test_a_window_cuts_its_rows_and_columns() -> None:
    rows, cols = Window(2, 3, 4, 5).slices
    assert np.zeros((10, 10))[rows, cols].shape == (4, 5)
    assert (rows.start, cols.start) == (2, 3)


@pytest.mark.parametrize(("height", "width"), [(0, 3), (3, 0), (-1, 3)])
def test_there_are_no_empty_windows(height: int, width: int) -> None:
    with pytest.raises(ValueError, match="empty window"):
        Window(0, 0, height, width)


def test_areas_are_pixels_times_the_square_of_the_size() -> None:
    assert PixelSize.declared(0.5).area_um2(8) == 2.0


def test_there_is_no_area_without_a_pixel_size() -> None:
    with pytest.raises(ConfigurationError, match=r"declare it in samples\.csv"):
        PixelSize.unknown().area_um2(8)


@pytest.mark.parametrize("um", [0.0, -1.0, 1e-5, 1e5, float("nan"), float("inf")])
def test_pixel_sizes_are_those_of_microscopes(um: float) -> None:
    with pytest.raises(DataFault, match="um/px"):
        PixelSize.declared(um)


def test_a_size_has_a_source_and_a_source_has_a_size() -> None:
    with pytest.raises(ValueError, match="known exactly when"):
        PixelSize(1.0, "unknown")
    with pytest.raises(ValueError, match="known exactly when"):
        PixelSize(None, "file")
