import numpy as np
import pytest

from mineralseg.imaging.features import Features, describe, match
from tests.imaging.fields import VIEW_PX, canvas, placed, view


def described(vectors: np.ndarray) -> Features:
    """Features at numbered places, x = 0, 1, 2..."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.column_stack([np.arange(len(unit)), np.zeros(len(unit))])
    return Features(np.zeros((8, 8), np.float32), places, unit.astype(np.float32))


def random_vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (count, 128))


def test_descriptors_are_unit_vectors_at_places_in_the_view():
    image = view(1, 0)
    features = describe(image)
    assert len(features.keypoints_xy) == len(features.descriptors) > 200
    assert np.linalg.norm(features.descriptors, axis=1) == pytest.approx(1.0, abs=1e-3)
    assert features.keypoints_xy.min() >= 0
    assert features.keypoints_xy.max() <= VIEW_PX - 1
    assert features.grey_HW.shape == image.shape[:2]
    assert 0 <= features.grey_HW.min() < features.grey_HW.max() <= 1


def test_grey_light_is_described_alike_in_one_band_and_in_three():
    one, three = describe(view(1, 0)), describe(np.repeat(view(1, 0), 3, axis=2))
    assert np.array_equal(one.keypoints_xy, three.keypoints_xy)
    assert np.array_equal(one.descriptors, three.descriptors)


def test_describing_leaves_the_picture_as_it_is():
    image = view(1, 0)
    before = image.copy()
    describe(image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_view_has_no_features(level):
    features = describe(np.full((100, 120, 3), level, np.uint8))
    assert features.keypoints_xy.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)


def test_places_of_a_shifted_view_are_matched():
    fixed_xy, moving_xy = match(describe(view(1, 0)), describe(view(1, 0, placed(shift_xy_px=(23.0, -11.0)))))
    right = np.hypot(*(fixed_xy - moving_xy - [23, -11]).T) < 1.5
    assert right.sum() > 150
    assert right.mean() > 0.9


def test_matches_survive_a_weak_lamp():
    dim = (canvas(1, 0)[:VIEW_PX, :VIEW_PX] * 0.25).astype(np.uint8)[..., np.newaxis]
    bright = canvas(1, 0)[:VIEW_PX, :VIEW_PX].astype(np.uint8)[..., np.newaxis]
    fixed_xy, moving_xy = match(describe(bright), describe(dim))
    assert len(fixed_xy) > 150
    assert (np.hypot(*(fixed_xy - moving_xy).T) < 1).mean() > 0.9


def test_every_place_finds_its_mate_among_thousands():
    vectors = random_vectors(2500)
    order = np.random.default_rng(1).permutation(2500)
    fixed_xy, moving_xy = match(described(vectors), described(vectors[order]))
    assert len(fixed_xy) == 2500
    assert np.array_equal(order[moving_xy[:, 0].astype(int)], fixed_xy[:, 0])


def test_a_place_that_resembles_two_is_not_matched():
    vectors, blur = random_vectors(20), 0.05 * random_vectors(2, seed=5)
    twins = np.concatenate([vectors[:1] + blur[:1], vectors[1:], vectors[:1] + blur[1:]])
    fixed_xy, _ = match(described(vectors), described(twins))
    assert set(fixed_xy[:, 0]) == set(range(1, 20))


def test_two_places_never_share_a_mate():
    vectors = random_vectors(20)
    near = np.concatenate([vectors, vectors[:1] + 0.02 * random_vectors(1, seed=5)])
    fixed_xy, moving_xy = match(described(near), described(vectors))
    assert (0.0, 0.0) in set(zip(fixed_xy[:, 0], moving_xy[:, 0], strict=True))
    assert len(set(moving_xy[:, 0])) == len(moving_xy)


@pytest.mark.parametrize(("fixed", "moving"), [(0, 5), (5, 0), (1, 5), (0, 0)])
def test_views_with_hardly_a_place_have_no_matches(fixed, moving):
    fixed_xy, moving_xy = match(described(random_vectors(fixed)), described(random_vectors(moving)))
    assert fixed_xy.shape == moving_xy.shape == (0, 2)
