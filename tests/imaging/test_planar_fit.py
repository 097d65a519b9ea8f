import numpy as np
import pytest

from mineralseg.core.transforms import Transform
from mineralseg.imaging.planar_fit import (
    distances_px,
    fit_affine,
    fit_similarity,
    held_out_px,
    scale_of,
    shear_of,
    turn_deg,
)

PLACES_XY = np.random.default_rng(0).uniform(0, 1000, (300, 2))
EVEN = np.ones(300)
TURNED = Transform.similarity(
    "m", "f", rotation_deg=37.0, scale=1.3, shift_xy_px=(12.0, -7.0), centre_xy_px=(500.0, 400.0)
)
SHEARED = np.array([[1.01, 0.006, 4.0], [-0.002, 0.995, -9.0], [0, 0, 1]])


def moved(matrix: np.ndarray, noise_px: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, noise_px, PLACES_XY.shape)
    return PLACES_XY @ matrix[:2, :2].T + matrix[:2, 2] + noise


def test_a_similarity_is_recovered_exactly():
    assert fit_similarity(PLACES_XY, moved(TURNED.matrix), EVEN) == pytest.approx(TURNED.matrix)


def test_an_affine_transform_is_recovered_exactly():
    assert fit_affine(PLACES_XY, moved(SHEARED), EVEN) == pytest.approx(SHEARED)


def test_a_similarity_never_mirrors():
    mirrored = fit_similarity(PLACES_XY, PLACES_XY * [-1, 1], EVEN)
    assert np.linalg.det(mirrored[:2, :2]) > 0


@pytest.mark.parametrize("fit", [fit_similarity, fit_affine])
def test_places_of_no_weight_do_not_count(fit):
    fixed_xy = moved(TURNED.matrix)
    fixed_xy[:50] += 300
    assert fit(PLACES_XY, fixed_xy, np.repeat([0.0, 1.0], [50, 250])) == pytest.approx(TURNED.matrix)


def test_turn_and_scale_are_those_that_made_the_transform():
    assert turn_deg(TURNED.matrix) == pytest.approx(37.0)
    assert scale_of(TURNED.matrix) == pytest.approx(1.3)
    assert shear_of(TURNED.matrix) == pytest.approx(0.0)


def test_a_turn_counts_counter_clockwise_on_screen():
    right_goes_up = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert np.allclose(right_goes_up @ [1, 0, 1], [0, -1, 1])
    assert turn_deg(right_goes_up) == pytest.approx(90.0)


def test_shear_is_the_relative_difference_of_the_two_stretches():
    assert shear_of(np.diag([1.0, 0.97, 1.0])) == pytest.approx(0.03)


def test_distances_are_those_on_the_fixed_image():
    assert distances_px(np.diag([2.0, 2, 1]), np.array([[1.0, 1]]), np.array([[5.0, 6]])) == pytest.approx(
        [5]
    )


@pytest.mark.parametrize("affine", [False, True])
def test_held_out_distance_is_the_noise_of_the_places(affine):
    held_out = held_out_px(PLACES_XY, moved(TURNED.matrix, noise_px=0.4), EVEN, affine=affine)
    assert held_out == pytest.approx(0.4 * np.sqrt(2), rel=0.08)


def test_few_noisy_places_are_further_from_the_fit_of_the_other_half_than_from_their_own():
    few_xy, fixed_xy, even = PLACES_XY[:8], moved(TURNED.matrix, noise_px=1.0)[:8], EVEN[:8]
    own = distances_px(fit_affine(few_xy, fixed_xy, even), few_xy, fixed_xy)
    assert held_out_px(few_xy, fixed_xy, even, affine=True) > 1.3 * np.sqrt((own**2).mean())


def test_shear_shows_in_what_a_similarity_leaves():
    fixed_xy = moved(SHEARED, noise_px=0.2)
    assert held_out_px(PLACES_XY, fixed_xy, EVEN, affine=False) > 4 * held_out_px(
        PLACES_XY, fixed_xy, EVEN, affine=True
    )
