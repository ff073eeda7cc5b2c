"""What a truth is, what it is read from, and what comes out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pipeline.figures.words import formatted
from pipeline.lab.studies.claims.results import Axis, Results
from pipeline.lab.studies.grid import Sweep
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

    def measure(self, sweep: Sweep) -> str:
        """The measure of a study that answers."""
        return str(getattr(self, "of", "") or next(iter(sweep.measures)))

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


def axis_means(found: Found, measure: str, along: str, at: Mapping[str, Any]) -> tuple[Axis, np.ndarray]:
    """The axis, and the mean at each of its labels; inf where a run diverged."""
    results = measure_of(found, measure, at)
    if [axis.name for axis in results.axes] != [along]:
        left = ", ".join(axis.name for axis in results.axes) or "none"
        raise UserError(f"truth: must leave the axis {along} alone, and leaves {left}; give labels of the others in `at`")
    return results.axes[0], np.array([mean_of(results, values) for values in results.values])


def mean_of(results: Results, values: np.ndarray) -> float:
    return float(results.interval(values).mean)
