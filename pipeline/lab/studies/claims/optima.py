"""Claims about the best value along an axis: where it lies, how far it moves, its result, and the cost of missing it.

Source: Godbole et al., "Deep Learning Tuning Playbook", 2023 (a best value at the edge of the grid decides nothing).
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

NO_AXIS = "where: leaves no axis on which values could be compared"


class OptimumMoves(Claim):
    """The factor by which the best value on the last axis differs between the two lines where it differs most."""

    minimizes: ClassVar[bool] = True

    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        optima = best_values(results)
        if isinstance(optima, Verdict):
            return optima
        names = [name for name, _ in results.lines()]
        means = optima.mean(axis=1)
        low, high = int(means.argmin()), int(means.argmax())
        moved = Interval(*(float(2**end) for end in interval(optima[high] - optima[low])))  # in pairs, seed by seed
        places = ", ".join(f"{2 ** means[line]:.3g} at {names[line]}" for line in (low, high))
        factor = f"a factor of {formatted(moved.mean)} ({moved.text()}; claim: {self.claim_text()}; {results.seeds_text})"
        return Verdict(
            self.compare(moved),
            f"the best {results.axes[-1].name} moves by {factor}: {places}",
            f"the best {results.axes[-1].name} moves by a factor of {self.claim_text()}",
            f"a factor of {formatted(moved.mean)} ({moved.text()}, {results.seeds_text}): {places}",
        )

    @abstractmethod
    def compare(self, moved: Interval) -> Status:
        """The verdict on a factor."""

    @abstractmethod
    def claim_text(self) -> str:
        """The factor that is claimed, in words."""


class OptimumMovesAtMost(OptimumMoves):
    """The best value moves by `factor` at most."""

    def compare(self, moved: Interval) -> Status:
        return status_of(moved.high <= self.factor, moved.low > self.factor)

    def claim_text(self) -> str:
        return f"at most {formatted(self.factor)}"


class OptimumMovesAtLeast(OptimumMoves):
    """The best value moves by `factor` at least."""

    def compare(self, moved: Interval) -> Status:
        return status_of(moved.low >= self.factor, moved.high < self.factor)

    def claim_text(self) -> str:
        return f"at least {formatted(self.factor)}"


class OptimumLiesBetween(Claim):
    """The best value on the last axis lies between two numbers, and both ends of the grid are worse by `ends_worse_by`.

    The latter in standard deviations over seeds, pooled over the cells that never diverged.
    """

    minimizes: ClassVar[bool] = True

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    ends_worse_by: Annotated[float, Field(ge=0)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        optima = best_values(results)
        if isinstance(optima, Verdict):
            return optima
        losses = results.values.reshape(-1, *results.values.shape[-2:])
        best = Interval(*(float(2**end) for end in interval(optima.mean(axis=0))))
        finite = losses[np.isfinite(losses).all(axis=-1)]
        deviation = float(np.sqrt(finite.var(axis=-1, ddof=1).mean())) if results.seeds > 1 else np.inf
        means = losses.mean(axis=-1)
        worse = float((np.minimum(means[:, 0], means[:, -1]) - means.min(axis=1)).min()) / deviation
        inside, outside = self.low <= best.low and best.high <= self.high, best.high < self.low or best.low > self.high
        return Verdict(
            status_of(inside and worse >= self.ends_worse_by, outside or worse < self.ends_worse_by),
            f"the best {results.axes[-1].name} is {formatted(best.mean)} ({best.text()}; claim: {formatted(self.low)} to "
            f"{formatted(self.high)}; {results.seeds_text}), and the better end of the grid is worse by {worse:.1f} standard "
            f"deviations over seeds (claim: at least {formatted(self.ends_worse_by)})",
            f"the best {results.axes[-1].name} lies between {formatted(self.low)} and {formatted(self.high)}, and both ends of "
            f"the grid are worse by at least {formatted(self.ends_worse_by)} standard deviations over seeds",
            f"{formatted(best.mean)} ({best.text()}, {results.seeds_text}); the better end is worse by {worse:.1f}",
        )


def best_values(results: Results) -> Float[np.ndarray, "lines seeds"] | Verdict:
    """The place on the last axis (log2) where each line is best, for each seed; or the verdict that the grid does not show it.

    Raises:
        UserError: there is no axis left on which a best place could be.
    """
    if not results.axes:
        raise UserError(NO_AXIS)
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
        sentence = f"the best {across.name} may lie {', '.join(beyond)}"
        return Verdict(Status.EXTEND, sentence, f"the best {across.name} can be read off the grid", sentence)
    return np.array(rows)


class BestAtMost(Claim):
    """At its minimum the measure is at most `value`; of several lines the one with the highest minimum decides."""

    minimizes: ClassVar[bool] = True

    value: float

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        if not results.axes:
            raise UserError(NO_AXIS)
        across, bests = results.axes[-1], []
        for name, values in results.lines():
            place = int(np.argmin(values.mean(axis=-1)))
            bests.append((results.interval(values[place]), f"at {across.name} {across.labels[place]}", name))
        worst, at, name = max(bests)
        return Verdict(
            status_of(worst.high <= self.value, worst.low > self.value),
            f"the best {self.name(measures)}{f' of {name}' if name else ''} is {formatted(worst.mean)} ({worst.text()}; "
            f"claim: at most {formatted(self.value)}; {results.seeds_text}) {at}",
            f"the lowest {self.quantity(measures)} is at most {formatted(self.value)}",
            f"{formatted(worst.mean)} ({worst.text()}, {results.seeds_text}) {at}",
        )


class SensitivityFalls(Claim):
    """From one arm to the other, the cost of a wrong value on the last axis falls by at least `factor`.

    The sensitivity is the mean over the axis of min(loss, `cap`), minus the lowest of them. The cap is the loss of a model that
    has learned nothing, because to be worse than that makes no difference.

    Source: Wortsman et al., "Small-scale proxies for large-scale Transformer training instabilities", 2023.
    """

    minimizes: ClassVar[bool] = True

    arm: str
    worse: Label
    better: Label
    cap: float
    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        first, second = (self._sensitivity(results.at({self.arm: label})) for label in (self.worse, self.better))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = Results((), np.where(first == second, 1.0, first / second), logarithmic=True)
        fell = ratios.interval(ratios.values)
        claim_text = f"at least {formatted(self.factor)}"
        factor = f"a factor of {formatted(fell.mean)} ({fell.text()}; claim: {claim_text}; {results.seeds_text})"
        return Verdict(
            status_of(fell.low >= self.factor, fell.high < self.factor),
            f"sensitivity to {results.axes[-1].name} falls by {factor}:"
            f" {formatted(float(first.mean()))} at {self.worse}, {formatted(float(second.mean()))} at {self.better}",
            f"the cost of a wrong {results.axes[-1].name} falls by a factor of {claim_text} "
            f"from {self.arm} {self.worse} to {self.better}",
            f"a factor of {formatted(fell.mean)} ({fell.text()}, {results.seeds_text})",
        )

    def _sensitivity(self, line: Results) -> Float[np.ndarray, " seeds"]:
        capped: Float[np.ndarray, "places seeds"] = np.minimum(line.values, self.cap)
        cost: Float[np.ndarray, " seeds"] = capped.mean(axis=0) - capped.min(axis=0)
        return cost
