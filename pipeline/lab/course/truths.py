"""Where the truth of a bet is read: in the results of a study, or in what a computation found. No author writes it down."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pipeline.figures.style import formatted
from pipeline.lab.studies.claims.results import Axis, Label, Results
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

Answered = float | str | bool | tuple[str, ...]


class Outcome(NamedTuple):
    """What came out: a number with its interval over seeds, a label, yes or no, or labels in order; None = nothing to score."""

    truth: Answered | None
    interval: tuple[float, float] | None = None
    why: str = ""

    def text(self, unit: str = "") -> str:
        """As people say it: 4.264 nats, relu, yes, a > b."""
        if isinstance(self.truth, bool):
            return "yes" if self.truth else "no"
        if isinstance(self.truth, tuple):
            return " > ".join(self.truth)
        if isinstance(self.truth, float):
            written = f"{self.truth:,.0f}" if 1e3 <= abs(self.truth) < 1e15 else formatted(self.truth, 4)
            return f"{written} {unit}".strip()
        return self.truth or f"nothing to score ({self.why})"


class Found(NamedTuple):
    """What a run left: every measure of a study and its verdicts (status by claim), and numbers or words of a computation."""

    measures: Mapping[str, Results]
    statuses: Sequence[str] = ()
    values: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Truth(ABC):
    """Where the truth of a bet is read.

    Attributes:
        at: the part of the grid.
        kinds: of question that it answers.
    """

    kinds: ClassVar[tuple[str, ...]] = ("number",)

    at: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def outcome(self, found: Found) -> Outcome:
        """Read it.

        Raises:
            UserError: the study has no such measure, axis, label or claim.
        """

    def choices(self, found: Found) -> tuple[str, ...]:
        """The labels that the study itself offers; () where the drill must name them."""
        return ()


def measure_of(found: Found, name: str, at: Mapping[str, Any]) -> Results:
    """A measure in a part of the grid.

    Raises:
        UserError: there is no such measure, or no such place.
    """
    if name not in found.measures:
        raise UserError(f"truth: the study does not take '{name}'. {suggest(name, tuple(found.measures))}")
    try:
        return found.measures[name].at(at)
    except UserError as error:
        raise UserError(*(problem.replace("where:", "at:", 1) for problem in error.problems)) from None


def single(results: Results) -> np.ndarray:
    """The values over seeds of the only cell.

    Raises:
        UserError: several are left.
    """
    if results.axes:
        names = ", ".join(axis.name for axis in results.axes)
        raise UserError(f"at: leaves several places; give a label of {names}")
    return results.values


def number(results: Results, values: np.ndarray, plus: float = 0.0) -> Outcome:
    """The mean over seeds; there is nothing to score where a run diverged or never got there."""
    low, mean, high = results.interval(values)
    if not math.isfinite(mean):
        return Outcome(None, why="a run has no such number")
    interval = (low + plus, high + plus) if math.isfinite(low) and math.isfinite(high) else None
    return Outcome(float(mean) + plus, interval)


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
        first, second = (_mean(results, single(results)) for results in self.pair(found))
        return Outcome(bool(first > second))


@dataclass(frozen=True)
class Best(Truth):
    """The label of an axis at which a measure is best, lowest unless `highest`: a number, or a label to choose."""

    kinds: ClassVar[tuple[str, ...]] = ("number", "choice")

    of: str = ""
    along: str = ""
    highest: bool = False
    as_label: bool = False

    def outcome(self, found: Found) -> Outcome:
        axis, means = _along(found, self.of, self.along, self.at)
        if not np.isfinite(means).any():
            return Outcome(None, why="no run has such a number")
        label = axis.labels[int(np.nanargmax(means) if self.highest else np.nanargmin(means))]
        return Outcome(str(label) if self.as_label else float(label))

    def choices(self, found: Found) -> tuple[str, ...]:
        return tuple(map(str, _along(found, self.of, self.along, self.at)[0].labels)) if self.as_label else ()


@dataclass(frozen=True)
class Moved(Truth):
    """The label of an axis at which a measure is lowest in one part of the grid, divided by that in another."""

    of: str = ""
    along: str = ""
    start: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)

    def outcome(self, found: Found) -> Outcome:
        places = []
        for part in (self.start, self.end):
            axis, means = _along(found, self.of, self.along, {**self.at, **part})
            if not np.isfinite(means).any():
                return Outcome(None, why="no run has such a number")
            places.append(float(axis.labels[int(np.argmin(means))]))
        return Outcome(places[1] / places[0])


@dataclass(frozen=True)
class Bests(Truth):
    """The lowest mean of a measure along an axis, for each label of another: each arm at its own best place."""

    of: str = ""
    along: str = ""
    across: str = ""

    def lowest(self, found: Found) -> dict[Label, float]:
        arms = next((axis for axis in measure_of(found, self.of, {}).axes if axis.name == self.across), None)
        if arms is None:
            raise UserError(f"truth: the study does not vary '{self.across}'")
        means = {label: _along(found, self.of, self.along, {**self.at, self.across: label})[1] for label in arms.labels}
        return {label: float(np.min(row)) for label, row in means.items()}


@dataclass(frozen=True)
class BestRatio(Bests):
    """The lowest mean of the first arm divided by that of the second, each at its own best place."""

    first: Label = ""
    second: Label = ""

    def outcome(self, found: Found) -> Outcome:
        lowest = self.lowest(found)
        if unknown := [label for label in (self.first, self.second) if label not in lowest]:
            raise UserError(f"truth: {self.across} is never {unknown[0]!r}. Known: {', '.join(map(str, lowest))}")
        ratio = lowest[self.first] / lowest[self.second]
        return Outcome(ratio) if math.isfinite(ratio) else Outcome(None, why="an arm has no such number")


@dataclass(frozen=True)
class Winner(Bests):
    """The arm whose lowest mean is lowest."""

    kinds: ClassVar[tuple[str, ...]] = ("choice",)

    def outcome(self, found: Found) -> Outcome:
        lowest = self.lowest(found)
        return Outcome(str(min(lowest, key=lowest.__getitem__)))

    def choices(self, found: Found) -> tuple[str, ...]:
        return tuple(map(str, self.lowest(found)))


@dataclass(frozen=True)
class Order(Truth):
    """The labels of an axis in the order of a measure, the largest first."""

    kinds: ClassVar[tuple[str, ...]] = ("order",)

    of: str = ""
    along: str = ""

    def outcome(self, found: Found) -> Outcome:
        axis, means = _along(found, self.of, self.along, self.at)
        return Outcome(tuple(str(axis.labels[place]) for place in np.argsort(-means, kind="stable")))

    def choices(self, found: Found) -> tuple[str, ...]:
        return tuple(map(str, _along(found, self.of, self.along, self.at)[0].labels))


@dataclass(frozen=True)
class Verdict(Truth):
    """Whether the program says "held" of a claim of the study, the first being 1."""

    kinds: ClassVar[tuple[str, ...]] = ("yesno",)

    number: int = 1

    def outcome(self, found: Found) -> Outcome:
        if not 1 <= self.number <= len(found.statuses):
            raise UserError(f"truth: there is no claim {self.number}; the study has {len(found.statuses)}")
        return Outcome(found.statuses[self.number - 1] == "held")


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


def _along(found: Found, measure: str, along: str, at: Mapping[str, Any]) -> tuple[Axis, np.ndarray]:
    """The axis, and the mean at each of its labels; inf where a run diverged."""
    results = measure_of(found, measure, at)
    if [axis.name for axis in results.axes] != [along]:
        left = ", ".join(axis.name for axis in results.axes) or "none"
        raise UserError(f"truth: must leave the axis {along} alone, and leaves {left}; give labels of the others in `at`")
    return results.axes[0], np.array([_mean(results, values) for values in results.values])


def _mean(results: Results, values: np.ndarray) -> float:
    return float(results.interval(values).mean)


TRUTHS: dict[str, type[Truth]] = {
    "value": Value,
    "difference": Difference,
    "ratio": Ratio,
    "larger": Larger,
    "best": Best,
    "moved": Moved,
    "best_ratio": BestRatio,
    "winner": Winner,
    "order": Order,
    "claim": Verdict,
    "computed": Computed,
}
