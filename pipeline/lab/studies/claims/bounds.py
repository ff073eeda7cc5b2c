"""Claims about the size of a measure: its bounds, its difference between two arms, its ratio to a prediction."""

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
    """In every cell the measure lies between two numbers, by the 95 % confidence interval of its mean over seeds.

    A training that diverged is above every upper bound, and proves nothing about a lower one.
    """

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        low, high = self.bounds()
        cells = [(name, results.interval(values)) for name, values in results.places()]
        inside = all(low <= spread.low and spread.high <= high for _, spread in cells)
        outside = any(spread.high < low or spread.low > high for _, spread in cells)
        diverged = any(spread.low == np.inf for _, spread in cells)
        status = Status.UNDECIDED if diverged and high == np.inf else status_of(inside, outside)
        return Verdict(
            status,
            f"{self.name(measures)} is {_range_text(cells, self.claim_text(), results)}",
            f"{self.quantity(measures)} is {self.claim_text()}",
            _found_text(cells, results),
        )

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The lower and the upper bound."""

    @abstractmethod
    def claim_text(self) -> str:
        """The bounds in words."""


def _range_text(cells: list[tuple[str, Interval]], claim_text: str, results: Results) -> str:
    """The value of the only cell, or the lowest and the highest one, with confidence intervals and what was claimed."""
    low, high = min(cells, key=lambda cell: cell[1].mean), max(cells, key=lambda cell: cell[1].mean)
    if len(cells) == 1:
        return f"{formatted(low[1].mean)} ({low[1].text()}; claim: {claim_text}; {results.seeds_text})"
    ends = " to ".join(f"{formatted(spread.mean)} ({spread.text()}) at {name}" for name, spread in (low, high))
    return f"{ends}; claim: {claim_text}; {results.seeds_text}"


def _found_text(cells: list[tuple[str, Interval]], results: Results) -> str:
    """The value of the only cell, or the lowest and the highest one, with confidence intervals and the number of seeds."""
    low, high = min(cells, key=lambda cell: cell[1].mean), max(cells, key=lambda cell: cell[1].mean)
    if len(cells) == 1:
        return f"{formatted(low[1].mean)} ({low[1].text()}, {results.seeds_text})"
    ends = " to ".join(f"{formatted(spread.mean)} ({spread.text()}) at {name}" for name, spread in (low, high))
    return f"{ends}, {results.seeds_text}"


class AtMost(Bounds):
    """The measure is at most `value`."""

    value: float

    def bounds(self) -> tuple[float, float]:
        return -np.inf, self.value

    def claim_text(self) -> str:
        return f"at most {formatted(self.value)}"


class AtLeast(Bounds):
    """The measure is at least `value`."""

    value: float

    def bounds(self) -> tuple[float, float]:
        return self.value, np.inf

    def claim_text(self) -> str:
        return f"at least {formatted(self.value)}"


class LiesBetween(Bounds):
    """The measure lies between two numbers."""

    low: float
    high: float

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def claim_text(self) -> str:
        return f"{formatted(self.low)} to {formatted(self.high)}"


class Exceeds(Claim):
    """At one label of an axis the measure is larger than at another by at least `by`, in every cell; in pairs over seeds.

    Where one of the two diverged there is no difference, and nothing is decided.
    """

    arm: str
    more: Label
    less: Label
    by: float

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        more, less = (results.at({self.arm: label}) for label in (self.more, self.less))
        with np.errstate(invalid="ignore"):
            difference = Results(more.axes, more.values - less.values)
        cells = [(name, difference.interval(values)) for name, values in difference.places()]
        inside = all(spread.low >= self.by for _, spread in cells)
        outside = any(spread.high < self.by for _, spread in cells)
        diverged = not np.isfinite(difference.values).all()
        text = _range_text(cells, f"at least {formatted(self.by)}", difference)
        return Verdict(
            Status.UNDECIDED if diverged else status_of(inside, outside),
            f"{self.name(measures)} at {self.more} minus that at {self.less} is {text}",
            f"{self.quantity(measures)} at {self.more} exceeds that at {self.less} by at least {formatted(self.by)}",
            _found_text(cells, difference),
        )


class MatchesPrediction(Claim):
    """In every cell the measure equals another one that predicts it, up to a share of it; by the interval of their ratio."""

    predicted: str
    within: Annotated[float, Field(gt=0, lt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        predicted = self.select(self.predicted, measures)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(predicted.values == results.values, 1.0, results.values / predicted.values)
        ratios = Results(results.axes, ratio, logarithmic=results.logarithmic)
        cells = [(name, ratios.interval(values)) for name, values in ratios.places()]
        low, high = 1 - self.within, 1 + self.within
        inside = all(low <= spread.low and spread.high <= high for _, spread in cells)
        outside = any(spread.high < low or spread.low > high for _, spread in cells)
        claim_text = f"{formatted(low)} to {formatted(high)}"
        return Verdict(
            status_of(inside, outside),
            f"{self.measure} divided by {self.predicted} is {_range_text(cells, claim_text, results)}",
            f"{self.quantity(measures)} divided by its prediction, {measures[self.predicted].quantity or self.predicted}, "
            f"is {claim_text}",
            _found_text(cells, results),
        )
