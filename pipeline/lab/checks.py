"""Claims about many runs, each decided by a program: held, refuted, undecided, or not to be told from this grid.

Source: Godbole et al., "Deep Learning Tuning Playbook", 2023 (a best value at the edge of the grid is no finding).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from pipeline.lab.results import Edge, Interval, Label, Results, best_of_line, interval
from pipeline.params import Refusal, Section


class Status(StrEnum):
    """What a program can say of a claim."""

    HELD = "held"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    EXTEND = "extend the grid"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim, and the numbers that say so."""

    status: Status
    says: str


# ---------------------------------------------------------------------------------------------------------------- claims


class Check(Section):
    """A claim about results. What it wants to know beside `where` are its fields."""

    where: Annotated[dict[str, Label], Field(default_factory=dict)]

    def judge(self, results: Results) -> Verdict:
        """Decide it.

        Raises:
            Refusal: the grid is none that it could speak about.
        """
        left = results.at(self.where)
        if not left.axes:
            raise Refusal("where: leaves no axis on which anything could be compared")
        verdict = self.decide(left)
        place = " and ".join(f"{name} {label}" for name, label in self.where.items())
        return replace(verdict, says=f"with {place} {verdict.says}") if place else verdict

    @abstractmethod
    def decide(self, results: Results) -> Verdict:
        """Decide it about the part of the grid that `where` leaves."""


class OptimumMoves(Check):
    """By which factor the best value on the last axis differs between the two lines where it differs most."""

    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results) -> Verdict:
        optima = best_values(results)
        if isinstance(optima, Verdict):
            return optima
        names = [name for name, _ in results.lines()]
        means = optima.mean(axis=1)
        low, high = int(means.argmin()), int(means.argmax())
        moved = Interval(*(float(2**end) for end in interval(optima[high] - optima[low])))  # in pairs, seed by seed
        places = (f"{2 ** means[line]:.3g} at {names[line]}" for line in (low, high))
        numbers = f"a factor of {moved.mean:.2f} (95 % interval {moved.low:.2f} … {moved.high:.2f}; {optima.shape[1]} seeds)"
        return Verdict(self.compare(moved), f"the best {results.axes[-1].name} moves by {numbers}: {', '.join(places)}")

    @abstractmethod
    def compare(self, moved: Interval) -> Status:
        """What the factor, with its interval, says."""


class OptimumMovesAtMost(OptimumMoves):
    """The best value moves by `factor` at most."""

    def compare(self, moved: Interval) -> Status:
        return decided(moved.high <= self.factor, moved.low > self.factor)


class OptimumMovesAtLeast(OptimumMoves):
    """The best value moves by `factor` at least."""

    def compare(self, moved: Interval) -> Status:
        return decided(moved.low >= self.factor, moved.high < self.factor)


class OptimumLiesBetween(Check):
    """The best value on the last axis lies between two numbers, and both ends of the grid are worse, by so many deviations.

    They are standard deviations of a seed, pooled over the places of the grid that never diverged.
    """

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    ends_worse_by: Annotated[float, Field(ge=0)]

    def decide(self, results: Results) -> Verdict:
        optima = best_values(results)
        if isinstance(optima, Verdict):
            return optima
        losses = results.values.reshape(-1, *results.values.shape[-2:])
        best = Interval(*(float(2**end) for end in interval(optima.mean(axis=0))))
        steady = losses[np.isfinite(losses).all(axis=-1)]
        deviation = float(np.sqrt(steady.var(axis=-1, ddof=1).mean())) if losses.shape[-1] > 1 else np.inf
        means = losses.mean(axis=-1)
        worse = float((np.minimum(means[:, 0], means[:, -1]) - means.min(axis=1)).min()) / deviation
        inside, outside = self.low <= best.low and best.high <= self.high, best.high < self.low or best.low > self.high
        return Verdict(
            decided(inside and worse >= self.ends_worse_by, outside or worse < self.ends_worse_by),
            f"the best {results.axes[-1].name} is {best.mean:.3g} (95 % interval {best.low:.3g} … {best.high:.3g}; "
            f"{optima.shape[1]} seeds), and the better end of the grid is worse by {worse:.1f} standard deviations of a seed",
        )


def best_values(results: Results) -> Float[np.ndarray, "lines seeds"] | Verdict:
    """Where on the last axis (log2) each line is best, seed by seed; or the verdict that the grid does not show it."""
    across = results.axes[-1]
    scale = across.scale()
    rows, beyond = [], []
    for name, values in results.lines():
        best = best_of_line(scale, values)
        if isinstance(best, Edge):
            beyond.append(f"{best.end} {across.labels[0 if best.end == 'below' else -1]}{f' ({name})' if name else ''}")
        else:
            rows.append(best)
    if beyond:
        return Verdict(Status.EXTEND, f"the best {across.name} may lie {', '.join(beyond)}")
    return np.array(rows)


def decided(held: bool, refuted: bool) -> Status:
    """Neither: the interval lies on both sides, and more seeds would make it narrower."""
    return Status.HELD if held else Status.REFUTED if refuted else Status.UNDECIDED


CHECKS: dict[str, type[Check]] = {
    "optimum_moves_at_most": OptimumMovesAtMost,
    "optimum_moves_at_least": OptimumMovesAtLeast,
    "optimum_lies_between": OptimumLiesBetween,
}
