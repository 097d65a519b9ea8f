"""Laws of how one image lies on another: bends, warps, verdicts, and images of block means."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from mineralseg.core.registration import Bend, Registration, Warp
from mineralseg.core.transforms import Transform
from tests.laws import LAW

LENGTH = st.floats(-400, 400)
OFFSET = st.floats(-20, 20)
POINTS = npst.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(2)), elements=LENGTH)
BENDS = st.builds(
    Bend,
    st.floats(0.5, 90),
    npst.arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 5), st.just(2)), elements=OFFSET),
)


@st.composite
def similarities(draw: st.DrawFn) -> Transform:
    return Transform.similarity(
        "moving",
        "fixed",
        rotation_deg=draw(st.floats(-179, 179)),
        scale=draw(st.floats(0.1, 10)),
        shift_xy_px=draw(st.tuples(LENGTH, LENGTH)),
        centre_xy_px=draw(st.tuples(LENGTH, LENGTH)),
    )


def accepted(transform: Transform, bend: Bend | None = None) -> Registration:
    return Registration("accepted", "", "features, similarity", transform, bend, residual_px=0.25)


def mirrored(transform: Transform) -> Transform:
    """Return the transform of an image that is flipped left to right first."""
    return replace(transform, matrix=transform.matrix @ np.diag([-1.0, 1.0, 1.0]))


@LAW
@given(bend=BENDS, data=st.data())
def test_a_bend_is_what_its_knots_say_and_bilinear_between(bend: Bend, data: st.DataObject) -> None:
    rows, cols = bend.offset_xy.shape[:2]
    y, x = np.mgrid[:rows, :cols]
    knots_xy = np.column_stack([x.ravel(), y.ravel()]) * bend.step_px
    np.testing.assert_allclose(bend.at(knots_xy), bend.offset_xy.reshape(-1, 2), atol=1e-9)
    across = data.draw(npst.arrays(np.float64, (7, 2), elements=st.floats(0, 1)))
    inside_xy = across * [(cols - 1) * bend.step_px, (rows - 1) * bend.step_px]
    axes = (np.arange(rows) * bend.step_px, np.arange(cols) * bend.step_px)
    peer = RegularGridInterpolator(axes, bend.offset_xy, bounds_error=False, fill_value=None)
    np.testing.assert_allclose(bend.at(inside_xy), peer(inside_xy[:, ::-1]), atol=1e-8)


@LAW
@given(bend=BENDS, points_xy=POINTS)
def test_beyond_its_lattice_a_bend_goes_on_as_at_the_edge(bend: Bend, points_xy: NDArray[np.float64]) -> None:
    rows, cols = bend.offset_xy.shape[:2]
    nearest_xy = np.clip(points_xy, 0, np.array([cols - 1, rows - 1]) * bend.step_px)
    np.testing.assert_allclose(bend.at(points_xy), bend.at(nearest_xy), atol=1e-9)
    longest = np.abs(bend.offset_xy).max(axis=(0, 1))
    assert (np.abs(bend.at(points_xy)) <= longest + 1e-9).all()


@pytest.mark.parametrize(
    ("step_px", "offset_xy", "says"),
    [
        (0.0, np.zeros((2, 2, 2)), "step"),
        (-1.0, np.zeros((2, 2, 2)), "step"),
        (8.0, np.zeros((1, 5, 2)), "rows, cols, 2"),
        (8.0, np.zeros((5, 5)), "rows, cols, 2"),
        (8.0, np.zeros((5, 5, 3)), "rows, cols, 2"),
        (8.0, np.full((2, 2, 2), np.nan), "finite"),
    ],
)
def test_what_is_no_lattice_is_no_bend(step_px: float, offset_xy: NDArray[np.float64], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Bend(step_px, offset_xy)


@LAW
@given(transform=similarities(), bend=BENDS, points_xy=POINTS)
def test_a_warp_is_its_transform_and_then_its_bend(
    transform: Transform, bend: Bend, points_xy: NDArray[np.float64]
) -> None:
    np.testing.assert_array_equal(Warp(transform).apply(points_xy), transform.apply(points_xy))
    moved = Warp(transform, bend).apply(points_xy) - transform.apply(points_xy)
    np.testing.assert_allclose(moved, bend.at(points_xy), atol=1e-8)


@LAW
@given(transform=similarities(), points_xy=POINTS)
def test_the_warp_of_a_registration_brings_points_of_the_moving_image_home(
    transform: Transform, points_xy: NDArray[np.float64]
) -> None:
    warp = accepted(transform).warp
    assert (warp.fixed_to_moving.source, warp.fixed_to_moving.target) == ("fixed", "moving")
    np.testing.assert_allclose(warp.apply(transform.apply(points_xy)), points_xy, atol=1e-6)


@LAW
@given(rotation_deg=st.floats(-179, 179), scale=st.floats(0.1, 10), shift=st.tuples(LENGTH, LENGTH))
def test_turn_scale_and_mirror_are_read_back(
    rotation_deg: float, scale: float, shift: tuple[float, float]
) -> None:
    transform = Transform.similarity(
        "moving", "fixed", rotation_deg=rotation_deg, scale=scale, shift_xy_px=shift, centre_xy_px=(31, 17)
    )
    for each, is_mirrored in ((transform, False), (mirrored(transform), True)):
        found = accepted(each)
        assert found.rotation_deg == pytest.approx(rotation_deg, abs=1e-6)
        assert found.scale == pytest.approx(scale, rel=1e-9)
        assert found.mirrored is is_mirrored


def test_unequal_scales_are_averaged_and_shear_does_not_turn() -> None:
    stretched = Transform(np.array([[4.0, 0, 0], [0, 1.0, 0], [0, 0, 1]]), "moving", "fixed")
    assert accepted(stretched).scale == pytest.approx(2)
    assert accepted(stretched).rotation_deg == pytest.approx(0)
    sheared = Transform(np.array([[1.0, 0.2, 0], [0.2, 1.0, 0], [0, 0, 1]]), "moving", "fixed")
    assert accepted(sheared).rotation_deg == pytest.approx(0)


def test_a_verdict_needs_its_evidence() -> None:
    transform = Transform(np.eye(3), "moving", "fixed")
    with pytest.raises(ValueError, match="transform and a residual"):
        Registration("accepted", "", "features", residual_px=0.1)
    with pytest.raises(ValueError, match="transform and a residual"):
        Registration("accepted", "", "features", transform)
    with pytest.raises(ValueError, match="reason exactly when"):
        Registration("refused", "", "features")
    with pytest.raises(ValueError, match="reason exactly when"):
        Registration("accepted", "why not", "features", transform, residual_px=0.1)


def test_where_nothing_was_found_there_is_no_warp_and_nothing_to_measure() -> None:
    found = Registration("refused", "no grain is found in both", "features")
    assert (found.rotation_deg, found.scale, found.mirrored) == (None, None, False)
    with pytest.raises(ValueError, match="no grain is found in both"):
        _ = found.warp
    row = found.to_row()
    assert row["verdict"] == "refused"
    empty = {"moving_to_fixed", "rotation_deg", "scale", "bent_px", "residual_px"}
    assert {key for key, value in row.items() if value is None} == empty


@LAW
@given(transform=similarities())
def test_the_plain_form_keeps_the_transform(transform: Transform) -> None:
    offset_xy = np.zeros((2, 2, 2))
    offset_xy[1, 0] = 3, -4
    row = accepted(transform, Bend(50, offset_xy)).to_row()
    np.testing.assert_allclose(row["moving_to_fixed"], transform.matrix, rtol=1e-9, atol=1e-9)
    assert row["bent_px"] == 5.0
    assert (row["verdict"], row["reason"], row["residual_px"]) == ("accepted", "", 0.25)


@LAW
@given(factor=st.integers(1, 12), row=st.integers(0, 30), col=st.integers(0, 30))
def test_a_pixel_of_block_means_lies_at_the_mean_of_its_pixels(factor: int, row: int, col: int) -> None:
    y, x = np.mgrid[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
    transform = Transform.reduction("PPL", factor=factor)
    assert (transform.source, transform.target) == ("PPL reduced", "PPL")
    np.testing.assert_allclose(
        transform.apply(np.array([[col, row]], np.float64)), [[x.mean(), y.mean()]], atol=1e-9
    )


@LAW
@given(first=st.integers(1, 8), second=st.integers(1, 8), points_xy=POINTS)
def test_reducing_twice_is_reducing_once_by_the_product(
    first: int, second: int, points_xy: NDArray[np.float64]
) -> None:
    twice = Transform.reduction("PPL", factor=first) @ replace(
        Transform.reduction("PPL", factor=second), target="PPL reduced"
    )
    once = Transform.reduction("PPL", factor=first * second)
    np.testing.assert_allclose(twice.apply(points_xy), once.apply(points_xy), atol=1e-8)
