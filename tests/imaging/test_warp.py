"""Resampling puts every pixel where the transform says, and says where there is none."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mineralseg.core.geometry import Window
from mineralseg.core.registration import Bend, Warp
from mineralseg.core.transforms import Transform
from mineralseg.imaging.warp import resample_labels, resample_window

HEIGHT, WIDTH = 90, 120
WHOLE = Window(0, 0, HEIGHT, WIDTH)


def picture(seed: int = 0, bands: int = 3) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).random((HEIGHT, WIDTH, bands))
    soft = ndimage.gaussian_filter(noise, (2, 2, 0))
    return (255 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


def warp_of(matrix: list[list[float]], bend: Bend | None = None) -> Warp:
    return Warp(Transform(np.array([*matrix, [0, 0, 1]], np.float64), "fixed", "moving"), bend)


def turned(angle_deg: float = 17.0, scale: float = 1.1) -> Warp:
    return Warp(
        Transform.similarity(
            "fixed",
            "moving",
            rotation_deg=angle_deg,
            scale=scale,
            shift_xy_px=(4.3, -2.8),
            centre_xy_px=(60, 45),
        )
    )


def test_the_identity_changes_nothing() -> None:
    image = picture()
    pixels, valid = resample_window(image, warp_of([[1, 0, 0], [0, 1, 0]]), WHOLE)
    assert np.array_equal(pixels, image)
    assert valid.all()


def test_a_whole_pixel_shift_is_exact_and_the_rest_is_void() -> None:
    image = picture(1)
    pixels, valid = resample_window(image, warp_of([[1, 0, 7], [0, 1, -4]]), WHOLE)
    assert np.array_equal(pixels[4:, :-7], image[:-4, 7:])
    assert valid[4:, :-7].all()
    assert np.count_nonzero(valid) == (HEIGHT - 4) * (WIDTH - 7)
    assert not pixels[~valid].any()


def test_a_turn_agrees_with_spline_interpolation() -> None:
    image, warp = picture(2, bands=1), turned()
    pixels, valid = resample_window(image, warp, WHOLE)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    places = warp.apply(np.column_stack([x.ravel(), y.ravel()]).astype(np.float64))
    peer = ndimage.map_coordinates(image[..., 0].astype(float), places.T[::-1], order=3, mode="nearest")
    inner = ndimage.binary_erosion(valid, iterations=4)
    apart = np.abs(pixels[..., 0] - peer.reshape(HEIGHT, WIDTH))[inner]
    assert inner.sum() > 4000
    assert apart.mean() < 1.0
    assert apart.max() < 8.0


def test_windows_are_parts_of_the_whole() -> None:
    image, warp = picture(3), turned(-40.0, 0.9)
    whole, valid = resample_window(image, warp, WHOLE)
    for window in (Window(0, 0, 30, 50), Window(30, 50, 60, 70), Window(85, 0, 5, 120)):
        part, part_valid = resample_window(image, warp, window)
        assert np.array_equal(part_valid, valid[window.slices])
        assert np.abs(part.astype(int) - whole[window.slices]).max() <= 4  # 1/32 px steps of the resampler


def test_only_the_part_that_is_needed_is_read() -> None:
    class Watched:
        shape = (HEIGHT, WIDTH, 3)
        largest = 0

        def __getitem__(self, part: tuple[slice, slice]) -> NDArray[np.uint8]:
            crop = picture(4)[part]
            Watched.largest = max(Watched.largest, crop.size)
            return crop

    resample_window(Watched(), turned(), Window(40, 40, 8, 8))  # type: ignore[arg-type]
    assert 0 < Watched.largest <= 20 * 20 * 3


def test_a_window_beyond_the_image_is_void() -> None:
    pixels, valid = resample_window(picture(5), warp_of([[1, 0, 500], [0, 1, 0]]), Window(0, 0, 9, 9))
    assert not valid.any()
    assert not pixels.any()


def test_shrinking_averages() -> None:
    """Black and white columns in turn are grey at half the size, whatever the phase."""
    stripes = np.zeros((80, 80, 1), np.uint8)
    stripes[:, ::2] = 200
    for phase in (0.0, 0.5, 1.0):
        pixels, _ = resample_window(stripes, warp_of([[2, 0, phase], [0, 2, phase]]), Window(5, 5, 25, 25))
        assert np.abs(pixels.astype(int) - 100).max() <= 1


def test_a_bend_moves_pixels_by_what_its_lattice_says() -> None:
    image = picture(6)
    knots = np.zeros((4, 5, 2))
    knots[..., 0] = 3.0
    pixels, valid = resample_window(image, warp_of([[1, 0, 0], [0, 1, 0]], Bend(40.0, knots)), WHOLE)
    assert np.array_equal(pixels[:, :-3], image[:, 3:])
    assert not valid[:, -3:].any()


@pytest.mark.parametrize("mirror", [1, -1])
def test_labels_come_from_the_nearest_pixel(mirror: int) -> None:
    codes = np.random.default_rng(7).integers(0, 9, (HEIGHT, WIDTH)).astype(np.uint8)
    warp = warp_of([[mirror * 0.31, 0.05, 60], [-0.04, 0.29, 20]])
    placed, valid = resample_labels(codes, warp, WHOLE)
    for y, x in ((0, 0), (10, 100), (89, 119), (44, 3)):
        u, v = warp.apply(np.array([[x, y]], np.float64))[0]
        inside = -0.5 <= u < WIDTH - 0.5 and -0.5 <= v < HEIGHT - 0.5
        assert valid[y, x] == inside
        assert placed[y, x] == (codes[int(np.floor(v + 0.5)), int(np.floor(u + 0.5))] if inside else 0)


def test_a_side_beyond_the_resampler_s_limit_works() -> None:
    tall = np.broadcast_to(np.arange(40_000, dtype=np.int64)[:, None, None] % 251, (40_000, 4, 1)).astype(
        np.uint8
    )
    pixels, valid = resample_window(tall, warp_of([[1, 0, 0], [0, 1, 39_990]]), Window(0, 0, 8, 4))
    assert valid.all()
    assert pixels[:, 0, 0].tolist() == [(39_990 + row) % 251 for row in range(8)]
