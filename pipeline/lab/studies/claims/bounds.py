"""Claims about the size of a measure: its bounds, its difference between two arms, its ratio to a prediction, its losses.

"Held" asks every cell, so its error does not grow with their number. "Refuted" needs only one, so each of k cells is judged by
an interval that misses k times less often (Bonferroni).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from pipeline.figures.words import formatted
from pipeline.lab.statistics.intervals import Interval, share_interval
from pipeline.lab.studies.claims.base import Claim, Status, Verdict, status_of
from pipeline.lab.studies.claims.implied import Alternatives, Inequality
from pipeline.lab.studies.claims.results import Label, Results

Cell = tuple[str, Interval, Interval]
"""The labels of a cell, its interval, and its interval as one of all the cells, any of which can refute."""


def status_over(cells: list[Cell], low: float, high: float) -> Status:
    """Held where every cell lies between two numbers, refuted where one of them lies outside."""
    inside = all(low <= spread.low and spread.high <= high for _, spread, _ in cells)
    return status_of(inside, any(wide.high < low or wide.low > high for _, _, wide in cells))


class Decisive(TypedDict):
    """Two fields of a verdict."""

    effect: Interval
    place: str


def nearest(cells: list[Cell], low: float, high: float) -> Decisive:
    """The cell whose interval lies least inside two numbers, or farthest outside: its interval, and where there are several its
    labels.
    """

    def inside(cell: Cell) -> float:
        below = cell[1].low - low if low > -np.inf else np.inf
        return min(below, high - cell[1].high if high < np.inf else np.inf)

    name, spread, _ = min(cells, key=inside)
    return {"effect": spread, "place": name if len(cells) > 1 else ""}


def found_text(cells: list[Cell], results: Results, how: str = "") -> str:
    """The value of the only cell, or the lowest and the highest one, with confidence intervals and the number of seeds."""
    low, high = min(cells, key=lambda cell: cell[1].mean), max(cells, key=lambda cell: cell[1].mean)
    about = f"{results.seeds_text}{how}"
    if np.isfinite(low[1].low) and low[1].low == high[1].high:  # every seed gives the same number everywhere
        where = "" if len(cells) == 1 else " at both places" if len(cells) == 2 else f" at all {len(cells)} places"
        return f"exactly {formatted(low[1].mean)}{where} ({about})"
    if len(cells) == 1:
        return f"{formatted(low[1].mean)} ({results.text(low[1])}, {about})"
    ends = [f"{formatted(cell[1].mean)} ({results.text(cell[1])}) at {cell[0]}" for cell in (low, high)]
    return f"lowest {ends[0]}, highest {ends[1]}; {about}"


class Bounds(Claim):
    """In every cell the measure lies between two numbers, by the 95 % confidence interval of its mean over seeds.

    A training that diverged is above every upper bound, and proves nothing about a lower one.
    """

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        low, high = self.bounds()
        places = list(results.places())
        cells = [(name, results.interval(values), results.interval(values, len(places))) for name, values in places]
        diverged = any(spread.low == np.inf for _, spread, _ in cells)
        found = found_text(cells, results)
        return Verdict(
            Status.UNDECIDED if diverged and high == np.inf else status_over(cells, low, high),
            f"{self.name(measures)} is {found}; claimed: {self.claim_text()}",
            f"{self.quantity(measures)} is {self.claim_text()}",
            found,
            **nearest(cells, low, high),
        )

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        low, high = self.bounds()
        ids = self.select(self.measure, cells).values[..., 0].ravel()
        above = [Inequality.of({int(cell): -1.0}, -low) for cell in ids if low > -np.inf]
        return [above + [Inequality.of({int(cell): 1.0}, high) for cell in ids if high < np.inf]]

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The lower and the upper bound."""

    @abstractmethod
    def claim_text(self) -> str:
        """The bounds in words."""


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


class Differs(Claim):
    """The difference of a measure between two labels of an axis, in every cell.

    Where one of the two diverged there is no difference, and nothing is decided.
    """

    arm: str
    more: Label
    less: Label
    by: float

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        more, less = (results.at({self.arm: label}) for label in (self.more, self.less))
        earned = self.pairing(measures)
        pairs = [(name, one, other) for (name, one), (_, other) in zip(more.places(), less.places(), strict=True)]
        cells = [
            (name, results.difference(one, other, earned), results.difference(one, other, earned, len(pairs)))
            for name, one, other in pairs
        ]
        diverged = not (np.isfinite(more.values).all() and np.isfinite(less.values).all())
        found = found_text(cells, results, f", {earned.text()}")
        low, high, said, claimed = self.limits(self.quantity(measures))
        return Verdict(
            Status.UNDECIDED if diverged else status_over(cells, low, high),
            f"{self.name(measures)} at {self.more} minus that at {self.less} is {found}; claimed: {said}",
            claimed,
            found,
            **nearest(cells, low, high),
        )

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        selected = self.select(self.measure, cells)
        more, less = (selected.at({self.arm: label}).values[..., 0].ravel() for label in (self.more, self.less))
        low, high, *_ = self.limits("")
        found = [Inequality.of({int(one): -1.0, int(other): 1.0}, -low) for one, other in zip(more, less, strict=True)]
        if high < np.inf:
            found += [Inequality.of({int(one): 1.0, int(other): -1.0}, high) for one, other in zip(more, less, strict=True)]
        return [found]

    @abstractmethod
    def limits(self, quantity: str) -> tuple[float, float, str, str]:
        """(the least difference, the largest one, both in words, the whole claim in words)."""


class Exceeds(Differs):
    """At one label of an axis the measure is larger than at another by at least `by`, in every cell."""

    def limits(self, quantity: str) -> tuple[float, float, str, str]:
        said = f"at least {formatted(self.by)}"
        return self.by, np.inf, said, f"{quantity} at {self.more} exceeds that at {self.less} by {said}"


class DiffersAtMost(Differs):
    """Between two labels of an axis the measure differs by at most `by`, in either direction, in every cell.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence
    of average bioavailability", 1987.
    """

    by: Annotated[float, Field(gt=0)]

    def limits(self, quantity: str) -> tuple[float, float, str, str]:
        said = f"between {formatted(-self.by)} and {formatted(self.by)}"
        claimed = f"{quantity} differs between {self.more} and {self.less} by at most {formatted(self.by)}"
        return -self.by, self.by, said, claimed


class MatchesPrediction(Claim):
    """In every cell the measure equals another one that predicts it, up to a share of it; by the interval of their ratio."""

    predicted: str
    within: Annotated[float, Field(gt=0, lt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        predicted = self.select(self.predicted, measures)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(predicted.values == results.values, 1.0, results.values / predicted.values)
        ratios = Results(results.axes, ratio, logarithmic=results.logarithmic, basis=results.basis)
        places = list(ratios.places())
        cells = [(name, ratios.interval(values), ratios.interval(values, len(places))) for name, values in places]
        low, high = 1 - self.within, 1 + self.within
        said, found = f"{formatted(low)} to {formatted(high)}", found_text(cells, results)
        foretold = measures.get(self.predicted, results).quantity or self.predicted
        return Verdict(
            status_over(cells, low, high),
            f"{self.measure} divided by {self.predicted} is {found}; claimed: {said}",
            f"{self.quantity(measures)} divided by its prediction, {foretold}, is {said}",
            found,
            **nearest(cells, low, high),
        )

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        found = []
        both = (self.select(name, cells).values[..., 0].ravel() for name in (self.measure, self.predicted))
        for one, other in zip(*both, strict=True):
            found.append(Inequality.of({int(one): 1.0, int(other): -1 - self.within}, 0.0))
            found.append(Inequality.of({int(one): -1.0, int(other): 1 - self.within}, 0.0))
        return [found]


class FellOff(Claim):
    """The share of seeds whose measure lies above a number, or that diverged, is at most or at least so large, in every cell.

    Where some seeds are lost and others are not, the mean over seeds describes neither.
    """

    above: float
    at_most: Annotated[float | None, Field(ge=0, lt=1)] = None
    at_least: Annotated[float | None, Field(gt=0, le=1)] = None

    @model_validator(mode="before")
    @classmethod
    def _has_one_bound(cls, given: Any) -> Any:
        if isinstance(given, dict) and ("at_most" in given) == ("at_least" in given):
            raise ValueError("needs one of at_most and at_least: a share of the seeds")
        return given

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        alpha, counts = results.basis.alpha, [(name, self._lost(values)) for name, values in results.places()]
        cells = [
            (
                name,
                share_interval(count, results.seeds, alpha),
                share_interval(count, results.seeds, alpha / len(counts)),
            )
            for name, count in counts
        ]
        low, high = (self.at_least, 1.0) if self.at_least is not None else (0.0, self.at_most or 0.0)
        said = f"at least {formatted(low)}" if self.at_least is not None else f"at most {formatted(high)}"
        what, found = f"above {formatted(self.above)}", found_text(cells, results)
        return Verdict(
            status_over(cells, low, high),
            f"the share of seeds with {self.name(measures)} {what} is {found}; claimed: {said}",
            f"the share of seeds with {self.quantity(measures)} {what} is {said}",
            found,
            **nearest(cells, low, high),
        )

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        ids = self.select(self.measure, cells).values[..., 0].ravel()
        if self.at_least is not None:
            return [[Inequality.of({("share", int(cell), self.above): -1.0}, -self.at_least) for cell in ids]]
        return [[Inequality.of({("share", int(cell), self.above): 1.0}, self.at_most or 0.0) for cell in ids]]

    def _lost(self, values: Float[np.ndarray, " seeds"]) -> int:
        return int((values > self.above).sum())
