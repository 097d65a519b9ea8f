import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.synthetic.optics import (
    CHART_STEP_NM,
    color_matching,
    interference_color,
    michel_levy_chart,
    rotations,
    section_indicatrix,
)
from mineralseg.synthetic.transmitted import crossed_polars

angles = st.floats(0, 2 * np.pi)
heights = st.floats(-1, 1)
QUARTZ = (1.544, 1.544, 1.553)


def oriented(height: float, turn: float, spin: float, axis: tuple[float, float, float]) -> np.ndarray:
    flat = np.sqrt(1 - height**2)
    normal = np.array([[flat * np.cos(turn), flat * np.sin(turn), height]])
    return rotations(normal, np.array(axis), np.array([spin]))


def test_luminosity_peaks_in_the_green_and_equal_energy_is_balanced():
    wavelength_nm = np.arange(380.0, 721.0)
    x, y, z = color_matching(wavelength_nm).T
    assert 550 <= wavelength_nm[np.argmax(y)] <= 560
    assert x.sum() == pytest.approx(y.sum(), rel=0.02)
    assert z.sum() == pytest.approx(y.sum(), rel=0.02)


def test_no_retardation_is_black():
    assert np.array_equal(interference_color(np.zeros(1)), np.zeros((1, 3)))


@pytest.mark.parametrize("retardation_nm", [100, 150, 200])
def test_first_order_grey_is_nearly_neutral_and_cool(retardation_nm):
    red, green, blue = interference_color(np.array([float(retardation_nm)]))[0]
    assert red < green < blue
    assert blue - red < 0.55 * blue


def test_first_order_white_then_yellow_then_sensitive_tint():
    white, yellow, tint = interference_color(np.array([250.0, 350.0, 551.0]))
    assert white.min() > 0.8
    assert yellow[2] < 0.75 * yellow[0]
    assert tint[1] < 0.5 * min(tint[0], tint[2])


def test_second_order_blue_follows_the_sensitive_tint():
    red, green, blue = interference_color(np.array([640.0]))[0]
    assert blue > green
    assert blue > 2 * red


def test_high_orders_fade_to_half_the_lamp():
    assert interference_color(np.array([7000.0]))[0] == pytest.approx([0.5] * 3, abs=0.12)


def test_the_chart_samples_the_function_and_is_read_only():
    chart = michel_levy_chart()
    steps = np.array([0, 100, 275, 1500])
    assert np.allclose(chart[steps], interference_color(steps * CHART_STEP_NM), atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        chart[0] = 1


@given(heights, angles, angles)
def test_rotations_are_proper_and_bring_the_axis_home(height, turn, spin):
    rotation = oriented(height, turn, spin, (0.6, 0.0, 0.8))[0]
    flat = np.sqrt(1 - height**2)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.allclose(
        rotation @ [0.6, 0.0, 0.8], [flat * np.cos(turn), flat * np.sin(turn), height], atol=1e-9
    )


@given(heights, angles, angles)
def test_a_uniaxial_section_follows_the_textbook(height, turn, spin):
    """n_e'(phi) = (cos^2 phi / n_o^2 + sin^2 phi / n_e^2)^(-1/2), phi from the optic axis to the eye."""
    birefringence, _, fast, slow = section_indicatrix(QUARTZ, oriented(height, turn, spin, (0, 0, 1)))
    extraordinary = (height**2 / 1.544**2 + (1 - height**2) / 1.553**2) ** -0.5
    assert birefringence[0] == pytest.approx(extraordinary - 1.544, abs=1e-9)
    assert fast.sum() == pytest.approx(1)
    assert slow.sum() == pytest.approx(1)


@given(st.floats(-0.9, 0.9), angles, angles)
def test_the_slow_ray_of_quartz_vibrates_along_the_projected_optic_axis(height, turn, spin):
    _, azimuth_rad, _, _ = section_indicatrix(QUARTZ, oriented(height, turn, spin, (0, 0, 1)))
    assert np.sin(azimuth_rad[0] - turn) == pytest.approx(0, abs=1e-5)


def through(retardation_nm: float, psi_deg: float, slow: float = 1.0, fast: float = 1.0) -> np.ndarray:
    return crossed_polars(
        retardation_nm=np.array([retardation_nm], np.float32),
        slow_from_polar_rad=np.deg2rad(np.array([psi_deg], np.float32)),
        slow=np.full((1, 3), slow, np.float32),
        fast=np.full((1, 3), fast, np.float32),
    )[0]


@given(st.floats(0, 6000), st.sampled_from([0, 90, 180, 270]), st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_crystal_is_extinct_along_the_polars(retardation_nm, psi_deg, slow, fast):
    assert np.abs(through(retardation_nm, psi_deg, slow, fast)).max() < 1e-6


def test_a_crystal_at_45_degrees_shows_the_chart_dimmed_by_its_absorption():
    color = interference_color(np.array([300.0]))[0]
    assert np.allclose(through(300, 45), color, atol=1e-5)
    assert np.allclose(through(300, 45, slow=0.4, fast=0.4), 0.4 * color, atol=1e-5)


def test_dichroism_alone_opens_crossed_polars():
    assert np.allclose(through(0, 45, slow=0.25, fast=1.0), 0.25 * (1 - 0.5) ** 2, atol=1e-6)
