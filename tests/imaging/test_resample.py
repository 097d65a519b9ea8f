import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from scipy import ndimage

from mineralseg.imaging.resample import area_mean, block_centres, enlarge, shrink_to
from tests.laws import LAW

IMAGES = npst.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)))
FACTORS = st.integers(1, 5)


def _area_mean_by_hand(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    height, width, bands = image.shape
    out = np.empty((-(-height // factor), -(-width // factor), bands), np.uint8)
    for row, col, band in np.ndindex(out.shape):
        values = [
            int(image[min(y, height - 1), min(x, width - 1), band])
            for y in range(row * factor, (row + 1) * factor)
            for x in range(col * factor, (col + 1) * factor)
        ]
        out[row, col, band] = (2 * sum(values) + len(values)) // (2 * len(values))  # rounded half up
    return out


@LAW
@given(image=IMAGES, factor=FACTORS)
def test_blocks_are_averaged_like_a_plain_loop_does(image: NDArray[np.uint8], factor: int) -> None:
    assert np.array_equal(area_mean(image, factor=factor), _area_mean_by_hand(image, factor))


@LAW
@given(image=IMAGES, factor=FACTORS, data=st.data())
def test_strips_of_whole_blocks_make_the_same_average(
    image: NDArray[np.uint8], factor: int, data: st.DataObject
) -> None:
    cut = factor * data.draw(st.integers(0, len(image) // factor))
    parts = [part for part in (image[:cut], image[cut:]) if len(part)]
    joined = np.concatenate([area_mean(part, factor=factor) for part in parts])
    assert np.array_equal(joined, area_mean(image, factor=factor))


def test_the_largest_factor_does_not_overflow() -> None:
    white = np.full((32, 64, 1), 255, np.uint8)
    assert area_mean(white, factor=32).tolist() == [[[255], [255]]]


@LAW
@given(image=IMAGES, factor=FACTORS)
def test_labels_are_taken_within_the_block_they_stand_for(image: NDArray[np.uint8], factor: int) -> None:
    labels = np.arange(image.shape[0] * image.shape[1], dtype=np.uint8).reshape(image.shape[:2])
    reduced = block_centres(labels, factor=factor)
    assert reduced.shape == area_mean(image, factor=factor).shape[:2]
    for (row, col), label in np.ndenumerate(reduced):
        block = labels[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
        assert label in block
        if block.shape == (factor, factor):
            assert label == block[factor // 2, factor // 2]


@LAW
@given(
    planes=npst.arrays(
        np.float32, st.tuples(st.integers(1, 2), *[st.integers(1, 6)] * 2), elements=st.floats(0, 1, width=32)
    ),
    factor=FACTORS,
)
def test_enlarging_is_bilinear_between_pixel_centres(planes: NDArray[np.float32], factor: int) -> None:
    fine = enlarge(planes, factor=factor)
    rows, cols = ((np.arange(n * factor) + 0.5) / factor - 0.5 for n in planes.shape[1:])
    places = np.meshgrid(rows, cols, indexing="ij")
    expected = [
        ndimage.map_coordinates(plane.astype(np.float64), places, order=1, mode="nearest") for plane in planes
    ]
    np.testing.assert_allclose(fine, expected, atol=1e-6)
    assert fine.dtype == np.float32


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 32])
def test_a_constant_stays_constant_up_and_down(factor: int) -> None:
    planes = np.full((2, 3, 5), 0.3, np.float32)
    np.testing.assert_allclose(enlarge(planes, factor=factor), np.float32(0.3), rtol=1e-6)
    image = np.full((7, 5, 3), 123, np.uint8)
    assert (area_mean(image, factor=factor) == 123).all()


@LAW
@given(height=st.integers(1, 300), width=st.integers(1, 300), longest=st.integers(1, 100))
def test_an_image_for_the_screen_is_no_longer_than_wanted_and_shrunk_no_more_than_needed(
    height: int, width: int, longest: int
) -> None:
    image = np.zeros((height, width, 1), np.uint8)
    shrunk = shrink_to(image, longest_px=longest)
    assert max(shrunk.shape) <= longest
    if max(image.shape) <= longest:
        assert shrunk.shape == image.shape
