from dataclasses import replace

import numpy as np
import pytest

from mineralseg.core.transforms import Transform
from mineralseg.synthetic.camera import Exposure, expose, resample

QUIET = Exposure(
    gain=(1.0,),
    blur_px=0.0,
    falloff=0.0,
    lamp_center=(0.5, 0.5),
    electrons=1e12,
    read_noise=0.0,
    black=0.0,
    srgb=True,
)


def exposed(light: float, exposure: Exposure = QUIET, side: int = 64) -> np.ndarray:
    view = np.full((side, side, 1), light, np.float32)
    return expose(view, exposure, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("light", "value"), [(0.0, 0), (1.0, 255), (2.0, 255), (0.2140, 127.5), (0.0331, 51)]
)
def test_light_is_encoded_as_srgb(light, value):
    assert exposed(light).mean() == pytest.approx(value, abs=0.7)


def test_electrons_are_written_linearly():
    assert exposed(0.5, replace(QUIET, srgb=False)).mean() == pytest.approx(127.5, abs=0.6)


def test_shot_noise_has_the_variance_of_the_poisson_law():
    picture = exposed(0.5, replace(QUIET, srgb=False, electrons=400.0), side=256)
    assert picture.std() / 255 == pytest.approx(np.sqrt(0.5 / 400), rel=0.05)


def test_corners_are_darker():
    picture = exposed(0.5, replace(QUIET, falloff=0.2))
    assert picture[32, 32, 0] > picture[0, 0, 0]


def test_a_whole_shift_is_a_crop():
    clean = np.random.default_rng(1).random((40, 40, 2), np.float32)
    shift = np.eye(3)
    shift[:2, 2] = (7, 4)
    view = resample(clean, view_to_canvas=Transform(shift, "v", "c"), size_px=20, blur_px=0.0)
    assert np.array_equal(view, clean[4:24, 7:27])


def test_resampling_follows_the_transform():
    y, x = np.mgrid[:80, :80].astype(np.float32)
    clean = np.stack([x, y], axis=-1)
    to_canvas = Transform.similarity(
        "v", "c", rotation_deg=5, scale=1.0, shift_xy_px=(20.25, 19.5), centre_xy_px=(20, 20)
    )
    view = resample(clean, view_to_canvas=to_canvas, size_px=40, blur_px=0.0)
    places = to_canvas.apply(np.array([[10.0, 30.0], [33.0, 7.0]]))
    assert np.allclose(view[[30, 7], [10, 33]], places, atol=1e-2)
