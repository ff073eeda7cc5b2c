"""A comparison of variants as data: what `rally compare` prints, its page draws and `rally compile` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipeline.lab.experiments.records import Group, Knob
from pipeline.lab.statistics.intervals import Interval, Pairing


class Ruling(StrEnum):
    """What a comparison says of one variant against another."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Difference:
    """One variant against another in one metric.

    Attributes:
        knobs: those that differ -> (value of `first`, value of `second`).
        gap: mean of `second` minus mean of `first`, with its interval (after Holm's correction where there are several).
        pairing: whether seeds were compared in pairs.
        p: two-sided; `adjusted`: after Holm's correction over all differences of the comparison.
        better: the probability that `second` is the better one.
        needed: how many seeds each would need in all until the difference, if it is as large as it looks, is decided; None
            where it is decided, or where no number helps.
        command: what queues the seeds that are missing; "" where none are.
        reason: why the ruling is what it is, in words; of what is not comparable, why not.
        visible: the true difference that these seeds would find in four of five comparisons.
    """

    first: Group
    second: Group
    metric: str
    knobs: Mapping[str, tuple[Knob, Knob]]
    ruling: Ruling
    gap: Interval | None = None
    pairing: Pairing | None = None
    p: float | None = None
    adjusted: float | None = None
    better: float | None = None
    needed: int | None = None
    command: str = ""
    reason: str = ""
    visible: float | None = None


@dataclass(frozen=True)
class Importance:
    """Which knobs explain a metric over many variants, by permutation on a forest; or the reason why that cannot be known.

    Attributes:
        rows: variants, each the mean over its seeds.
        shares: knob -> (low, mean, high) of its share of the explained variance, largest first; their means sum to 1. Half of
            what two knobs have only together is in the share of each.
        pairs: two knobs -> the share that they have only together.
        r2: the forest's out-of-bag R².
        refused: why there are no shares; "" where there are.
    """

    metric: str
    rows: int
    shares: Mapping[str, Interval]
    pairs: Mapping[tuple[str, str], float]
    r2: float | None
    refused: str = ""


@dataclass(frozen=True)
class Interaction:
    """The best value of one knob moves with the value of another, so tune it again when the other changes.

    Attributes:
        best: value of `changed` -> best value of `tuned` there.
    """

    tuned: str
    changed: str
    best: Mapping[Knob, Knob]


@dataclass(frozen=True)
class Comparison:
    """Variants side by side.

    Attributes:
        metric: the one that decides.
        minimizes: whether less of it is better.
        differences: of each pair that was asked for, or of all that differ in one knob.
        notes: lines about what was left out, and why.
    """

    groups: tuple[Group, ...]
    metric: str
    minimizes: bool
    differences: tuple[Difference, ...]
    importance: Importance | None
    interactions: tuple[Interaction, ...]
    notes: tuple[str, ...] = ()
