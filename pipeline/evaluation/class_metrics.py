"""What was said of examples whose classes are known, and every figure that tells how good that was; no torch."""

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

BINS = 15  # of the calibration error, as Guo et al. have them
SURE = 0.95  # how often an interval of accuracy holds the true one


@dataclass(frozen=True)
class Answers:
    """How likely each class was held to be, for every example of a split, and which one was true.

    Attributes:
        said: nats: the logarithm of the probability of each class.
        labels: the number of the true one.

    Three examples of class 0 and one of class 1, of which one example of class 0 is taken for 1:

    >>> said = np.log([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    >>> answers = Answers(said, np.array([0, 0, 0, 1]))
    >>> answers.chosen.tolist(), answers.accuracy, round(answers.loss, 3)
    ([0, 0, 1, 1], 0.75, 0.4)
    >>> answers.confusion.tolist()
    [[2, 1], [0, 1]]
    >>> [(one.precision, round(one.recall, 2), round(one.f1, 2)) for one in answers.per_class()]
    [(1.0, 0.67, 0.8), (0.5, 1.0, 0.67)]
    >>> round(answers.macro_f1, 3), round(answers.calibration_error, 2)
    (0.733, 0.3)
    """

    said: Float[np.ndarray, "N K"]
    labels: Int[np.ndarray, " N"]

    @cached_property
    def chosen(self) -> Int[np.ndarray, " N"]:
        """The likeliest class; of equals the first."""
        return self.said.argmax(axis=1)

    @property
    def right(self) -> Bool[np.ndarray, " N"]:
        return self.chosen == self.labels

    @cached_property
    def confidence(self) -> Float[np.ndarray, " N"]:
        """The probability of the class that was chosen."""
        return np.exp(self.said.max(axis=1))

    @property
    def loss(self) -> float:
        """The mean of −log p(true class), nats an example; infinite where a true class was held to be impossible."""
        return -float(self.said[np.arange(len(self.labels)), self.labels].mean())

    @property
    def accuracy(self) -> float:
        """The share of examples whose true class was chosen."""
        return float(self.right.mean())

    @cached_property
    def confusion(self) -> Int[np.ndarray, "K K"]:
        """How many examples of each true class (row) were taken for each class (column)."""
        classes = self.said.shape[1]
        pairs = self.labels.astype(np.int64) * classes + self.chosen
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def per_class(self) -> list[ClassFigures]:
        """How well each class is told from the others, in the order of their numbers."""
        hits, true, said = np.diag(self.confusion), self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return [ClassFigures(int(hit), int(count), int(taken)) for hit, count, taken in zip(hits, true, said, strict=True)]

    @property
    def macro_f1(self) -> float:
        """The mean of F1 over the classes that are true or said of at least one example: a rare class weighs as much as any."""
        return float(np.mean([one.f1 for one in self.per_class() if one.count or one.said]))

    def reliability(self) -> list[tuple[float, float, int]]:
        """(mean confidence, accuracy, examples) of each bin of confidence that holds any; the m-th is ((m−1)/15, m/15]."""
        bins = np.clip(np.ceil(self.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        inside = [bins == one for one in range(BINS)]
        return [(float(self.confidence[i].mean()), float(self.right[i].mean()), int(i.sum())) for i in inside if i.any()]

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: Σ over the bins of n_m / n · |accuracy_m − confidence_m|; 0 … 1.

        Healthy: next to 0. A classifier that says 90 % is then right nine times of ten. With few examples chance alone
        leaves some: about .02 for 1,000.

        Source: Guo et al., "On Calibration of Modern Neural Networks", 2017 (15 bins of equal width).
        """
        return sum(count * abs(accuracy - confidence) for confidence, accuracy, count in self.reliability()) / len(self.labels)


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is told from the others.

    Attributes:
        hits: examples of it that were taken for it.
        count: examples of it.
        said: examples that were taken for it.

    >>> one = ClassFigures(hits=6, count=8, said=12)
    >>> one.precision, one.recall, one.f1
    (0.5, 0.75, 0.6)
    """

    hits: int
    count: int
    said: int

    @property
    def precision(self) -> float:
        """Of those that were taken for it, the share that is of it; 0 where none was."""
        return self.hits / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        """Of those that are of it, the share that was taken for it; 0 where there are none."""
        return self.hits / self.count if self.count else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.hits / (self.count + self.said) if self.count + self.said else 0.0


def interval(right: int, count: int) -> tuple[float, float]:
    """Where the true accuracy lies, 95 times of 100, if so many of so many examples were right.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), which stays between 0 and 1 and holds for few examples too.

    >>> [round(end, 3) for end in interval(right=9, count=10)]
    [0.596, 0.982]

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z, share = NormalDist().inv_cdf((1 + SURE) / 2), right / count
    middle, reach = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return tuple((middle + side * reach) / (1 + z * z / count) for side in (-1, 1))  # type: ignore[return-value]


@dataclass(frozen=True)
class ClassScore:
    """How well something tells the classes of a split apart.

    Attributes:
        name, split: who tells what.
        accuracy, low, high: the share that it has right, and the ends of its 95 % interval.
        macro_f1, calibration_error: see Answers.
        loss: nats an example; None where it is not finite.
        note: what else a reader must know.
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
    def of(cls, name: str, split: str, answers: Answers, note: str = "") -> ClassScore:
        """The score of some answers; without figures where what was said are no numbers."""
        if np.isnan(answers.said).any():
            return cls(name, split, note=note)
        low, high = interval(int(answers.right.sum()), len(answers.labels))
        loss = answers.loss if math.isfinite(answers.loss) else None
        return cls(name, split, answers.accuracy, low, high, answers.macro_f1, answers.calibration_error, loss, note)

    def noted(self, more: str) -> ClassScore:
        """The score with one more thing that a reader must know."""
        return replace(self, note="; ".join(filter(None, (self.note, more))))

    def row(self) -> dict[str, Any]:
        """The score as a metrics file holds it: what is unknown is left out."""
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
    """The scores on a split, the highest accuracy first, and at the end what has none.

    >>> scores = [ClassScore("majority", "test", 0.4), ClassScore("broken", "test"), ClassScore("model", "test", 0.9)]
    >>> [score.name for score in best_first(scores, "test")]
    ['model', 'majority', 'broken']
    """
    return sorted(
        (score for score in scores if score.split == split),
        key=lambda score: -(-1.0 if score.accuracy is None else score.accuracy),
    )
