from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mineralseg.core.geometry import Window
from mineralseg.core.legend import IGNORE
from mineralseg.data import working
from mineralseg.data.working import WorkingSlide, channel_statistics, open_working_copy, write_working_copy
from mineralseg.imaging.resample import area_mean, block_centres
from tests.laws import LAW


def _slide(height: int, width: int, *, channels: int = 2, seed: int = 0) -> WorkingSlide:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, channels), np.uint8)
    return WorkingSlide("s", image, rng.integers(0, 5, (height, width), np.uint8))


@LAW
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    window=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_a_patch_is_a_cut_of_the_mirrored_slide_and_void_beyond_it(
    size: tuple[int, int], corner: tuple[int, int], window: tuple[int, int]
) -> None:
    slide, far = _slide(*size), 70
    image, labels = slide.patch(Window(*corner, *window))
    rows, cols = (slice(far + start, far + start + side) for start, side in zip(corner, window, strict=True))
    mirrored = np.pad(slide.image_HWC, ((far, far), (far, far), (0, 0)), mode="reflect")
    void = np.pad(slide.labels_HW, far, constant_values=IGNORE)
    assert np.array_equal(image, mirrored[rows, cols])
    assert np.array_equal(labels, void[rows, cols])
    assert image.dtype == labels.dtype == np.uint8


def test_a_patch_is_no_view_of_the_slide() -> None:
    slide = _slide(8, 8)
    before = slide.image_HWC.copy()
    image, _ = slide.patch(Window(1, 1, 3, 3))
    image[...] = 0
    assert np.array_equal(slide.image_HWC, before)


def test_rows_are_those_of_the_image() -> None:
    slide = _slide(9, 4)
    assert np.array_equal(slide.read_rows(2, 3), slide.image_HWC[2:5])
    assert (slide.height, slide.width) == (9, 4)


class Reader:
    """Gives windows of an array and remembers them."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self.array = array
        self.windows: list[Window] = []

    def __call__(self, window: Window) -> NDArray[np.uint8]:
        assert window.row + window.height <= len(self.array)
        self.windows.append(window)
        return self.array[window.slices]


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33), (65, 20), (131, 9)])
def test_a_working_copy_is_the_whole_slide_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], factor: int
) -> None:
    monkeypatch.setattr(working, "_STRIP_PX", 16)
    native = _slide(*size, channels=3)
    images, labels = Reader(native.image_HWC), Reader(native.labels_HW)
    write_working_copy(
        tmp_path / "copy", read_image=images, read_labels=labels, size_px=size, bands=3, factor=factor
    )
    copy = open_working_copy(tmp_path / "copy", "s1")
    assert copy.name == "s1"
    assert np.array_equal(copy.image_HWC, area_mean(native.image_HWC, factor=factor))
    assert np.array_equal(copy.labels_HW, block_centres(native.labels_HW, factor=factor))
    assert max(window.height for window in images.windows) <= 16 * factor
    assert sum(window.height for window in images.windows) == size[0]


def test_an_interrupted_copy_has_no_labels_file(tmp_path: Path) -> None:
    def fail(window: Window) -> NDArray[np.uint8]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_working_copy(tmp_path, read_image=fail, read_labels=fail, size_px=(9, 9), bands=1, factor=1)
    assert list(tmp_path.iterdir()) == []


def test_statistics_are_those_of_all_pixels_together() -> None:
    slides = [_slide(300, 20, seed=1), _slide(40, 30, seed=2)]
    slides[0].image_HWC[..., 1] //= 4
    mean, deviation = channel_statistics(slides)
    pixels = np.concatenate([slide.image_HWC.reshape(-1, 2) for slide in slides]).astype(np.float64)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(deviation, pixels.std(axis=0), atol=1e-4)


def test_a_channel_without_contrast_does_not_divide_by_zero() -> None:
    flat = WorkingSlide("s", np.full((5, 5, 1), 77, np.uint8), np.zeros((5, 5), np.uint8))
    assert channel_statistics([flat]) == ([77.0], [1.0])
