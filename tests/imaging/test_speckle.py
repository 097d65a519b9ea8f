"""Patches below an area become void, all others stay as they are."""

import numpy as np
import pytest
from scipy import ndimage

from mineralseg.core.legend import IGNORE
from mineralseg.imaging.speckle import void_small_patches


def noisy_map(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, 0, 0, 1, 2, IGNORE], (60, 80)).astype(np.uint8)


@pytest.mark.parametrize("min_area_px", [2, 3, 9])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_left_is_what_a_patch_by_patch_count_leaves(min_area_px: int, seed: int) -> None:
    before = noisy_map(seed)
    expected = before.copy()
    for index in (0, 1, 2):
        patches, count = ndimage.label(before == index)
        for number in range(1, count + 1):
            if np.count_nonzero(patches == number) < min_area_px:
                expected[patches == number] = IGNORE
    assert np.array_equal(void_small_patches(before, min_area_px=min_area_px), expected)


def test_an_area_of_one_changes_nothing_and_the_input_is_kept() -> None:
    before = noisy_map(3)
    untouched = before.copy()
    assert np.array_equal(void_small_patches(before, min_area_px=1), before)
    void_small_patches(before, min_area_px=50)
    assert np.array_equal(before, untouched)


def test_a_full_map_of_one_class_is_one_patch() -> None:
    uniform = np.full((5, 7), 3, np.uint8)
    assert np.array_equal(void_small_patches(uniform, min_area_px=35), uniform)
    assert (void_small_patches(uniform, min_area_px=36) == IGNORE).all()
