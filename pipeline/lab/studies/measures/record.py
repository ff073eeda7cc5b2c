"""The record of a run, and what is computed from it: losses, accuracies, when something was first learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Record:
    """The record of a run.

    Attributes:
        curve, validations: the rows of a training's curves.
        diverged: its loss became NaN or infinite.
        numbers: other results, by name; those that are not finite are left out.
        lines: other curves, by name: {"over": "step", "x": [...], "y": [...]}.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    diverged: bool = False
    numbers: Mapping[str, float] = field(default_factory=dict)
    lines: Mapping[str, dict[str, Any]] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------------------- losses


def train_loss(record: Record) -> float:
    """The mean training loss in nats per target, over the last row of the curve: the last steps / train.log_points steps."""
    return math.inf if record.diverged else record.curve[-1]["loss"]


def on_validation(column: str, reduce: Callable[[list[float]], float] = lambda values: values[-1]) -> Callable[[Record], float]:
    """A column of the validation curve, by default its last value; a UserError where it was not measured."""

    def compute(record: Record) -> float:
        if record.diverged:
            return math.inf
        if not record.validations:
            raise UserError(f"measure: validation_{column} needs train.validation_points above 0")
        return reduce([row[column] for row in record.validations])

    return compute


validation_loss = on_validation("loss")
validation_accuracy = on_validation("accuracy")


def minus_level(level: str, measure: Callable[[Record], float] = validation_loss) -> Callable[[Record], float]:
    """A measure on the validation split minus a level of the data; a UserError where the level is not known."""

    def compute(record: Record) -> float:
        if level not in record.numbers:
            raise UserError(f"measure: the {level} of this data set is not known; use validation_loss or another data set")
        return measure(record) - record.numbers[level]

    return compute


def number(name: str) -> Callable[[Record], float]:
    """A number of the record; inf where it was not finite."""
    return lambda record: record.numbers.get(name, math.inf)


def loss_above_uniform(record: Record) -> float:
    """The loss at initialization minus ln V."""
    return record.numbers.get("loss", math.inf) - record.numbers["uniform"] if "uniform" in record.numbers else math.inf


def error_rate(accuracy: Callable[[Record], float]) -> Callable[[Record], float]:
    """1 - accuracy; inf where the training diverged."""

    def compute(record: Record) -> float:
        share = accuracy(record)
        return 1 - share if math.isfinite(share) else math.inf

    return compute


# ------------------------------------------------------------------------------------------- memorizing and generalizing

MEMORIZED = 0.999  # the training accuracy from which on the training examples count as memorized
CHANGING = 0.5  # the validation accuracy from which on the rule is being found
GENERALIZED = 0.99  # the validation accuracy from which on the rule counts as learned
FREQUENCIES = 5  # of an embedding, the strongest ones, that fourier_share counts


def memorized_at(record: Record) -> float:
    """The first measured step with a training accuracy of MEMORIZED; inf where there is none."""
    line = record.lines.get("training_accuracy", {"x": [], "y": []})
    return min((step for step, share in zip(line["x"], line["y"], strict=True) if share >= MEMORIZED), default=math.inf)


def generalized_at(record: Record) -> float:
    """The first measured step with a validation accuracy of GENERALIZED; inf where there is none."""
    return min((row["step"] for row in record.validations if row["accuracy"] >= GENERALIZED), default=math.inf)


def delay(record: Record) -> float:
    """The steps until it generalized, divided by those until it memorized; inf where it did not do both."""
    return generalized_at(record) / memorized_at(record) if math.isfinite(memorized_at(record)) else math.inf


def accuracy_when_memorized(record: Record) -> float:
    """The validation accuracy when the training examples were first memorized; inf where they never were."""
    step = memorized_at(record)
    return next((row["accuracy"] for row in record.validations if row["step"] >= step), math.inf)


def when_memorized(name: str) -> Callable[[Record], float]:
    """A metric of the network at the first measured step at which the training examples are memorized; inf if never."""

    def compute(record: Record) -> float:
        step, line = memorized_at(record), record.lines.get(name, {"x": [], "y": []})
        return next((value for at, value in zip(line["x"], line["y"], strict=True) if at >= step), math.inf)

    return compute


def before_generalizing(name: str) -> Callable[[Record], float]:
    """A metric of the network at the last measured step before validation accuracy reaches CHANGING; inf if it never does."""

    def compute(record: Record) -> float:
        step = min((row["step"] for row in record.validations if row["accuracy"] >= CHANGING), default=-math.inf)
        line = record.lines.get(name, {"x": [], "y": []})
        before = [value for at, value in zip(line["x"], line["y"], strict=True) if at < step]
        return before[-1] if before else math.inf

    return compute


# ------------------------------------------------------------------------------------------------ rises and falls, again


def rise(record: Record) -> float:
    """How far the validation error climbs above its lowest value so far, at most; 0 where it never does."""
    errors = _errors(record)
    return max((error - min(errors[: at + 1]) for at, error in enumerate(errors)), default=math.inf)


def second_fall(record: Record) -> float:
    """The height of the highest hump of the validation error: it climbs by this much, and later falls by at least as much.

    0 where it never climbs, or climbs and stays. The noise of the curve alone makes small humps.

    Source: Nakkiran et al., "Deep Double Descent: Where Bigger Models and More Data Hurt", 2020 (double descent over epochs);
    the formula is Rally's.
    """
    errors = _errors(record)
    humps = (error - max(min(errors[: at + 1]), min(errors[at:])) for at, error in enumerate(errors))
    return max(humps, default=math.inf)


def _errors(record: Record) -> list[float]:
    return [] if record.diverged else [1 - row["accuracy"] for row in record.validations]


def peak(record: Record) -> float:
    """The highest mean squared error of the training, divided by the first: 1 where it never climbs above the start; inf where
    it diverged.
    """
    errors = record.lines.get("squared_error", {"y": []})["y"]
    return math.inf if record.diverged or not errors else max(errors) / errors[0]


def reached_at(share: float) -> Callable[[Record], float]:
    """The step at which this share of the way from the unigram loss to the entropy is done, between measurements linearly.

    It takes the validation loss, and is inf where the loss never came so low. Both ends of the way are known to the source of
    the text, so that texts of different entropy can be compared. A UserError where they are not known.
    """

    def compute(record: Record) -> float:
        if "entropy" not in record.numbers:
            raise UserError("measure: the entropy of this data set is not known; use a generated one")
        unigram, entropy = record.numbers["unigram"], record.numbers["entropy"]
        level, before = unigram - share * (unigram - entropy), (0.0, unigram)
        for row in record.validations:
            if row["loss"] <= level:
                step, loss = before
                done = (loss - level) / (loss - row["loss"]) if loss > level else 1.0
                return float(step + done * (row["step"] - step))
            before = row["step"], row["loss"]
        return math.inf

    return compute


# ------------------------------------------------------------------------------------------------------ edge of stability


def edge_at_start(record: Record) -> float:
    """The sharpness before the first step x highest learning rate / 2: above 1 gradient descent cannot stay where it starts."""
    line = record.lines.get("sharpness", {"x": [], "y": []})
    if record.diverged or not line["x"]:
        return math.inf
    return line["y"][0] * max(row["lr"] for row in record.curve) / 2


def edge_of_stability(record: Record) -> float:
    """The median of sharpness x learning rate / 2 over the second half of training: 1 at gradient descent's edge of stability.

    Source: Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability", 2021.
    """
    line = record.lines.get("sharpness", {"x": [], "y": []})
    if record.diverged or not line["x"]:
        return math.inf
    half = line["x"][-1] / 2
    return median(found for step, found in zip(line["x"], line["y"], strict=True) if step >= half) * record.curve[-1]["lr"] / 2
