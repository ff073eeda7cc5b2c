"""What is measured of a run: its losses, what it was at the start, what its network was seen to do at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.params import Refusal


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


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes:
        quantity: what it is, with its unit.
        of: takes it of what is kept; inf where the training diverged.
        reads: the network has to be looked at for it.
        logarithmic: it spans decades.
    """

    quantity: str
    of: Callable[[Record], float]
    reads: bool = False
    logarithmic: bool = False


# ---------------------------------------------------------------------------------------------------------------- losses


def train_loss(record: Record) -> float:
    """The mean training loss, nats a token, of the last row of the curve: of the last steps / train.curve_points steps."""
    return math.inf if record.diverged else record.curve[-1]["loss"]


def validation_loss(record: Record) -> float:
    """The loss, nats a token, on held-out text after the last step.

    Raises:
        Refusal: it was not measured.
    """
    if record.diverged:
        return math.inf
    if not record.validations:
        raise Refusal("measure: validation_loss needs train.validations above 0")
    return record.validations[-1]["loss"]


def above(level: str) -> Callable[[Record], float]:
    """The validation loss less a level that is known of the text."""

    def of(record: Record) -> float:
        if level not in record.numbers:
            raise Refusal(f"measure: of this text no {level} is known, above which a loss could be")
        return validation_loss(record) - record.numbers[level]

    return of


def number(name: str) -> Callable[[Record], float]:
    """What was kept under a name; inf where it was no number."""
    return lambda record: record.numbers.get(name, math.inf)


def above_uniform(record: Record) -> float:
    """The loss at the start less ln V."""
    return record.numbers.get("loss", math.inf) - record.numbers["uniform"] if "uniform" in record.numbers else math.inf


# ----------------------------------------------------------------------------------------------------------------- table

NATS = "nats a token"

MEASURES: dict[str, Measure] = {
    "train_loss": Measure(f"training loss ({NATS})", train_loss),
    "validation_loss": Measure(f"validation loss ({NATS})", validation_loss),
    "excess_loss": Measure(f"validation loss above the source's entropy ({NATS})", above("entropy")),
    "above_unigram": Measure(f"validation loss above the unigram's ({NATS})", above("unigram")),
    # of the start (engine/sanity.py)
    "start_above_uniform": Measure(f"loss at the start above ln V ({NATS})", above_uniform),
    "start_foretold": Measure(f"half the logits' variance ({NATS})", lambda record: number("logit_variance")(record) / 2),
    "start_excess": Measure(f"loss at the start - ln V - variance / 2 ({NATS})", number("start_excess")),
    "future": Measure("|gradient| of a prediction to later inputs", number("future")),
    "across_batch": Measure("|gradient| of a prediction to other examples", number("across_batch")),
    # of the network at the end (probes/numbers.py, lab/reading.py)
    "effective_rank": Measure("effective rank after the last block (directions)", number("effective_rank"), reads=True),
    "token_spread": Measure(
        "distance of tokens from their mean / size, after the last block", number("token_spread"), reads=True, logarithmic=True
    ),
    "attention_logit": Measure("largest attention logit", number("attention_logit"), reads=True, logarithmic=True),
    "induction": Measure("induction score of the best head", number("induction"), reads=True),
    "gradient_ratio": Measure("gradient norm, first block / last", number("gradient_ratio"), reads=True, logarithmic=True),
    "repeat_loss": Measure(f"loss on what is repeated ({NATS})", number("repeat_loss"), reads=True),
    # of an experiment without a training (lab/benches.py)
    "signal": Measure("RMS after the last layer / after the first", number("signal"), logarithmic=True),
    "signal_foretold": Measure("(gain / 2)^((layers - 1) / 2)", number("signal_foretold"), logarithmic=True),
    "first_gradient": Measure("gradient norm, first layer / last", number("first_gradient"), logarithmic=True),
    "overfit_loss": Measure("loss on the one batch (nats a label)", number("overfit_loss")),
}
