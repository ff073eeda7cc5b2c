"""Signs, their ranges, and helpers of the functions that compute them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.doctor.case import Case

Status = Literal["healthy", "odd", "sick"]
Side = Literal["low", "healthy", "high"]

LANGUAGE = ("language",)
CLASSES = ("classify", "vision")
ALL = (*LANGUAGE, *CLASSES)

# Where a range comes from, unless it says so itself.
RULE = "a rule: "
THUMB = "a rule of thumb, wider than the fitted runs require: other batch sizes, lengths and texts change the number"
FITTED = "fitted: `rally doctor benchmark --fit` on markov, addition and sums (30 healthy runs, 180 with a fault)"

FEW = 8  # rows of a curve below which its shape says nothing
SMALLEST_LOSS = 0.01  # of ln V: what a smaller loss counts as where others are divided by it


@dataclass(frozen=True)
class Range:
    """Where a sign is healthy and where it is sick; in between it is odd, which alone is not a finding.

    Attributes:
        origin: where the bounds come from: a rule without exception, a publication, or the runs they were fitted on.
        low, high: healthy from .. to.
        sick_low, sick_high: sick below, sick above.
    """

    origin: str
    low: float = -math.inf
    high: float = math.inf
    sick_low: float = -math.inf
    sick_high: float = math.inf

    def side(self, value: float) -> Side:
        """On which side of the healthy range a value is."""
        return "low" if value < self.low else "high" if value > self.high else "healthy"

    def status(self, value: float) -> Status:
        if self.low <= value <= self.high:
            return "healthy"
        return "sick" if value < self.sick_low or value > self.sick_high else "odd"


@dataclass(frozen=True)
class Sign:
    """A number of a run that separates healthy runs from sick ones.

    Attributes:
        read: computes it from a case; None where the case lacks what it depends on.
        description: a sentence for a learner, with {value} in it.
        range: where it is healthy, odd and sick.
        picture: the picture of the report that shows it.
        kinds: of task for which it is computed.
    """

    read: Callable[[Case], float | None]
    description: str
    range: Range
    picture: str
    kinds: tuple[str, ...] = ALL


def relative(case: Case, difference: float, loss: float) -> float | None:
    """A difference as a share of a loss, which counts as SMALLEST_LOSS · ln V at least; None where neither is above 0."""
    denominator = max(loss, SMALLEST_LOSS * (case.uniform_loss or 0.0))
    return difference / denominator if denominator > 0 else None
