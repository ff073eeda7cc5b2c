"""What is drawn of a classifier alone: described once, for the pictures and for the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.figures.charts import Chart, Line, line_of
from pipeline.figures.run import Run, Score

SPLIT = "test"  # of which the class figures are drawn, as the headline is
NEAR = 0.1  # within so much of what knows nothing, that is drawn beside the accuracy
FEW = 5  # examples in a bin of confidence: of fewer the share that is right says nothing
TOLD = 24  # classes whose confusions can be told apart by numbers


@dataclass(frozen=True)
class ClassRow:
    """How well one class is told from the others."""

    name: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class Mistake:
    """An example that was taken for another class, or nearly: with its text, or its pixels."""

    truth: str
    said: str
    probability: float
    of_truth: float
    text: str
    pixels: npt.NDArray[np.uint8] | None

    @property
    def wrong(self) -> bool:
        return self.truth != self.said


def accuracy(run: Run) -> Chart:
    """Accuracy on held-out examples while training, with that of simpler things as levels."""
    line = line_of("model", run.validation, "accuracy")
    worst = min((share for share in line.y if share is not None), default=0.0)
    levels = [
        (name, share)
        for name, share in run.ranking("validation")
        # What knows nothing is left out where the model is far above it: it would press all else together.
        if name != "model" and (name != "majority" or worst < share + NEAR)
    ]
    return Chart(
        title="Accuracy",
        says="The share of held-out examples that is told right, on the way (of some of them): higher is better. "
        "Dashed: simpler things, fitted on the same examples.",
        x="step",
        y="share right, validation split",
        lines=(line,),
        levels=tuple(levels),
    )


def reliability(run: Run) -> Chart | None:
    """How often it is right when it says that it is so sure; None where too few examples were asked to see it."""
    bins = [row for row in run.evaluation.get("reliability", {}).get(SPLIT, []) if row[-1] >= FEW]
    if len(bins) < 2:
        return None
    error = run.score("model", SPLIT)
    told = (
        f" Expected calibration error: {error.calibration_error:.3f}." if error and error.calibration_error is not None else ""
    )
    return Chart(
        title=f"Reliability on the {SPLIT} split",
        says="How often it is right, over how sure it was: on the straight line it means what it says, below it is too sure, "
        "above too modest. Confidence: the probability of the class that it says. "
        f"A point is a bin of confidence with {FEW} examples or more.{told}",
        x="confidence",
        y="share right",
        lines=(
            Line("model", [sure for sure, _, _ in bins], [right for _, right, _ in bins]),
            Line("as sure as right", [0.0, 1.0], [0.0, 1.0]),
        ),
        from_zero=True,
    )


def confusion(run: Run) -> npt.NDArray[np.int64] | None:
    """How many of each true class (row) were taken for each class (column)."""
    counts = run.evaluation.get("confusion", {}).get(SPLIT)
    return None if counts is None else np.array(counts, dtype=np.int64)


def shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """A confusion matrix as shares of each true class."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def strength(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How strong the colour of a share is: its root, so that one mistake of fifty is seen."""
    return np.sqrt(shares)


def per_class(run: Run) -> list[ClassRow]:
    """Every class, the worst told first."""
    rows = [row for row in run.evaluation.get("per_class", []) if row["split"] == SPLIT]
    told = [ClassRow(row["class"], row["precision"], row["recall"], row["f1"], row["count"]) for row in rows]
    return sorted(told, key=lambda row: row.f1)


def mistakes(run: Run) -> list[Mistake]:
    """The worst, the surest first."""
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
    """An image in red, green and blue; of one channel in grey, and what is one pixel high as the curve that it is.

    Of two channels, or of more than three, the first is shown.
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


def between(row: Score) -> str:
    """The 95 % interval of a score: 97.1 … 99.0 %."""
    return (
        "–"
        if row.accuracy_low is None or row.accuracy_high is None
        else f"{100 * row.accuracy_low:.1f} … {100 * row.accuracy_high:.1f} %"
    )
