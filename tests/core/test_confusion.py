from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from mineralseg.core.confusion import ConfusionMatrix, rounded
from mineralseg.core.legend import IGNORE
from tests.laws import LAW

CLASSES = 4
MAPS = npst.arrays(np.uint8, (6, 7), elements=st.integers(0, CLASSES - 1) | st.just(IGNORE))
Map = NDArray[np.uint8]


def _of(truth: Any, predicted: Any) -> ConfusionMatrix:
    return ConfusionMatrix.of(np.array(truth, np.uint8), np.array(predicted, np.uint8), classes=CLASSES)


@LAW
@given(truth=MAPS, predicted=MAPS)
def test_counts_are_additive_over_any_cut(truth: Map, predicted: Map) -> None:
    whole = _of(truth, predicted)
    for cut in range(len(truth) + 1):
        parts = _of(truth[:cut], predicted[:cut]) + _of(truth[cut:], predicted[cut:])
        assert np.array_equal(parts.counts, whole.counts)
    assert np.array_equal((whole + ConfusionMatrix.zero(CLASSES)).counts, whole.counts)


@LAW
@given(truth=MAPS, predicted=MAPS)
def test_scores_agree_with_sets_of_pixels(truth: Map, predicted: Map) -> None:
    confusion = _of(truth, predicted)
    valid = {tuple(p) for p in np.argwhere((truth != IGNORE) & (predicted != IGNORE))}
    assert confusion.pixels == len(valid)
    for k in range(CLASSES):
        true = {tuple(p) for p in np.argwhere(truth == k)} & valid
        found = {tuple(p) for p in np.argwhere(predicted == k)} & valid
        for score, part, whole in (
            (confusion.iou()[k], true & found, true | found),
            (confusion.precision()[k], true & found, found),
            (confusion.recall()[k], true & found, true),
            (confusion.truth_fractions()[k], true, valid),
            (confusion.predicted_fractions()[k], found, valid),
        ):
            expected = len(part) / len(whole) if whole else np.nan
            np.testing.assert_allclose(score, expected, rtol=1e-12)


@LAW
@given(truth=MAPS, predicted=MAPS)
def test_scores_agree_with_scikit_learn(truth: Map, predicted: Map) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    valid = (truth != IGNORE) & (predicted != IGNORE)
    if not valid.any():
        return
    confusion, labels = _of(truth, predicted), list(range(CLASSES))
    theirs = metrics.confusion_matrix(truth[valid], predicted[valid], labels=labels)
    assert np.array_equal(confusion.counts, theirs)
    iou = metrics.jaccard_score(truth[valid], predicted[valid], labels=labels, average=None, zero_division=0)
    present = np.union1d(truth[valid], predicted[valid])
    np.testing.assert_allclose(confusion.iou()[present], iou[present])
    assert confusion.mean_iou() == pytest.approx(iou[present].mean())
    assert confusion.pixel_accuracy() == pytest.approx(metrics.accuracy_score(truth[valid], predicted[valid]))


@LAW
@given(truth=MAPS, predicted=MAPS, elsewhere=MAPS)
def test_what_stands_on_void_pixels_changes_nothing(truth: Map, predicted: Map, elsewhere: Map) -> None:
    changed = np.where(truth == IGNORE, elsewhere, predicted)
    assert np.array_equal(_of(truth, predicted).counts, _of(truth, changed).counts)


def test_rows_are_truth_and_columns_prediction() -> None:
    confusion = _of([[1, 1, 2]], [[1, 3, 2]])
    expected = np.zeros((4, 4), int)
    expected[1, 1] = expected[1, 3] = expected[2, 2] = 1
    assert np.array_equal(confusion.counts, expected)


def test_an_absent_class_has_no_score_and_lifts_no_mean() -> None:
    confusion = _of([[0, 0, 1, 1]], [[0, 0, 0, 1]])
    np.testing.assert_allclose(confusion.iou(), [2 / 3, 1 / 2, np.nan, np.nan])
    assert confusion.mean_iou() == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_that_is_only_predicted_scores_zero() -> None:
    confusion = _of([[0, 0]], [[0, 3]])
    np.testing.assert_allclose(confusion.iou(), [0.5, np.nan, np.nan, 0.0])


def test_all_wrong_beside_void_is_zero() -> None:
    confusion = _of([[0, 1, IGNORE, IGNORE]], [[1, 0, 0, 1]])
    assert confusion.mean_iou() == 0.0
    assert confusion.pixel_accuracy() == 0.0
    assert confusion.pixels == 2


def test_no_pixels_have_no_score() -> None:
    empty = _of([[IGNORE]], [[1]])
    assert np.isnan(empty.mean_iou())
    assert np.isnan(empty.pixel_accuracy())
    assert np.isnan(empty.iou()).all()


def test_maps_of_different_size_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different size"):
        _of([[1, 2]], [[1], [2]])


@pytest.mark.parametrize(("truth", "predicted"), [(4, 0), (0, 4), (0, 254)])
def test_an_index_beyond_the_classes_is_not_counted_elsewhere(truth: int, predicted: int) -> None:
    with pytest.raises(ValueError, match="beyond the 4 classes"):
        _of([[truth, 3]], [[predicted, 3]])


def test_what_is_not_a_number_is_null_in_json() -> None:
    assert rounded(float("nan")) is None
    assert rounded(2 / 3) == 0.666667
