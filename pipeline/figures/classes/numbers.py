"""Accuracy, reliability, confusion matrix, classes and mistakes of a classifier, for the pictures and the report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.figures.charts import Chart, Line, line_of
from pipeline.figures.run import Run, Score

SPLIT = "test"  # that these are of, as the headline is
NEAR = 0.1  # an accuracy this close to that of the majority baseline is drawn together with it
FEW = 5  # examples in a bin of confidence: fewer give a meaningless accuracy
MOST_NUMBERED = 24  # classes of a confusion matrix whose cells hold numbers


@dataclass(frozen=True)
class ClassRow:
    """Precision, recall and F1 of one class."""

    name: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class Mistake:
    """An example that was misclassified, or nearly: with its text, or its pixels."""

    true: str
    predicted: str
    probability: float
    of_true: float
    text: str
    pixels: npt.NDArray[np.uint8] | None

    @property
    def wrong(self) -> bool:
        return self.true != self.predicted


def accuracy(run: Run) -> Chart:
    """Validation accuracy during training, with those of the baselines as levels."""
    line = line_of("model", run.validation, "accuracy")
    worst = min((share for share in line.y if share is not None), default=0.0)
    levels = [
        (name, share)
        for name, share in run.ranking("validation")
        # The majority baseline is left out where the model is far above it: it would compress the rest of the chart.
        if name != "model" and (name != "majority" or worst < share + NEAR)
    ]
    return Chart(
        title="Accuracy",
        description="Accuracy on held-out examples (during training on a part of them): higher is better. "
        "Dashed: baselines, fitted on the same training examples.",
        x="step",
        y="accuracy, validation split",
        lines=(line,),
        levels=tuple(levels),
    )


def reliability(run: Run) -> Chart | None:
    """Accuracy over confidence; None where there are too few examples to see it."""
    bins = [row for row in run.evaluation.get("reliability", {}).get(SPLIT, []) if row[-1] >= FEW]
    if len(bins) < 2:
        return None
    error = run.score("model", SPLIT)
    expected = (
        f" Expected calibration error: {error.calibration_error:.3f}." if error and error.calibration_error is not None else ""
    )
    return Chart(
        title=f"Reliability diagram, {SPLIT} split",
        description="Accuracy over confidence, the probability of the predicted class: the model is calibrated on the "
        "diagonal, overconfident below it, underconfident above. "
        f"A point is a bin of confidence with {FEW} examples or more.{expected}",
        x="confidence",
        y="accuracy",
        lines=(
            Line("model", [confidence for confidence, _, _ in bins], [correct for _, correct, _ in bins]),
            Line("calibrated", [0.0, 1.0], [0.0, 1.0]),
        ),
        from_zero=True,
    )


def confusion(run: Run) -> npt.NDArray[np.int64] | None:
    """How many examples of each true class (row) were predicted as each class (column)."""
    counts = run.evaluation.get("confusion", {}).get(SPLIT)
    return None if counts is None else np.array(counts, dtype=np.int64)


def shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """A confusion matrix as shares of each true class."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def strength(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The strength of the colour of a share: its square root, so that one mistake in fifty is visible."""
    return np.sqrt(shares)


def per_class(run: Run) -> list[ClassRow]:
    """Every class, the lowest F1 first."""
    rows = [row for row in run.evaluation.get("per_class", []) if row["split"] == SPLIT]
    classes = [ClassRow(row["class"], row["precision"], row["recall"], row["f1"], row["count"]) for row in rows]
    return sorted(classes, key=lambda row: row.f1)


def mistakes(run: Run) -> list[Mistake]:
    """The worst mistakes, the most confident first."""
    image = run.mistakes.get("image", [])
    return [
        Mistake(
            row["truth"],
            row["said"],
            row["probability"],
            row["of_truth"],
            row.get("text", ""),
            _pixels(row.get("pixels"), image),
        )
        for row in run.mistakes["mistakes"]
    ]


def _pixels(packed: str | None, image: Sequence[int]) -> npt.NDArray[np.uint8] | None:
    if packed is None:
        return None
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(image)


def visible(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """An image in red, green and blue; one channel in grey, and an image of one row of pixels as a curve.

    Of two channels, or more than three, the first is shown.
    """
    if pixels.shape[0] == 1:
        values = pixels[0, :, 0]
        side = len(values)
        pixels = np.zeros((side, side, 1), np.uint8)
        pixels[np.rint((1 - values / 255) * (side - 1)).astype(np.int64), np.arange(side)] = 255
    return pixels if pixels.shape[-1] == 3 else np.repeat(pixels[..., :1], 3, axis=-1)


def percent(share: float | None) -> str:
    """0.9833 -> 98.3 %."""
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(row: Score) -> str:
    """The 95 % interval of a score: 97.1 … 99.0 %."""
    return (
        "–"
        if row.accuracy_low is None or row.accuracy_high is None
        else f"{100 * row.accuracy_low:.1f} … {100 * row.accuracy_high:.1f} %"
    )
