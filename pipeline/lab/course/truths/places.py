"""Truths about places of a grid: a mean, a difference, a ratio, a verdict, or what a computation found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.lab.course.truths.base import Found, Outcome, Truth, mean_of, measure_of, number, single
from pipeline.lab.studies.claims.results import Label, Results
from pipeline.lab.studies.grid import Sweep
from pipeline.params.errors import UserError
from pipeline.params.names import suggest


@dataclass(frozen=True)
class Value(Truth):
    """The mean of a measure at one place; plus the logarithm of a whole number, if one is given."""

    of: str = ""
    plus_ln: int = 1

    def outcome(self, found: Found) -> Outcome:
        results = measure_of(found, self.of, self.at)
        return number(results, single(results), math.log(self.plus_ln))


@dataclass(frozen=True)
class Compared(Truth):
    """A measure at one label of an axis against that at another."""

    of: str = ""
    along: str = ""
    first: Label = ""
    second: Label = ""

    def pair(self, found: Found) -> tuple[Results, Results]:
        return tuple(measure_of(found, self.of, {**self.at, self.along: label}) for label in (self.first, self.second))  # type: ignore[return-value]


@dataclass(frozen=True)
class Difference(Compared):
    """That at the first label minus that at the second."""

    def outcome(self, found: Found) -> Outcome:
        first, second = self.pair(found)
        with np.errstate(invalid="ignore"):
            whole = Results(first.axes, first.values - second.values)
        return number(whole, single(whole))


@dataclass(frozen=True)
class Ratio(Compared):
    """That at the first label divided by that at the second."""

    def outcome(self, found: Found) -> Outcome:
        first, second = self.pair(found)
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = Results(first.axes, first.values / second.values, logarithmic=True)
        return number(whole, single(whole))


@dataclass(frozen=True)
class Larger(Compared):
    """Whether that at the first label is larger than that at the second, by the means over seeds."""

    kinds: ClassVar[tuple[str, ...]] = ("yesno",)

    def outcome(self, found: Found) -> Outcome:
        first, second = (mean_of(results, single(results)) for results in self.pair(found))
        return Outcome(bool(first > second))


@dataclass(frozen=True)
class Verdict(Truth):
    """Whether the program says "held" of a claim of the study, the first being 1."""

    kinds: ClassVar[tuple[str, ...]] = ("yesno",)

    number: int = 1

    def outcome(self, found: Found) -> Outcome:
        if not 1 <= self.number <= len(found.statuses):
            raise UserError(f"truth: there is no claim {self.number}; the study has {len(found.statuses)}")
        return Outcome(found.statuses[self.number - 1] == "held")

    def measure(self, sweep: Sweep) -> str:
        return sweep.claims[self.number - 1][1].measure or super().measure(sweep)


@dataclass(frozen=True)
class Computed(Truth):
    """A value that a computation found."""

    kinds: ClassVar[tuple[str, ...]] = ("number", "choice", "order", "yesno")

    of: str = ""

    def outcome(self, found: Found) -> Outcome:
        if self.of not in found.values:
            raise UserError(f"truth: nothing computes '{self.of}'. {suggest(self.of, tuple(found.values))}")
        value = found.values[self.of]
        value = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(value, float) and not math.isfinite(value):
            return Outcome(None, why="there is nothing to count yet")
        return Outcome(tuple(value) if isinstance(value, list) else value)
