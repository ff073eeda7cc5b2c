"""A case: the curves, sanity checks, baselines, readings and knobs of one run, from which the doctor diagnoses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.readings import Reading

Column = Sequence[float | None]

FIRST, LAST = 0, -1  # snapshots


@dataclass(frozen=True)
class Case:
    """One run. What is missing stays empty, and signs that depend on it have no value.

    Attributes:
        kind: of task: "language", "classify", "vision".
        train, validation: columns of metrics/train.csv and metrics/validation.csv.
        progress: metrics/train.json; `stopped` says why a training was stopped early.
        sanity: metrics/sanity.json: numbers of the network before its first step.
        levels: losses of the baselines on the validation split, nats per token: "uniform", "unigram", "bigram", "entropy", as
            far as they are known; and "overlap", the share of the split that occurs in the training text word for word. Of a
            classifier: "accuracy" of the model, of the most frequent class ("majority") and of logistic regression
            ("logistic"), 0 .. 1.
        material: numbers of the data themselves, by name; see evaluation/material.py and evaluation/label_noise.py.
        confusion: the confusion matrix of a classifier on the validation split: rows are true classes, columns predicted.
        readings: metrics/readings, by name.
        knobs: the sections of params.yaml.
        plan: what the run must be, from the file that plan.path names; empty without a plan. See signs/plan.py.
    """

    kind: str = "language"
    train: Mapping[str, Column] = field(default_factory=dict)
    validation: Mapping[str, Column] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    sanity: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    material: Mapping[str, float] = field(default_factory=dict)
    confusion: Sequence[Sequence[float]] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)

    def knob(self, name: str, default: Any = None) -> Any:
        """The value of a knob such as "train.lr"; `default` where it is unknown."""
        section, _, knob = name.partition(".")
        return self.knobs.get(section, {}).get(knob, default)

    def curve(self, column: str) -> list[tuple[float, float]]:
        """(step, value) of the rows of the training curve in which both are numbers."""
        return _rows(self.train, column)

    @property
    def validation_losses(self) -> list[tuple[float, float]]:
        """(step, loss) of the measurements on the validation split."""
        return _rows(self.validation, "loss")

    @property
    def uniform_loss(self) -> float | None:
        """The loss of uniform guessing, nats per target: ln V, for classes ln K."""
        return self.levels.get("uniform", self.sanity.get("uniform"))

    @property
    def final_loss(self) -> float | None:
        """The loss at the end, nats per token: on the validation split where it was measured, else that of training."""
        if self.validation_losses:
            return self.validation_losses[-1][1]
        losses = [loss for _, loss in self.curve("loss")]
        return _mean(losses[-max(len(losses) // 20, 1) :]) if losses else None

    def snapshots(self, reading: str) -> list[float]:
        """The steps at which a reading was taken."""
        found = self.readings.get(reading)
        return [float(tick) for tick in found.axes[-1].ticks] if found and found.axes[-1].name == "step" else []

    def at(self, reading: str, snapshot: int) -> list[float]:
        """The numbers of a reading (of layers, or heads) at one of its snapshots, in order, without missing ones."""
        found = self.readings.get(reading)
        if found is None or not self.snapshots(reading) or not found.values:
            return []
        column = [row[snapshot] for row in found.values if -len(row) <= snapshot < len(row)]
        return [float(value) for value in column if value is not None]

    def checked(self, name: str) -> float | None:
        """The number of a check of the checked steps (pipeline/conformance); None where it was not made."""
        found = self.readings.get("checked_steps")
        numbers = dict(zip(found.axes[0].ticks, found.values, strict=True)) if found else {}
        return None if name not in numbers or numbers[name][0] is None else float(numbers[name][0])

    def at_each(self, reading: str) -> list[list[float]]:
        """The numbers of a reading at each snapshot that has any."""
        every = (self.at(reading, snapshot) for snapshot in range(len(self.snapshots(reading))))
        return [numbers for numbers in every if numbers]


BASELINES = ("majority", "logistic")
LEVELS = ("uniform", "unigram", "bigram", "entropy")


def levels(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The baselines of metrics/evaluate.json on the validation split: see Case.levels."""
    shared = {name: split[name] for split in _of_validation(evaluation, "splits") for name in ("overlap",) if name in split}
    scores = _of_validation(evaluation, "scores")
    if "classes" in evaluation:
        accuracies = {score["name"]: score["accuracy"] for score in scores if score["name"] in BASELINES}
        return accuracies | {"accuracy": evaluation["accuracy"]} | shared
    losses = {score["name"]: score["loss"] for score in scores if "loss" in score}
    return {name: losses[name] for name in LEVELS if name in losses} | shared


def material(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """What metrics/evaluate.json says of the data themselves: see Case.material."""
    return {row["name"]: row["value"] for row in evaluation.get("material", ())}


def confusion(evaluation: Mapping[str, Any]) -> Sequence[Sequence[float]]:
    """The confusion matrix on the validation split; empty for language models."""
    matrix: Sequence[Sequence[float]] = evaluation.get("confusion", {}).get("validation", ())
    return matrix


def _of_validation(evaluation: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [row for row in evaluation.get(key, ()) if row["split"] == "validation"]


def _rows(columns: Mapping[str, Column], column: str) -> list[tuple[float, float]]:
    rows = zip(columns.get("step", ()), columns.get(column, ()), strict=False)
    return [(step, value) for step, value in rows if step is not None and value is not None]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
