"""What is kept of a run, and what can be taken of it: losses, accuracies, when something was first learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Record:
    """What is kept of a run.

    Attributes:
        curve, validations: the rows of a training's curves.
        diverged: its loss stopped being a number.
        numbers: by name, what else it came to; what is not finite is left out.
        lines: by name, what was followed: {"over": "step", "x": [...], "y": [...]}.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    diverged: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)
    lines: Mapping[str, dict[str, Any]] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------------------- losses


def train_loss(record: Record) -> float:
    """The mean training loss, nats a target, of the last row of the curve: of the last steps / train.log_points steps."""
    return math.inf if record.diverged else record.curve[-1]["loss"]


def on_validation(column: str, which: Callable[[list[float]], float] = lambda found: found[-1]) -> Callable[[Record], float]:
    """A column of the validation curve, after the last step if nothing else is said; refused where it was not measured."""

    def of(record: Record) -> float:
        if record.diverged:
            return math.inf
        if not record.validations:
            raise UserError(f"measure: validation_{column} needs train.validation_points above 0")
        return which([row[column] for row in record.validations])

    return of


validation_loss = on_validation("loss")
validation_accuracy = on_validation("accuracy")


def minus_level(level: str, of_it: Callable[[Record], float] = validation_loss) -> Callable[[Record], float]:
    """What was measured on the validation split, less a level that is known of the data."""

    def of(record: Record) -> float:
        if level not in record.numbers:
            raise UserError(f"measure: of this data no {level} is known, above which anything could be")
        return of_it(record) - record.numbers[level]

    return of


def number(name: str) -> Callable[[Record], float]:
    """What was kept under a name; inf where it was no number."""
    return lambda record: record.numbers.get(name, math.inf)


def loss_above_uniform(record: Record) -> float:
    """The loss at the start less ln V."""
    return record.numbers.get("loss", math.inf) - record.numbers["uniform"] if "uniform" in record.numbers else math.inf


def error_rate(accuracy: Callable[[Record], float]) -> Callable[[Record], float]:
    """The share of targets that are told wrong; inf where the training diverged."""

    def of(record: Record) -> float:
        right = accuracy(record)
        return 1 - right if math.isfinite(right) else math.inf

    return of


# ------------------------------------------------------------------------------------------------------ known, understood

MEMORIZED = 0.999  # of the training examples, from where on they are known by heart
GENERALIZED = 0.99  # of the held-out ones, from where on the rule is


def memorized_at(record: Record) -> float:
    """The first step at which it was seen to know its training examples by heart; inf where it never did."""
    line = record.lines.get("training_accuracy", {"x": [], "y": []})
    return min((step for step, share in zip(line["x"], line["y"], strict=True) if share >= MEMORIZED), default=math.inf)


def generalized_at(record: Record) -> float:
    """The first step at which it told held-out examples as if it knew the rule; inf where it never did."""
    return min((row["step"] for row in record.validations if row["accuracy"] >= GENERALIZED), default=math.inf)


def delay(record: Record) -> float:
    """How many times as long it took to tell held-out examples as to know the training examples; inf where it never did."""
    return generalized_at(record) / memorized_at(record) if math.isfinite(memorized_at(record)) else math.inf


def accuracy_when_memorized(record: Record) -> float:
    """The accuracy on held-out examples when the training examples were first known by heart; inf where they never were."""
    known = memorized_at(record)
    return next((row["accuracy"] for row in record.validations if row["step"] >= known), math.inf)


# ------------------------------------------------------------------------------------------------------------- at the edge


def edge_of_stability(record: Record) -> float:
    """The median of sharpness x rate / 2 over the second half of the training; of gradient descent 1 at the edge of stability.

    Source: Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability", 2021.
    """
    line = record.lines.get("sharpness", {"x": [], "y": []})
    if record.diverged or not line["x"]:
        return math.inf
    half = line["x"][-1] / 2
    return median(found for step, found in zip(line["x"], line["y"], strict=True) if step >= half) * record.curve[-1]["lr"] / 2
