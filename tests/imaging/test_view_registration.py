from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mineralseg.core.registration import Registration
from mineralseg.core.transforms import Transform
from mineralseg.imaging.features import Features, describe
from mineralseg.imaging.view_registration import Prior, refine, register_view
from tests.imaging.fields import CANVAS_PX, VIEW_PX, apart_px, canvas, pictured, placed, view

FRAMES = ("moving", "fixed")
NEAR, ANY_TURN = Prior(0.0, 5.0, 1.0, 0.03), Prior(None, 0.0, 1.0, 0.03)
SMALL = placed(turn_deg=2.0, scale=1.01, shift_xy_px=(9.3, -6.6))


@cache
def features(field: int, light: int) -> Features:
    return describe(view(field, light))


@cache
def another_light() -> Features:
    """The field of view 1 a little displaced, each grain as bright as chance has it."""
    return describe(view(1, 1, SMALL))


def without_features(described: Features) -> Features:
    """A view whose brightness is all there is."""
    return replace(described, keypoints_xy=np.zeros((0, 2)), descriptors=np.zeros((0, 128), np.float32))


def registered(fixed: Features, moving: Features, prior: Prior = NEAR) -> Registration:
    return register_view(fixed, moving, prior=prior, frames=FRAMES)


def check_right(found: Registration, truth: Transform, most_px: float) -> None:
    assert (found.verdict, found.reason) == ("accepted", "")
    assert found.moving_to_fixed is not None
    assert (found.moving_to_fixed.source, found.moving_to_fixed.target) == FRAMES
    assert apart_px(found.moving_to_fixed, truth) < most_px


@pytest.mark.parametrize("turn_deg", [170.0, -75.0, 21.0])
def test_the_same_light_is_registered_at_any_turn(turn_deg):
    truth = placed(turn_deg=turn_deg, scale=1.01, shift_xy_px=(9.3, -6.6))
    found = registered(features(1, 0), describe(view(1, 0, truth)), ANY_TURN)
    check_right(found, truth, 0.1)
    assert found.method == "features, similarity"
    assert found.rotation_deg == pytest.approx(turn_deg, abs=0.05)
    assert found.score > 0.9


def test_another_light_is_registered():
    check_right(registered(features(1, 0), another_light()), SMALL, 0.2)


def test_a_negative_is_registered():
    """Bright grains under one light are dark under the other."""
    negative = pictured(280 - canvas(1, 0), SMALL)
    check_right(registered(features(1, 0), describe(negative)), SMALL, 0.15)


def test_edges_do_where_no_place_looks_alike():
    found = registered(features(1, 0), without_features(another_light()))
    check_right(found, SMALL, 0.2)
    assert found.method == "edges, similarity"


def test_edges_do_at_any_turn():
    truth = placed(turn_deg=-110.0, shift_xy_px=(12.0, 5.0))
    found = registered(features(1, 0), without_features(describe(view(1, 0, truth))), ANY_TURN)
    check_right(found, truth, 0.2)
    assert found.method == "edges, similarity"


def test_edges_do_between_views_of_different_size():
    truth = placed(turn_deg=1.0, scale=0.6, shift_xy_px=(6.0, 3.0))
    found = registered(
        features(1, 0), without_features(describe(view(1, 0, truth))), Prior(0.0, 3.0, 0.6, 0.03)
    )
    check_right(found, truth, 0.3)


def test_the_same_views_give_the_same_numbers():
    one, two = (registered(features(1, 0), another_light()) for _ in range(2))
    assert one.to_row() == two.to_row()


def test_there_and_back_is_where_it_was():
    there = registered(features(1, 0), another_light()).moving_to_fixed
    back = registered(another_light(), features(1, 0)).moving_to_fixed
    assert there is not None
    assert back is not None
    assert apart_px(there, replace(back.inverse(), source=FRAMES[0], target=FRAMES[1])) < 0.3


def test_a_small_shear_is_followed():
    sheared = Transform(np.array([[1.008, 0.004, -3.0], [0.004, 0.996, 5.0], [0, 0, 1]]), *FRAMES)
    found = registered(features(1, 0), describe(view(1, 0, sheared)))
    check_right(found, sheared, 0.15)
    assert found.method == "features, affine"


def test_no_shear_is_made_up_between_lights():
    assert registered(features(1, 0), another_light()).method.endswith("similarity")


@pytest.mark.parametrize(("other", "prior"), [(2, NEAR), (3, NEAR), (2, ANY_TURN)])
def test_another_field_is_refused(other, prior):
    found = registered(features(1, 0), features(other, 0), prior)
    assert found.verdict == "refused"
    assert "another field" in found.reason
    assert found.score < 0.2


def test_a_view_turned_against_its_name_is_refused():
    found = registered(features(1, 0), describe(view(1, 0, placed(turn_deg=30.0))))
    assert found.verdict == "refused"
    assert "30.0 deg" in found.reason


def test_a_turn_close_to_a_full_one_is_no_objection():
    truth = placed(turn_deg=179.0)
    found = registered(features(1, 0), describe(view(1, 0, truth)), Prior(-179.0, 4.0, 1.0, 0.03))
    check_right(found, truth, 0.1)


def test_another_magnification_is_refused():
    found = registered(features(1, 0), describe(view(1, 0, placed(scale=1.12))))
    assert found.verdict == "refused"
    assert "1.12 times as large" in found.reason


def test_strong_shear_is_refused():
    sheared = Transform(np.diag([1.015, 0.985, 1.0]), *FRAMES)
    found = registered(features(1, 0), describe(view(1, 0, sheared)))
    assert found.verdict == "refused"
    assert "shear" in found.reason


def test_views_with_little_in_common_are_refused():
    half = placed(shift_xy_px=(VIEW_PX * 0.85, 0.0))
    wide = pictured(np.tile(canvas(1, 0), (1, 2))[:, CANVAS_PX // 2 :], placed())
    beside = pictured(np.tile(canvas(1, 0), (1, 2))[:, CANVAS_PX // 2 :], half)
    assert registered(describe(wide), describe(beside)).verdict == "refused"


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_view_is_refused(level):
    blank = describe(np.full((VIEW_PX, VIEW_PX, 1), level, np.uint8))
    for found in (registered(features(1, 0), blank), registered(blank, features(1, 0))):
        assert found.verdict == "refused"
        assert found.moving_to_fixed is None


def test_grain_of_the_film_is_refused():
    rng = np.random.default_rng(0)
    noise = describe(rng.integers(0, 256, (VIEW_PX, VIEW_PX, 1), np.uint8).astype(np.uint8))
    assert registered(features(1, 0), noise).verdict == "refused"


def test_the_score_falls_with_the_share_of_the_view_that_differs():
    """The left part shows this field, the right part another."""
    scores = []
    for width in (400, 300, 200, 0):
        patched = view(2, 0).copy()
        patched[:, :width] = view(1, 0)[:, :width]
        scores.append(registered(features(1, 0), describe(patched)).score)
    assert scores[0] > 0.9
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.2


def test_refining_mends_a_transform_that_is_a_few_pixels_off():
    off = SMALL.matrix.copy()
    off[:2, 2] += [4.0, -3.0]
    found = refine(features(1, 0), another_light(), off, prior=NEAR, method="by way of XPL40", frames=FRAMES)
    check_right(found, SMALL, 0.2)
    assert found.method.startswith("by way of XPL40")


def test_refining_a_transform_that_is_wrong_refuses_it():
    off = SMALL.matrix.copy()
    off[:2, 2] += [60.0, -50.0]
    found = refine(features(1, 0), another_light(), off, prior=NEAR, method="given", frames=FRAMES)
    assert found.verdict == "refused"
