import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE
from mineralseg.data.augment import Augmentation, Augmenter
from tests.laws import FEW

NOTHING = Augmentation(flip=False, rotate_deg=0, scale=0, gain=0, gamma=0, noise=0, drop_view=0)
GEOMETRY = dataclasses.replace(NOTHING, flip=True, rotate_deg=180.0, scale=0.3)
LIGHT = dataclasses.replace(NOTHING, gain=0.3, gamma=0.3, noise=10.0, drop_view=0.5)
EVERYTHING = dataclasses.replace(LIGHT, flip=True, rotate_deg=40.0, scale=0.2)
SEEDS = st.integers(0, 2**31 - 1)

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _augmenter(augmentation: Augmentation, *, view_bands: tuple[int, ...] = (1, 2)) -> Augmenter:
    return Augmenter(augmentation, patch_px=32, view_bands=view_bands)


def _scene(side: int, *, channels: int = 3, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (side, side, channels), np.uint8), rng.integers(0, 4, (side, side), np.uint8)


@FEW
@given(SEEDS)
def test_the_same_seed_gives_the_same_bytes_whatever_was_done_before(seed: int) -> None:
    one, other = _augmenter(EVERYTHING), _augmenter(EVERYTHING)
    scene = _scene(one.source_px)
    other(*scene, seed=seed + 1)
    for first, second in zip(one(*scene, seed=seed), other(*scene, seed=seed), strict=True):
        assert first.dtype == np.uint8
        assert np.array_equal(first, second)


@pytest.mark.parametrize("augmentation", [EVERYTHING, LIGHT, GEOMETRY])
def test_other_seeds_give_other_patches(augmentation: Augmentation) -> None:
    augmenter = _augmenter(augmentation)
    scene = _scene(augmenter.source_px)
    patches = {augmenter(*scene, seed=seed)[0].tobytes() for seed in range(12)}
    assert len(patches) == 12


def test_no_change_is_the_middle_of_the_window() -> None:
    augmenter = _augmenter(NOTHING)
    assert augmenter.source_px == 32
    image, labels = _scene(40)
    changed = augmenter(image, labels, seed=3)
    assert np.array_equal(changed[0], image[4:36, 4:36])
    assert np.array_equal(changed[1], labels[4:36, 4:36])


def test_flips_and_turns_move_image_and_labels_alike_into_all_eight_positions() -> None:
    augmenter = _augmenter(dataclasses.replace(NOTHING, flip=True))
    labels = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32).astype(np.uint8)
    image = np.repeat(labels[..., None], 3, axis=2)
    seen = set()
    for seed in range(60):
        turned_image, turned_labels = augmenter(image, labels, seed=seed)
        assert np.array_equal(turned_image, np.repeat(turned_labels[..., None], 3, axis=2))
        seen.add(turned_labels.tobytes())
    turns = [np.rot90(labels, n) for n in range(4)]
    assert seen == {each.tobytes() for turn in turns for each in (turn, turn.T)}


@FEW
@given(SEEDS)
def test_turning_and_scaling_move_image_and_labels_alike(seed: int) -> None:
    augmenter = _augmenter(GEOMETRY)
    side = augmenter.source_px
    rows, cols = np.mgrid[:side, :side]
    labels = ((rows // 11 + cols // 7) % 2).astype(np.uint8)
    image = np.repeat(255 * labels[..., None], 3, axis=2)
    changed, moved = augmenter(image, labels, seed=seed)
    # bilinear light that is wholly one class lies in that class; nearest labels cannot disagree there
    pure = (changed[..., 0] == 0) | (changed[..., 0] == 255)
    assert np.array_equal(moved[pure], changed[..., 0][pure] // 255)
    assert pure.mean() > 0.5
    assert (changed == changed[..., :1]).all()


@FEW
@given(
    seed=SEEDS,
    rotate_deg=st.floats(0, 180),
    scale=st.floats(0, 0.5),
    patch_px=st.sampled_from([32, 64]),
    flip=st.booleans(),
)
def test_no_void_is_made_inside(
    seed: int, rotate_deg: float, scale: float, patch_px: int, flip: bool
) -> None:
    change = dataclasses.replace(NOTHING, rotate_deg=rotate_deg, scale=scale, flip=flip)
    augmenter = Augmenter(change, patch_px=patch_px, view_bands=(1,))
    side = augmenter.source_px
    image, labels = augmenter(
        np.full((side, side, 1), 200, np.uint8), np.zeros((side, side), np.uint8), seed=seed
    )
    assert image.shape == (patch_px, patch_px, 1)
    assert (image == 200).all()
    assert (labels == 0).all()


def test_corners_that_open_in_too_small_a_window_are_void() -> None:
    augmenter = _augmenter(dataclasses.replace(NOTHING, rotate_deg=45.0))
    image, labels = augmenter(np.full((32, 32, 3), 200, np.uint8), np.zeros((32, 32), np.uint8), seed=1)
    assert (labels == IGNORE).any()
    assert (labels[(image == 0).all(axis=2)] == IGNORE).all()
    assert (labels[(image == 200).all(axis=2)] == 0).all()


def test_void_that_comes_in_stays_void() -> None:
    augmenter = _augmenter(GEOMETRY)
    side = augmenter.source_px
    image = np.full((side, side, 3), 200, np.uint8)
    _, labels = augmenter(image, np.full((side, side), IGNORE, np.uint8), seed=1)
    assert (labels == IGNORE).all()


def test_light_leaves_labels_alone() -> None:
    augmenter = _augmenter(LIGHT)
    image, labels = _scene(32)
    for seed in range(5):
        changed, kept = augmenter(image, labels, seed=seed)
        assert np.array_equal(kept, labels)
        assert not np.array_equal(changed, image)


def _ratios(augmentation: Augmentation, seed: int) -> NDArray[np.float64]:
    """Return by which factor each channel of an even grey 100 becomes brighter."""
    augmenter = _augmenter(augmentation)
    image = np.full((32, 32, 3), 100, np.uint8)
    changed, _ = augmenter(image, np.zeros((32, 32), np.uint8), seed=seed)
    ratios: NDArray[np.float64] = changed.mean(axis=(0, 1)) / 100
    return ratios


def test_gain_stays_within_its_bounds_and_differs_between_views() -> None:
    ratios = np.array([_ratios(dataclasses.replace(NOTHING, gain=0.3), seed) for seed in range(100)])
    assert ratios.min() >= 0.7 * 0.9 - 0.005
    assert ratios.max() <= 1.3 * 1.1 + 0.005
    assert np.ptp(ratios) > 0.4
    between_views, within_view = ratios[:, 0] - ratios[:, 1], ratios[:, 1] - ratios[:, 2]
    assert between_views.std() > within_view.std()


def test_gamma_keeps_black_and_white() -> None:
    augmenter = _augmenter(dataclasses.replace(NOTHING, gamma=0.5))
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16] = 255
    changed, _ = augmenter(image, np.zeros((32, 32), np.uint8), seed=1)
    assert np.array_equal(changed, image)
    assert np.ptp([_ratios(dataclasses.replace(NOTHING, gamma=0.5), seed)[0] for seed in range(20)]) > 0.2


def test_a_dropped_view_is_its_mean_and_the_others_stay() -> None:
    augmenter = _augmenter(dataclasses.replace(NOTHING, drop_view=0.999999), view_bands=(1, 2))
    image, labels = _scene(32)
    dropped = set()
    for seed in range(20):
        changed, _ = augmenter(image, labels, seed=seed)
        flat = [channel for channel in range(3) if np.ptp(changed[..., channel]) == 0]
        dropped.add(tuple(flat))
        for channel in range(3):
            if channel in flat:
                assert changed[0, 0, channel] == pytest.approx(image[..., channel].mean(), abs=0.51)
            else:
                assert np.array_equal(changed[..., channel], image[..., channel])
    assert dropped == {(0,), (1, 2)}


def test_a_single_view_is_never_dropped() -> None:
    augmenter = _augmenter(dataclasses.replace(NOTHING, drop_view=0.999999), view_bands=(3,))
    image, labels = _scene(32)
    assert all(np.array_equal(augmenter(image, labels, seed=seed)[0], image) for seed in range(10))
