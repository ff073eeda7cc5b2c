"""Claims about the best value along an axis: where it lies and how far it moves.

Source: Godbole et al., "Deep Learning Tuning Playbook", 2023 (a best value at the edge of the grid decides nothing).
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field

from pipeline.figures.words import formatted
from pipeline.lab.statistics.intervals import Interval, Pairing, deviation_interval, difference, pairing
from pipeline.lab.studies.claims.base import Claim, Status, Verdict, status_of
from pipeline.lab.studies.claims.implied import Alternatives, Inequality, Unknown
from pipeline.lab.studies.claims.results import Edge, Results, best_per_seed, flat_part
from pipeline.params.errors import UserError

NO_AXIS = "where: leaves no axis on which values could be compared"


class OptimumMoves(Claim):
    """The factor by which the best value on the last axis differs between lines."""

    minimizes: ClassVar[bool] = True

    factor: Annotated[float, Field(gt=1)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        claimed = f"the best {_last(results)} moves by a factor of {self.claim_text()}"
        optima = best_values(results, claimed)
        if isinstance(optima, Verdict):
            return optima
        earned, names = pairing(optima), [name for name, _ in results.lines()]
        pairs = self.pairs(len(optima))

        def moved(pair: tuple[int, int], among: int = 1) -> Interval:
            one, other = optima[pair[1]], optima[pair[0]]
            return difference(one, other, paired=earned.is_earned, alpha=results.basis.alpha / among)

        low, high = max(pairs, key=lambda pair: abs(float(optima[pair[1]].mean() - optima[pair[0]].mean())))
        if optima[low].mean() > optima[high].mean():
            low, high = high, low
        farthest = Interval(*(float(2.0 ** min(end, 1000.0)) for end in moved((low, high))))
        places = ", ".join(f"{2 ** float(optima[line].mean()):.3g} at {names[line]}" for line in (low, high))
        about = f"{results.text(farthest)}, {results.seeds_text}, {earned.text()}"
        found = f"a factor of {formatted(farthest.mean)} ({about}): {places}"
        return Verdict(
            self.compare([moved(pair) for pair in pairs], [moved(pair, len(pairs)) for pair in pairs]),
            f"the best {_last(results)} moves by {found}; claimed: {self.claim_text()}",
            claimed,
            found,
            effect=farthest,
        )

    def _places(self, cells: Mapping[str, Results]) -> list[Unknown]:
        return [_of_line("optimum", ids) for _, ids in self.select(self.measure, cells).lines()]

    @abstractmethod
    def pairs(self, lines: int) -> list[tuple[int, int]]:
        """The pairs of lines that are compared."""

    @abstractmethod
    def compare(self, moves: list[Interval], among_all: list[Interval]) -> Status:
        """The verdict on moves (log2), and on those as one of all pairs."""

    @abstractmethod
    def claim_text(self) -> str:
        """The factor that is claimed, in words."""


class OptimumMovesAtMost(OptimumMoves):
    """The best value moves by `factor` at most between any two lines."""

    def pairs(self, lines: int) -> list[tuple[int, int]]:
        return list(itertools.combinations(range(lines), 2)) or [(0, 0)]

    def compare(self, moves: list[Interval], among_all: list[Interval]) -> Status:
        most = math.log2(self.factor)
        inside = all(-most <= moved.low and moved.high <= most for moved in moves)
        return status_of(inside, any(moved.low > most or moved.high < -most for moved in among_all))

    def claim_text(self) -> str:
        return f"at most {formatted(self.factor)}"

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        pairs = itertools.permutations(self._places(cells), 2)
        return [[Inequality.of({one: 1.0, other: -1.0}, math.log2(self.factor)) for one, other in pairs]]


class OptimumMovesAtLeast(OptimumMoves):
    """The best value moves by `factor` at least from the first line to the last one.

    Which lines are compared does not depend on the results: those that happen to be farthest apart always differ.
    """

    def pairs(self, lines: int) -> list[tuple[int, int]]:
        return [(0, lines - 1)]

    def compare(self, moves: list[Interval], among_all: list[Interval]) -> Status:
        [moved], least = moves, math.log2(self.factor)
        return status_of(moved.low >= least or moved.high <= -least, -least < moved.low and moved.high < least)

    def claim_text(self) -> str:
        return f"at least {formatted(self.factor)}"

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        first, *_, last = [*self._places(cells)] * 2
        least = -math.log2(self.factor)
        return [[Inequality.of({first: side, last: -side}, least)] for side in (1.0, -1.0)]


class OptimumLiesBetween(Claim):
    """The best value on the last axis lies between two numbers, and both ends of the grid are worse by `ends_worse_by`.

    The best may be any value of the flat part: those that are not worse than the lowest one by their intervals. The ends are
    compared in standard deviations of a seed at the best value.
    """

    minimizes: ClassVar[bool] = True

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    ends_worse_by: Annotated[float, Field(ge=0)]

    def decide(self, results: Results, measures: Mapping[str, Results]) -> Verdict:
        name, limits = _last(results), f"{formatted(self.low)} and {formatted(self.high)}"
        claimed = (
            f"the best {name} lies between {limits}, and both ends of the grid are worse by at least "
            f"{formatted(self.ends_worse_by)} standard deviations of a seed"
        )
        if beyond := _edges(results):
            return _extend(results, beyond, claimed)
        labels, earned = [float(label) for label in results.axes[-1].labels], self.pairing(measures)
        inside, outside, worse, said = [], [], [], []
        spans = list[tuple[Interval, str]]()
        for line, values in results.lines():
            flat = flat_part(results, values, earned)
            best = int(np.argmin(values.mean(axis=1)))
            within = [self.low <= labels[place] <= self.high for place in flat]
            inside.append(all(within))
            outside.append(not any(within))
            worse.append(self._ends(results, values, best, earned))
            spans.append((Interval(labels[flat[0]], labels[best], labels[flat[-1]]), line))
            ends = formatted(labels[flat[0]]), formatted(labels[flat[-1]])
            where = f"{formatted(labels[best])} alone" if len(flat) == 1 else f"any from {ends[0]} to {ends[1]}"
            said.append(f"{where}{f' ({line})' if line else ''}")
        least = min(worse)
        span, place = min(spans, key=lambda one: min(one[0].low / self.low, self.high / one[0].high))
        found = (
            f"{', '.join(said)} ({results.seeds_text}, {earned.text()}); the better end of the grid is worse by "
            f"{formatted(least.mean)} standard deviations (at least {formatted(least.low)})"
        )
        return Verdict(
            status_of(
                all(inside) and least.low >= self.ends_worse_by,
                any(outside) or any(one.high < self.ends_worse_by for one in worse),
            ),
            f"the best {name} is {found}; claimed: between {limits}, ends worse by {formatted(self.ends_worse_by)}",
            claimed,
            found,
            effect=span,
            place=place,
        )

    def _ends(self, results: Results, values: Float[np.ndarray, "places seeds"], best: int, earned: Pairing) -> Interval:
        """By how many standard deviations of a seed, at the best place, the better end is worse.

        The interval holds both the difference and the deviation with half of the error each.
        """
        spread = deviation_interval(values[best], results.basis.alpha / 2)
        found = []
        for end in (0, -1):
            if not np.isfinite(values[end]).all():
                found.append(Interval(np.inf, np.inf, np.inf))
                continue
            worse = results.difference(values[end], values[best], earned, 2)
            with np.errstate(divide="ignore", invalid="ignore"):
                sides = np.nan_to_num(
                    np.array([worse.low, worse.mean, worse.high]) / _signed(worse, spread), nan=0.0, posinf=np.inf
                )
            found.append(Interval(*map(float, sides)))
        return min(found)

    def regions(self, cells: Mapping[str, Results]) -> Alternatives:
        found = []
        for _, ids in self.select(self.measure, cells).lines():
            best = _of_line("optimum", ids)
            found += [Inequality.of({best: 1.0}, math.log2(self.high)), Inequality.of({best: -1.0}, -math.log2(self.low))]
        return [found]


def _signed(worse: Interval, spread: Interval) -> Float[np.ndarray, " 3"]:
    """The deviations that make a quotient of two intervals as low, as it is, and as high as both allow."""
    low = spread.high if worse.low > 0 else spread.low
    high = spread.low if worse.high > 0 else spread.high
    return np.array([low, spread.mean, high])


def best_values(results: Results, claimed: str) -> Float[np.ndarray, "lines seeds"] | Verdict:
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
    return _extend(results, beyond, claimed) if beyond else np.array(rows)


def _edges(results: Results) -> list[str]:
    """Where the lowest mean of a line is at an end of the grid.

    Raises:
        UserError: there is no axis left, or it is no scale.
    """
    if not results.axes:
        raise UserError(NO_AXIS)
    across, beyond = results.axes[-1], []
    across.scale()
    for name, values in results.lines():
        best = int(np.argmin(values.mean(axis=1)))
        if best in (0, len(across.labels) - 1):
            beyond.append(f"{'above' if best else 'below'} {across.labels[best]}{f' ({name})' if name else ''}")
    return beyond


def _extend(results: Results, beyond: list[str], claimed: str) -> Verdict:
    """The verdict that the best place may lie beyond the grid."""
    sentence = f"the best {_last(results)} may lie {', '.join(beyond)}"
    return Verdict(Status.EXTEND, sentence, claimed, sentence)


def _last(results: Results) -> str:
    """The name of the axis along which a best value is looked for.

    Raises:
        UserError: there is none left.
    """
    if not results.axes:
        raise UserError(NO_AXIS)
    return results.axes[-1].name


def _of_line(kind: str, ids: np.ndarray) -> Unknown:
    """The unknown of a line of cells."""
    return kind, tuple(int(cell) for cell in ids.ravel())
