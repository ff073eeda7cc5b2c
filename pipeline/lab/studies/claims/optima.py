"""Claims about the best value along an axis: where it lies, how far it moves, what it comes to, what missing it costs.

Source: Godbole et al., "Deep Learning Tuning Playbook", 2023 (a best value at the edge of the grid is no finding).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field

from pipeline.figures.style import formatted
from pipeline.lab.studies.claims.base import Claim, Status, Verdict, status_of
from pipeline.lab.studies.claims.results import Edge, Interval, Label, Results, best_per_seed, interval
from pipeline.params.errors import UserError


class OptimumMoves(Claim):
    """By which factor the best value on the last axis differs between the two lines where it differs most."""

    seeks_least: ClassVar[bool] = True

    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
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
        return status_of(moved.high <= self.factor, moved.low > self.factor)


class OptimumMovesAtLeast(OptimumMoves):
    """The best value moves by `factor` at least."""

    def compare(self, moved: Interval) -> Status:
        return status_of(moved.low >= self.factor, moved.high < self.factor)


class OptimumLiesBetween(Claim):
    """The best value on the last axis lies between two numbers, and both ends of the grid are worse, by so many deviations.

    They are standard deviations of a seed, pooled over the places of the grid that never diverged.
    """

    seeks_least: ClassVar[bool] = True

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    ends_worse_by: Annotated[float, Field(ge=0)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
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
            status_of(inside and worse >= self.ends_worse_by, outside or worse < self.ends_worse_by),
            f"the best {results.axes[-1].name} is {best.mean:.3g} (95 % interval {best.low:.3g} … {best.high:.3g}; "
            f"{optima.shape[1]} seeds), and the better end of the grid is worse by {worse:.1f} standard deviations of a seed",
        )


def best_values(results: Results) -> Float[np.ndarray, "lines seeds"] | Verdict:
    """Where on the last axis (log2) each line is best, seed by seed; or the verdict that the grid does not show it.

    Raises:
        UserError: there is no axis left on which a best place could be.
    """
    if not results.axes:
        raise UserError("where: leaves no axis on which anything could be compared")
    across = results.axes[-1]
    scale = across.scale()
    rows, beyond = [], []
    for name, values in results.lines():
        best = best_per_seed(scale, values)
        if isinstance(best, Edge):
            beyond.append(f"{best.end} {across.labels[0 if best.end == 'below' else -1]}{f' ({name})' if name else ''}")
        else:
            rows.append(best)
    if beyond:
        return Verdict(Status.EXTEND, f"the best {across.name} may lie {', '.join(beyond)}")
    return np.array(rows)


class BestAtMost(Claim):
    """Where a line is best, the measure is at most `value`; of the line of which that is least so."""

    seeks_least: ClassVar[bool] = True

    value: float

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        if not results.axes:
            raise UserError("where: leaves no axis on which anything could be compared")
        across, bests = results.axes[-1], []
        for name, values in results.lines():
            place = int(np.argmin(values.mean(axis=-1)))
            bests.append((results.interval(values[place]), f"at {across.name} {across.labels[place]}", name))
        worst, at, name = max(bests)
        return Verdict(
            status_of(worst.high <= self.value, worst.low > self.value),
            f"the best {self.measure or next(iter(measures)) or 'value'}{f' of {name}' if name else ''} is"
            f" {formatted(worst.mean)} ({formatted(worst.low)} … {formatted(worst.high)}; {results.values.shape[-1]} seeds) {at}",
        )


class SensitivityFalls(Claim):
    """From one arm to the other, how much is lost by a wrong value on the last axis falls by `factor` at least.

    The sensitivity is the mean over the axis of min(loss, `cap`), less the least of them; the cap is the loss of whoever
    learned nothing, than which it cannot matter to be worse.

    Source: Wortsman et al., "Small-scale proxies for large-scale Transformer training instabilities", 2023.
    """

    seeks_least: ClassVar[bool] = True

    arm: str
    worse: Label
    better: Label
    cap: float
    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        first, second = (self._sensitivity(results.at({self.arm: label})) for label in (self.worse, self.better))
        with np.errstate(divide="ignore", invalid="ignore"):
            quotients = Results((), np.where(first == second, 1.0, first / second), logarithmic=True)
        fell = quotients.interval(quotients.values)
        numbers = f"a factor of {formatted(fell.mean)} ({formatted(fell.low)} … {formatted(fell.high)}; {len(first)} seeds)"
        return Verdict(
            status_of(fell.low >= self.factor, fell.high < self.factor),
            f"sensitivity to {results.axes[-1].name} falls by {numbers}:"
            f" {formatted(float(first.mean()))} at {self.worse}, {formatted(float(second.mean()))} at {self.better}",
        )

    def _sensitivity(self, line: Results) -> Float[np.ndarray, " seeds"]:
        capped: Float[np.ndarray, "places seeds"] = np.minimum(line.values, self.cap)
        lost: Float[np.ndarray, " seeds"] = capped.mean(axis=0) - capped.min(axis=0)
        return lost
