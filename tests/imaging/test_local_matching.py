import numpy as np
import pytest

from mineralseg.imaging.local_matching import agreement, edge_strength, find_places
from mineralseg.imaging.planar_fit import distances_px
from tests.imaging.fields import VIEW_PX, placed, view


def grey(image_HWC: np.ndarray) -> np.ndarray:
    return image_HWC[..., 0].astype(np.float32) / 255


def shifted(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def test_edges_are_the_same_where_bright_turns_to_dark():
    light = grey(view(1, 0))
    assert edge_strength(1 - light) == pytest.approx(edge_strength(light), abs=1e-4)


def test_edge_strength_lies_between_0_and_1_and_is_0_on_an_even_view():
    edges = edge_strength(grey(view(1, 0)))
    assert 0 <= edges.min() < edges.max() < 1
    assert not edge_strength(np.full((64, 64), 0.4, np.float32)).any()


def test_weak_edges_count_beside_strong_ones():
    step = np.zeros((120, 240), np.float32)
    step[:, 60:], step[:, 180:] = 0.2, 1.0
    edges = edge_strength(step)[60]
    assert edges[59] > 0.8 * edges[179]


@pytest.mark.parametrize("shift_xy", [(0.0, 0.0), (5.0, -3.0), (2.4, 6.7)])
def test_places_are_found_between_pixels(shift_xy):
    truth = placed(shift_xy_px=shift_xy)
    places = find_places(edge_strength(grey(view(1, 0))), grey(view(1, 1, truth)), np.eye(3), reach_px=10)
    apart = places.fixed_xy - places.moving_xy - shift_xy
    assert len(apart) >= 25
    assert np.abs(np.median(apart, axis=0)).max() < 0.15
    assert (np.hypot(*apart.T) < 1.5).mean() > 0.9


def test_places_are_those_of_the_turned_view():
    truth = placed(turn_deg=35.0, scale=1.05, shift_xy_px=(8.0, 4.0))
    off = truth.matrix @ shifted(3.0, -2.0)
    places = find_places(edge_strength(grey(view(1, 0))), grey(view(1, 1, truth)), off, reach_px=10)
    apart = distances_px(truth.matrix, places.moving_xy, places.fixed_xy)
    assert len(apart) >= 8
    assert np.median(apart) < 0.5


def test_nothing_is_found_further_than_the_reach():
    places = find_places(edge_strength(grey(view(1, 0))), grey(view(2, 0)), np.eye(3), reach_px=6)
    assert np.abs(places.fixed_xy - places.moving_xy).max() <= 6.5


def test_places_lie_with_all_that_is_searched_in_both_views():
    half = shifted(VIEW_PX / 2, 0.0)
    places = find_places(edge_strength(grey(view(1, 0))), grey(view(1, 1)), half, reach_px=8)
    assert len(places.moving_xy)
    assert places.fixed_xy[:, 0].min() >= VIEW_PX / 2 + 31.5
    assert places.moving_xy[:, 0].max() <= VIEW_PX / 2 - 31.5


def test_views_that_do_not_overlap_share_no_places():
    places = find_places(edge_strength(grey(view(1, 0))), grey(view(1, 1)), shifted(5000.0, 0.0), reach_px=8)
    assert places.moving_xy.shape == places.fixed_xy.shape == (0, 2)


def test_an_even_part_of_a_view_has_no_places():
    light = grey(view(1, 0)).copy()
    light[:, 200:] = 0.5
    places = find_places(edge_strength(light), light, np.eye(3), reach_px=8)
    assert len(places.moving_xy)
    assert places.moving_xy[:, 0].max() < 200 + 64


def test_finding_leaves_the_views_as_they_are():
    edges, light = edge_strength(grey(view(1, 0))), grey(view(1, 1))
    before = edges.copy(), light.copy()
    find_places(edges, light, np.eye(3), reach_px=8)
    assert np.array_equal(edges, before[0])
    assert np.array_equal(light, before[1])


def test_agreement_is_1_where_all_agree_and_0_for_nothing():
    assert agreement(np.zeros(40), reach_px=8) == pytest.approx(1.0)
    assert agreement(np.full(40, 9.0), reach_px=8) == 0.0
    assert agreement(np.zeros(0), reach_px=8) == 0.0


def test_agreement_of_scattered_places_is_0():
    scattered = np.random.default_rng(0).uniform(-8.5, 8.5, (200_000, 2))
    assert agreement(np.hypot(*scattered.T), reach_px=8) == pytest.approx(0.0, abs=2e-3)


def test_agreement_is_the_share_of_places_that_agree_beyond_chance():
    scattered = np.random.default_rng(0).uniform(-8.5, 8.5, (60_000, 2))
    distances = np.concatenate([np.hypot(*scattered.T), np.zeros(40_000)])
    assert agreement(distances, reach_px=8) == pytest.approx(0.4, abs=5e-3)
