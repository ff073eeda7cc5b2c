"""Classification metrics equal those of scikit-learn to the last digits, or another computation of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from pipeline.evaluation.class_metrics import BINS, ClassPredictions, ClassScore, best_first, interval

pytestmark = pytest.mark.shapes

CLOSE = 1e-12


def drawn(count: int, classes: int, seed: int = 0, sharp: float = 2.0) -> ClassPredictions:
    """Predictions that are correct more often than not; the last class is never true."""
    random = np.random.default_rng(seed)
    labels = random.integers(max(classes - 1, 1), size=count)
    logits = random.normal(size=(count, classes)) * sharp
    logits[np.arange(count), labels] += 1
    return ClassPredictions(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), labels)


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (7, 3), (400, 2), (500, 20)])
def test_every_figure_is_the_one_of_scikit_learn(count: int, classes: int) -> None:
    found = drawn(count, classes)
    true, predicted, all_of_them = found.labels, found.predicted, range(classes)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(true, predicted), abs=CLOSE)
    assert found.loss == pytest.approx(metrics.log_loss(true, np.exp(found.log_probabilities), labels=all_of_them), abs=CLOSE)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(true, predicted, average="macro", zero_division=0), abs=CLOSE)
    assert found.confusion.tolist() == metrics.confusion_matrix(true, predicted, labels=all_of_them).tolist()
    expected = metrics.precision_recall_fscore_support(true, predicted, labels=all_of_them, zero_division=0)
    own = np.array([(one.precision, one.recall, one.f1, one.count) for one in found.per_class()]).T
    assert np.abs(own - np.array(expected, dtype=float)).max() < CLOSE


@pytest.mark.parametrize(("count", "sharp"), [(900, 0.3), (900, 2.0), (5, 6.0)])
def test_the_calibration_error_is_the_gap_to_scikit_learns_calibration_curve(count: int, sharp: float) -> None:
    found = drawn(count, 4, sharp=sharp)
    right, sure = calibration_curve(found.correct, found.confidence, n_bins=BINS)
    counts = np.histogram(found.confidence, bins=np.linspace(0, 1, BINS + 1))[0]
    expected = (np.abs(right - sure) * counts[counts > 0]).sum() / count
    assert found.calibration_error == pytest.approx(expected, abs=CLOSE)
    assert sum(examples for _, _, examples in found.reliability()) == count


def test_a_bin_ends_with_its_upper_bound_and_what_is_certain_is_in_the_last() -> None:
    said = np.log([[1.0, 1e-300], [0.6, 0.4]])  # 0.6 is 9/15, the end of the ninth bin
    assert [examples for *_, examples in ClassPredictions(said, np.array([0, 0])).reliability()] == [1, 1]
    assert ClassPredictions(said[:1], np.array([0])).calibration_error == 0
    assert ClassPredictions(said[:1], np.array([1])).calibration_error == 1


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 5000), share=st.floats(0, 1))
def test_the_interval_is_wilsons(count: int, share: float) -> None:
    right = round(share * count)
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_what_is_no_number_has_no_figures_and_what_is_impossible_no_loss() -> None:
    labels = np.array([0, 1])
    assert ClassScore.of("model", "test", ClassPredictions(np.full((2, 2), math.nan), labels)) == ClassScore("model", "test")
    sure = ClassScore.of("model", "test", ClassPredictions(np.array([[0.0, -math.inf], [0.0, -math.inf]]), labels))
    assert (sure.loss, sure.accuracy) == (None, 0.5)
    assert sure.row().keys() == {
        "name",
        "split",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "macro_f1",
        "calibration_error",
    }


def test_the_best_of_a_split_comes_first_and_what_has_no_figure_last() -> None:
    scores = [ClassScore(name, "test", share) for name, share in (("a", 0.1), ("b", None), ("c", 0.9), ("d", 0.0))]
    assert [score.name for score in best_first([*scores, ClassScore("e", "validation", 1.0)], "test")] == ["c", "a", "d", "b"]
