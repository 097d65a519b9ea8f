import numpy as np
import pytest

from mineralseg.core.registration import Registration
from mineralseg.core.transforms import Transform
from mineralseg.imaging.landmarks import register_landmarks

SIZE_PX = (1300, 1100)
MAP_TO_FIXED = Transform.similarity(
    "map", "PPL", rotation_deg=12.0, scale=7.6, shift_xy_px=(40.0, 60.0), centre_xy_px=(0.0, 0.0)
)


def points(count: int, seed: int = 3) -> np.ndarray:
    """Map points spread over a grid, a little out of line."""
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(count)))
    grid = np.stack(np.meshgrid(np.arange(across), np.arange(across)), axis=-1).reshape(-1, 2)[:count]
    return 20.0 + 110.0 / across * (grid + rng.uniform(-0.2, 0.2, grid.shape))


def register(moving: np.ndarray, fixed: np.ndarray, *, bend: bool = True) -> Registration:
    return register_landmarks(moving, fixed, fixed_size_px=SIZE_PX, bend=bend, frames=("map", "PPL"))


@pytest.mark.parametrize("count", [3, 4, 5, 12])
def test_exact_pairs_give_the_exact_transform(count):
    moving = points(count)
    found = register(moving, MAP_TO_FIXED.apply(moving), bend=False)
    assert found.verdict == "accepted"
    assert found.moving_to_fixed.matrix == pytest.approx(MAP_TO_FIXED.matrix, abs=1e-6)
    assert found.residual_px == pytest.approx(0, abs=1e-6)
    assert (found.inliers, found.bend) == (count, None)
    assert found.score == pytest.approx(1)


def test_a_flipped_map_with_three_pairs_is_no_contradiction():
    moving = points(3)
    found = register(moving * [-1, 1], MAP_TO_FIXED.apply(moving))
    assert found.mirrored
    assert found.residual_px == pytest.approx(0, abs=1e-6)


def test_the_spline_goes_through_the_points_and_between_them():
    def bent(points_xy: np.ndarray) -> np.ndarray:
        wave = 15 * np.sin(2 * np.pi * points_xy / 160)
        return MAP_TO_FIXED.apply(points_xy) + wave[:, ::-1]

    moving, between = points(36), points(25, seed=8)
    found = register(moving, bent(moving))
    stiff = register(moving, bent(moving), bend=False)
    assert found.bend is not None
    assert max(found.bend.offset_xy.shape[:2]) <= 64
    assert np.linalg.norm(found.warp.apply(bent(moving)) - moving, axis=1).max() < 0.1
    error = np.linalg.norm(found.warp.apply(bent(between)) - between, axis=1)
    assert np.median(error) < 0.3 * np.median(
        np.linalg.norm(stiff.warp.apply(bent(between)) - between, axis=1)
    )
    assert found.residual_px < stiff.residual_px


@pytest.mark.parametrize("bend", [False, True])
def test_the_residual_is_the_error_of_points_not_used(bend):
    rng = np.random.default_rng(0)
    moving = points(40)
    found = register(moving, MAP_TO_FIXED.apply(moving) + rng.normal(0, 3.0, moving.shape), bend=bend)
    assert 2.5 < found.residual_px < (6.5 if bend else 5.0)


@pytest.mark.parametrize("count", [5, 6, 12])
@pytest.mark.parametrize("row", [0, 3])
def test_one_wrong_pair_is_named(count, row):
    moving = points(count)
    fixed = MAP_TO_FIXED.apply(moving) + np.random.default_rng(1).normal(0, 1.0, moving.shape)
    fixed[row] += [150, 90]
    found = register(moving, fixed)
    assert found.verdict == "refused"
    assert f"pair {row + 1} lies" in found.reason


@pytest.mark.parametrize("seed", range(20))
def test_careful_clicks_are_no_contradiction(seed):
    rng = np.random.default_rng(seed)
    moving = points(8)
    assert (
        register(moving, MAP_TO_FIXED.apply(moving) + rng.normal(0, 4.0, moving.shape)).verdict == "accepted"
    )


def test_unusable_pairs_are_refused_with_the_reason():
    moving = points(6)
    fixed = MAP_TO_FIXED.apply(moving)
    twice = fixed.copy()
    twice[4] = twice[1]
    line = np.column_stack([np.arange(6.0), 2 * np.arange(6.0)])
    gap = moving.copy()
    gap[2, 0] = np.nan
    for reason, found in (
        ("2 pairs of landmarks, at least 3", register(moving[:2], fixed[:2])),
        ("pairs 2 and 5 are the same point of the fixed image", register(moving, twice)),
        ("on one line", register(line, fixed)),
        ("pair 3 has no number", register(gap, fixed)),
        ("outside the fixed image of 1300 x 1100 px", register(moving, fixed + 900)),
    ):
        assert found.verdict == "refused"
        assert reason in found.reason


def test_lists_of_different_length_are_a_bug():
    with pytest.raises(ValueError, match="two equal lists"):
        register(points(4), points(5))
