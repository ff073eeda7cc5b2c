"""Classification metrics: accuracy with its interval, F1, confusion matrix, calibration. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.artifacts.writing import rounded

BINS = 15  # of the calibration error, as in Guo et al.
CONFIDENCE = 0.95  # of the interval of accuracy


@dataclass(frozen=True)
class ClassPredictions:
    """The predicted probability of each class, for every example of a split, and the true class.

    Attributes:
        log_probabilities: natural logarithms of the predicted probabilities.
        labels: the indices of the true classes.

    Three examples of class 0 and one of class 1, of which one example of class 0 is predicted as 1:

    >>> log_probabilities = np.log([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    >>> predictions = ClassPredictions(log_probabilities, np.array([0, 0, 0, 1]))
    >>> predictions.predicted.tolist(), predictions.accuracy, round(predictions.loss, 3)
    ([0, 0, 1, 1], 0.75, 0.4)
    >>> predictions.confusion.tolist()
    [[2, 1], [0, 1]]
    >>> [(one.precision, round(one.recall, 2), round(one.f1, 2)) for one in predictions.per_class()]
    [(1.0, 0.67, 0.8), (0.5, 1.0, 0.67)]
    >>> round(predictions.macro_f1, 3), round(predictions.calibration_error, 2)
    (0.733, 0.3)
    """

    log_probabilities: Float[np.ndarray, "N K"]
    labels: Int[np.ndarray, " N"]

    @cached_property
    def predicted(self) -> Int[np.ndarray, " N"]:
        """The likeliest class; of equally likely ones the first."""
        return self.log_probabilities.argmax(axis=1)

    @property
    def correct(self) -> Bool[np.ndarray, " N"]:
        """Whether the likeliest class is the true one."""
        return self.predicted == self.labels

    @cached_property
    def confidence(self) -> Float[np.ndarray, " N"]:
        """The probability of the likeliest class."""
        return np.exp(self.log_probabilities.max(axis=1))

    @property
    def loss(self) -> float:
        """The mean of −ln p(true class), nats per example; infinite where a true class has probability 0."""
        return -float(self.log_probabilities[np.arange(len(self.labels)), self.labels].mean())

    @property
    def accuracy(self) -> float:
        """The share of examples whose likeliest class is the true one."""
        return float(self.correct.mean())

    @cached_property
    def confusion(self) -> Int[np.ndarray, "K K"]:
        """How many examples of each true class (row) were predicted as each class (column)."""
        classes = self.log_probabilities.shape[1]
        pairs = self.labels.astype(np.int64) * classes + self.predicted
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def per_class(self) -> list[ClassMetrics]:
        """Precision, recall and F1 of each class, in the order of the classes."""
        hits, true, predicted = np.diag(self.confusion), self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return [ClassMetrics(int(hit), int(count), int(taken)) for hit, count, taken in zip(hits, true, predicted, strict=True)]

    @property
    def macro_f1(self) -> float:
        """The mean of F1 over the classes that occur or are predicted at least once; a rare class weighs as much as any."""
        return float(np.mean([one.f1 for one in self.per_class() if one.count or one.predicted]))

    def reliability(self) -> list[tuple[float, float, int]]:
        """(mean confidence, accuracy, examples) of each bin of confidence that holds any; the m-th is ((m−1)/15, m/15]."""
        bins = np.clip(np.ceil(self.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        inside = [bins == one for one in range(BINS)]
        return [(float(self.confidence[i].mean()), float(self.correct[i].mean()), int(i.sum())) for i in inside if i.any()]

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: Σ over the bins of n_m / n · |accuracy_m − confidence_m|; 0 … 1.

        Healthy: near 0. Of the predictions with a probability of 90 %, 90 % are then correct. With few examples some remains by
        chance: about .02 for 1,000.

        Source: Guo et al., "On Calibration of Modern Neural Networks", 2017 (15 bins of equal width).
        """
        return sum(count * abs(accuracy - confidence) for confidence, accuracy, count in self.reliability()) / len(self.labels)


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of one class.

    Attributes:
        true_positives: examples of it that were predicted as it.
        count: examples of it.
        predicted: examples that were predicted as it.

    >>> one = ClassMetrics(true_positives=6, count=8, predicted=12)
    >>> one.precision, one.recall, one.f1
    (0.5, 0.75, 0.6)
    """

    true_positives: int
    count: int
    predicted: int

    @property
    def precision(self) -> float:
        """The share of the examples predicted as this class that are of it; 0 where there are none."""
        return self.true_positives / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """The share of the examples of this class that are predicted as it; 0 where there are none."""
        return self.true_positives / self.count if self.count else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.true_positives / (self.count + self.predicted) if self.count + self.predicted else 0.0


def interval(correct: int, count: int) -> tuple[float, float]:
    """The 95 % confidence interval (Wilson) of the accuracy, given how many of how many examples were correct.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), which stays between 0 and 1 and is valid for few examples too.

    >>> [round(end, 3) for end in interval(correct=9, count=10)]
    [0.596, 0.982]

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z, share = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), correct / count
    middle, reach = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return tuple((middle + side * reach) / (1 + z * z / count) for side in (-1, 1))  # type: ignore[return-value]


@dataclass(frozen=True)
class ClassScore:
    """How well a model or baseline classifies a split.

    Attributes:
        name: of the model or baseline.
        split: that it classifies.
        accuracy, low, high: the accuracy and the ends of its 95 % interval.
        macro_f1, calibration_error: see ClassPredictions.
        loss: nats per example; None where it is not finite.
        note: shown next to the score.
    """

    name: str
    split: str
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    macro_f1: float | None = None
    calibration_error: float | None = None
    loss: float | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, split: str, predictions: ClassPredictions, note: str = "") -> ClassScore:
        """The score of some predictions; without numbers where a probability is nan."""
        if np.isnan(predictions.log_probabilities).any():
            return cls(name, split, note=note)
        low, high = interval(int(predictions.correct.sum()), len(predictions.labels))
        loss = predictions.loss if math.isfinite(predictions.loss) else None
        return cls(
            name, split, predictions.accuracy, low, high, predictions.macro_f1, predictions.calibration_error, loss, note
        )

    def with_note(self, more: str) -> ClassScore:
        """The score with one more note."""
        return replace(self, note="; ".join(filter(None, (self.note, more))))

    def row(self) -> dict[str, Any]:
        """The score as a row of metrics/evaluate.json, without what is unknown."""
        numbers = {
            "accuracy": self.accuracy,
            "accuracy_low": self.low,
            "accuracy_high": self.high,
            "macro_f1": self.macro_f1,
            "calibration_error": self.calibration_error,
            "loss": self.loss,
        }
        known = {name: rounded(number) for name, number in numbers.items() if number is not None}
        return {"name": self.name, "split": self.split, **known, **({"note": self.note} if self.note else {})}


def best_first(scores: Sequence[ClassScore], split: str) -> list[ClassScore]:
    """The scores on a split, the highest accuracy first, those without accuracy last.

    >>> scores = [ClassScore("majority", "test", 0.4), ClassScore("broken", "test"), ClassScore("model", "test", 0.9)]
    >>> [score.name for score in best_first(scores, "test")]
    ['model', 'majority', 'broken']
    """
    return sorted(
        (score for score in scores if score.split == split),
        key=lambda score: -(-1.0 if score.accuracy is None else score.accuracy),
    )
