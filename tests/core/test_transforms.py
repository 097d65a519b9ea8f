import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.core.transforms import Transform
from tests.laws import LAW

POINTS_XY = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 50.0], [-3.5, 12.25]])


def similarities(source: str, target: str) -> st.SearchStrategy[Transform]:
    length = st.floats(-500, 500)
    return st.builds(
        lambda rotation, scale, shift, centre: Transform.similarity(
            source, target, rotation_deg=rotation, scale=scale, shift_xy_px=shift, centre_xy_px=centre
        ),
        st.floats(-360, 360),
        st.floats(0.2, 5),
        st.tuples(length, length),
        st.tuples(length, length),
    )


@LAW
@given(similarities("a", "b"))
def test_the_inverse_brings_points_back(transform: Transform) -> None:
    back = transform.inverse()
    assert (back.source, back.target) == ("b", "a")
    np.testing.assert_allclose(back.apply(transform.apply(POINTS_XY)), POINTS_XY, atol=1e-7)
    np.testing.assert_allclose((back @ transform).matrix, np.eye(3), atol=1e-7)


@LAW
@given(similarities("a", "b"), similarities("b", "c"), similarities("c", "d"))
def test_composition_is_one_after_the_other_and_associative(
    first: Transform, second: Transform, third: Transform
) -> None:
    np.testing.assert_allclose(
        (second @ first).apply(POINTS_XY), second.apply(first.apply(POINTS_XY)), atol=1e-6
    )
    left, right = (third @ second) @ first, third @ (second @ first)
    np.testing.assert_allclose(left.matrix, right.matrix, rtol=1e-9, atol=1e-6)
    assert (left.source, left.target) == ("a", "d")


@LAW
@given(similarities("a", "b"))
def test_a_similarity_scales_all_distances_alike(transform: Transform) -> None:
    moved = transform.apply(POINTS_XY)
    before = np.linalg.norm(np.diff(POINTS_XY, axis=0), axis=1)
    after = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    np.testing.assert_allclose(after / before, after[0] / before[0], rtol=1e-9)


def test_a_positive_turn_is_counter_clockwise_on_screen() -> None:
    turn = Transform.similarity("a", "b", rotation_deg=90, scale=2, shift_xy_px=(1, 0), centre_xy_px=(10, 10))
    right_of_centre, centre = np.array([[15.0, 10.0]]), np.array([[10.0, 10.0]])
    np.testing.assert_allclose(turn.apply(right_of_centre), [[11.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(turn.apply(centre), [[11.0, 10.0]], atol=1e-12)


def test_frames_that_do_not_meet_are_refused() -> None:
    one = Transform(np.eye(3), "a", "b")
    with pytest.raises(ValueError, match="a -> b does not meet a -> b"):
        one @ one


@pytest.mark.parametrize("matrix", [np.eye(2), np.full((3, 3), np.nan), np.zeros((2, 3))])
def test_a_transform_is_a_finite_matrix_of_three(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite 3x3"):
        Transform(matrix, "a", "b")
