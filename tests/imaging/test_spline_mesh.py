import numpy as np
import pytest

from mineralseg.imaging.spline_mesh import MESH, Spline, bending_form, cubic_splines

SIDE = MESH + 3


def test_splines_sum_to_one_everywhere_and_are_constant_beyond_the_box():
    share = np.linspace(-0.5, 1.5, 41)
    values = cubic_splines(share)
    assert values.sum(axis=1) == pytest.approx(np.ones(41))
    assert values[0] == pytest.approx(cubic_splines(np.array([0.0]))[0])
    assert values[-1] == pytest.approx(cubic_splines(np.array([1.0]))[0])


def test_coefficients_on_a_plane_give_that_plane_and_do_not_bend():
    down, across = np.mgrid[:SIDE, :SIDE] - 1.0
    coefficients = np.stack([2 * across + 1, -down], axis=-1)
    spline = Spline((10.0, 20.0, 50.0, 100.0), coefficients)
    x, y = np.linspace(10, 50, 9), np.linspace(20, 100, 5)
    at = spline.at(x, y)
    assert at[..., 0] == pytest.approx(np.broadcast_to(2 * (x - 10) / 10 + 1, (5, 9)))
    assert at[..., 1] == pytest.approx(np.broadcast_to(-(y - 20)[:, None] / 20, (5, 9)))
    flat = coefficients.reshape(-1, 2)
    assert np.abs(bending_form(SIDE) @ flat).max() < 1e-12
    assert (across**2).ravel() @ bending_form(SIDE) @ (across**2).ravel() > 1
