"""What the doctor is shown of one run: curves, numbers before the first step, simpler predictors, readings and knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.readings import Reading

Column = Sequence[float | None]


@dataclass(frozen=True)
class Case:
    """One run. Whatever is missing stays empty, and what hangs on it is not asked.

    Attributes:
        train, validation: columns of metrics/train.csv and metrics/validation.csv.
        progress: metrics/train.json; `stopped` says why a training was ended before its time.
        sanity: metrics/sanity.json: numbers of the network before its first step.
        kind: of task: "language", "classify", "vision".
        levels: nats a token on the validation split: "uniform", "unigram", "bigram", "entropy", as far as they are known; and
            "overlap", the share of the split that stands in the training text word for word. Where classes are told: "accuracy"
            of the model, of the most frequent class ("majority") and of logistic regression ("logistic"), 0 .. 1.
        confusion: where classes are told, how often each (rows) was taken for each (columns), on the validation split.
        readings: metrics/readings, by name.
        knobs: the sections of params.yaml.
    """

    kind: str = "language"
    train: Mapping[str, Column] = field(default_factory=dict)
    validation: Mapping[str, Column] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    sanity: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    confusion: Sequence[Sequence[float]] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def knob(self, name: str, otherwise: Any = None) -> Any:
        """The value of a knob such as "train.lr"; `otherwise` where it is not known."""
        section, _, knob = name.partition(".")
        return self.knobs.get(section, {}).get(knob, otherwise)

    def curve(self, column: str) -> list[tuple[float, float]]:
        """(step, value) of the rows of the training curve in which both are numbers."""
        return _rows(self.train, column)

    @property
    def validations(self) -> list[tuple[float, float]]:
        """(step, loss) of the measurements on held-out examples."""
        return _rows(self.validation, "loss")

    @property
    def uniform_loss(self) -> float | None:
        """ln V, of classes ln K, nats a target: the loss of whoever knows nothing."""
        return self.levels.get("uniform", self.sanity.get("uniform"))

    @property
    def final(self) -> float | None:
        """The loss at the end, nats a token: on held-out text where it was measured, or else the last of the training's."""
        if self.validations:
            return self.validations[-1][1]
        losses = [loss for _, loss in self.curve("loss")]
        return _mean(losses[-max(len(losses) // 20, 1) :]) if losses else None

    def snapshots(self, reading: str) -> list[float]:
        """The steps at which a reading was taken."""
        found = self.readings.get(reading)
        return [float(tick) for tick in found.axes[-1].ticks] if found and found.axes[-1].name == "step" else []

    def at(self, reading: str, snapshot: int) -> list[float]:
        """The numbers of a reading (of layers, or heads) at one of its snapshots, in order; what is no number is left out."""
        found = self.readings.get(reading)
        if found is None or not self.snapshots(reading) or not found.values:
            return []
        column = [row[snapshot] for row in found.values if -len(row) <= snapshot < len(row)]
        return [float(value) for value in column if value is not None]


BASELINES = ("majority", "logistic")
LEVELS = ("uniform", "unigram", "bigram", "entropy")


def levels(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """What metrics/evaluate.json says of the validation split without the model: see Case.levels."""
    shared = {name: split[name] for split in _of_validation(evaluation, "splits") for name in ("overlap",) if name in split}
    scores = _of_validation(evaluation, "scores")
    if "classes" in evaluation:
        told = {score["name"]: score["accuracy"] for score in scores if score["name"] in BASELINES}
        return told | {"accuracy": evaluation["accuracy"]} | shared
    losses = {score["name"]: score["loss"] for score in scores if "loss" in score}
    return {name: losses[name] for name in LEVELS if name in losses} | shared


def confusion(evaluation: Mapping[str, Any]) -> Sequence[Sequence[float]]:
    """How often each class was taken for each, on the validation split; nothing where no classes are told."""
    told: Sequence[Sequence[float]] = evaluation.get("confusion", {}).get("validation", ())
    return told


def _of_validation(evaluation: Mapping[str, Any], listed: str) -> list[Mapping[str, Any]]:
    return [row for row in evaluation.get(listed, ()) if row["split"] == "validation"]


def _rows(columns: Mapping[str, Column], column: str) -> list[tuple[float, float]]:
    rows = zip(columns.get("step", ()), columns.get(column, ()), strict=False)
    return [(step, value) for step, value in rows if step is not None and value is not None]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
