"""Claims about the size of a measure: within which bounds it lies, how far it is above that of another arm, what it follows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.figures.style import formatted
from pipeline.lab.studies.claims.base import Claim, Status, Verdict, status_of
from pipeline.lab.studies.claims.results import Interval, Label, Results


class Bounds(Claim):
    """At every place the measure lies between two numbers; decided by the 95 % interval of its mean over seeds.

    A training that diverged lies below nothing, and says nothing of what should be large.
    """

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        low, high = self.bounds()
        places = [(name, results.interval(values)) for name, values in results.places()]
        inside = all(low <= spread.low and spread.high <= high for _, spread in places)
        outside = any(spread.high < low or spread.low > high for _, spread in places)
        lost = any(spread.low == np.inf for _, spread in places)
        status = Status.UNDECIDED if lost and high == np.inf else status_of(inside, outside)
        return Verdict(
            status, f"{self.measure or next(iter(measures)) or 'the measure'} is {_ranged(places, results.values.shape[-1])}"
        )

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Between which numbers."""


def _ranged(places: list[tuple[str, Interval]], seeds: int) -> str:
    """The only value with its interval, or the least and the greatest of several, each with its place."""
    worded = [
        (spread.mean, f"{formatted(spread.mean)} ({formatted(spread.low)} … {formatted(spread.high)})", name)
        for name, spread in places
    ]
    low, high = min(worded), max(worded)
    if len(worded) == 1:
        return f"{low[1]}; {seeds} seeds"
    return f"{low[1]} at {low[2]} to {high[1]} at {high[2]}; {seeds} seeds"


class AtMost(Bounds):
    """The measure is at most `value`."""

    value: float

    def bounds(self) -> tuple[float, float]:
        return -np.inf, self.value


class AtLeast(Bounds):
    """The measure is at least `value`."""

    value: float

    def bounds(self) -> tuple[float, float]:
        return self.value, np.inf


class LiesBetween(Bounds):
    """The measure lies between two numbers."""

    low: float
    high: float

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high


class Exceeds(Claim):
    """At one label of an axis the measure is larger than at another by `by` at least, wherever else; in pairs over seeds.

    Where one of the two diverged there is no difference, and nothing is decided.
    """

    arm: str
    more: Label
    less: Label
    by: float

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        more, less = (results.at({self.arm: label}) for label in (self.more, self.less))
        with np.errstate(invalid="ignore"):
            apart = Results(more.axes, more.values - less.values)
        places = [(name, apart.interval(values)) for name, values in apart.places()]
        lost = not np.isfinite(apart.values).all()
        inside, outside = (
            all(spread.low >= self.by for _, spread in places),
            any(spread.high < self.by for _, spread in places),
        )
        return Verdict(
            Status.UNDECIDED if lost else status_of(inside, outside),
            f"{self.measure or next(iter(measures)) or 'the measure'} at {self.more} less that at {self.less} is"
            f" {_ranged(places, apart.values.shape[-1])}",
        )


class MatchesPrediction(Claim):
    """At every place the measure is what another one foretells, but for a share of it; by the interval of their quotient."""

    foretold: str
    within: Annotated[float, Field(gt=0, lt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        told = self.of(self.foretold, measures)
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = np.where(told.values == results.values, 1.0, results.values / told.values)
        quotients = Results(results.axes, quotient, logarithmic=results.logarithmic)
        places = [(name, quotients.interval(values)) for name, values in quotients.places()]
        low, high = 1 - self.within, 1 + self.within
        inside = all(low <= spread.low and spread.high <= high for _, spread in places)
        outside = any(spread.high < low or spread.low > high for _, spread in places)
        return Verdict(
            status_of(inside, outside),
            f"{self.measure} divided by {self.foretold} is {_ranged(places, results.values.shape[-1])}",
        )
