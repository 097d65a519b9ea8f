from functools import cache

import numpy as np
import pytest

from mineralseg.core.registration import Registration
from mineralseg.core.transforms import Transform
from mineralseg.imaging import view_series
from mineralseg.imaging.features import Features, describe
from mineralseg.imaging.view_registration import Prior, register_view
from mineralseg.imaging.view_series import register_series
from tests.imaging.fields import apart_px, canvas, pictured, placed, view

NEAR = Prior(0.0, 5.0, 1.0, 0.03)
OF_BRIDGE = placed(turn_deg=1.0, shift_xy_px=(5.0, -4.0))
OF_FAR = placed(turn_deg=-1.5, shift_xy_px=(-6.0, 7.0))


@cache
def reference() -> Features:
    return describe(view(1, 0))


@cache
def bridge(view_to_fixed: Transform = OF_BRIDGE) -> Features:
    """A view that shows the edges of the reference, field 1, and of the far view, field 2."""
    return describe(pictured((canvas(1, 0) + canvas(2, 0)) / 2, view_to_fixed))


@cache
def far() -> Features:
    """A view with nothing in common with the reference."""
    return describe(view(2, 0, OF_FAR))


def test_views_like_the_reference_are_registered_directly():
    truths = {"XPL0": placed(shift_xy_px=(4.0, 2.0)), "XPL40": placed(turn_deg=-40.0)}
    found = register_series(
        {name: describe(view(1, 0, truth)) for name, truth in truths.items()} | {"PPL": reference()},
        reference="PPL",
        priors={"XPL0": NEAR, "XPL40": Prior(-40.0, 5.0, 1.0, 0.03)},
    )
    assert set(found) == set(truths)
    for name, truth in truths.items():
        assert found[name].verdict == "accepted"
        assert found[name].moving_to_fixed is not None
        assert (found[name].moving_to_fixed.source, found[name].moving_to_fixed.target) == (name, "PPL")
        assert apart_px(found[name].moving_to_fixed, truth) < 0.15


def test_a_view_unlike_the_reference_comes_by_way_of_one_that_resembles_both():
    direct = register_view(reference(), far(), prior=NEAR, frames=("far", "PPL"))
    assert direct.verdict == "refused"
    found = register_series(
        {"PPL": reference(), "far": far(), "XPL20": bridge()},
        reference="PPL",
        priors={"far": NEAR, "XPL20": NEAR},
    )
    assert {name: each.verdict for name, each in found.items()} == {"far": "accepted", "XPL20": "accepted"}
    chained = found["far"]
    assert chained.method.startswith("by way of XPL20")
    assert chained.moving_to_fixed is not None
    assert (chained.moving_to_fixed.source, chained.moving_to_fixed.target) == ("far", "PPL")
    assert apart_px(chained.moving_to_fixed, OF_FAR) < 0.5


def test_the_residual_of_a_chain_is_that_of_both_links():
    found = register_series(
        {"PPL": reference(), "far": far(), "XPL20": bridge()},
        reference="PPL",
        priors={"far": NEAR, "XPL20": NEAR},
    )
    link = register_view(bridge(), far(), prior=Prior(0.0, 10.0, 1.0, 0.06), frames=("far", "XPL20"))
    assert link.residual_px is not None
    assert found["XPL20"].residual_px is not None
    assert found["far"].residual_px == pytest.approx(np.hypot(link.residual_px, found["XPL20"].residual_px))
    assert found["far"].score == min(link.score, found["XPL20"].score)


def test_a_view_of_another_field_stays_refused():
    found = register_series(
        {"PPL": reference(), "XPL0": describe(view(1, 0, OF_BRIDGE)), "wrong": describe(view(3, 0))},
        reference="PPL",
        priors={"XPL0": NEAR, "wrong": NEAR},
    )
    assert found["XPL0"].verdict == "accepted"
    assert found["wrong"].verdict == "refused"
    assert "another field" in found["wrong"].reason


def test_a_series_of_the_reference_alone_is_empty():
    assert register_series({"PPL": reference()}, reference="PPL", priors={}) == {}


def test_bridges_are_tried_from_the_nearest_turn_on_and_at_most_three(monkeypatch):
    """Turns are counted round the circle: 350 lies 10 from 0."""
    turns = {"XPL350": 350.0, "XPL40": 40.0, "XPL90": 90.0, "XPL180": 180.0, "wrong": 0.0}
    asked: list[tuple[str, str, float | None]] = []

    def told(fixed: Features, moving: Features, *, prior: Prior, frames: tuple[str, str]) -> Registration:
        del fixed, moving
        asked.append((*frames, prior.rotation_deg))
        if frames[0] == "wrong":
            return Registration("refused", "another field?", "none")
        return Registration("accepted", "", "told", Transform(np.eye(3), *frames), residual_px=0.1, score=0.9)

    monkeypatch.setattr(view_series, "register_view", told)
    found = register_series(
        dict.fromkeys([*turns, "PPL"], reference()),
        reference="PPL",
        priors={name: Prior(turn, 3.0, 1.0, 0.03) for name, turn in turns.items()},
    )
    assert found["wrong"].verdict == "refused"
    bridged = [(bridge, turn) for moving, bridge, turn in asked if moving == "wrong" and bridge != "PPL"]
    assert [name for name, _ in bridged] == ["XPL350", "XPL40", "XPL90"]
    assert [(turn or 0.0) % 360 for _, turn in bridged] == [10.0, 320.0, 270.0]
    assert len(asked) == len(turns) + 3


def test_the_views_are_left_as_they_are():
    views = {"PPL": reference(), "XPL20": bridge()}
    before = dict(views), reference().grey_HW.copy()
    register_series(views, reference="PPL", priors={"XPL20": NEAR})
    assert views == before[0]
    assert np.array_equal(reference().grey_HW, before[1])
