"""Results of many runs: a measure on a grid of knobs and seeds, its confidence intervals, and where along a knob it is best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.figures.words import formatted
from pipeline.lab.statistics.intervals import ALPHA, Interval, Pairing, difference, interval, joined, pairing, wilson
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

Label = bool | int | float | str
"""The label of a place on an axis: the value of a knob, or the name of a set of knobs."""

Where = Mapping[str, Label | list[Label]]
"""axis -> label to select, or a list of labels, which stay an axis."""

Numbers = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Axis:
    """What is varied: the name of a knob, or of a choice between sets of knobs, and the labels of its places, in order."""

    name: str
    labels: tuple[Label, ...]

    def is_scale(self) -> bool:
        """Whether the labels are increasing positive numbers, so that a place between them means something."""
        numbers = [label for label in self.labels if isinstance(label, int | float) and label > 0]
        return len(numbers) == len(self.labels) and all(low < high for low, high in itertools.pairwise(numbers))

    def scale(self) -> list[float]:
        """The logarithm, base 2, of each label.

        Raises:
            UserError: they are not a scale.
        """
        if not self.is_scale():
            raise UserError(f"{self.name}: has no increasing positive numbers, between which an optimum could lie")
        return [math.log2(float(label)) for label in self.labels]


@dataclass(frozen=True)
class Basis:
    """What the seeds of a grid are worth as evidence.

    Attributes:
        rounds: how often the results were judged: once, and once more for each time that seeds were added.
        draws: "seed": each seed has data of its own; "one": all share one draw of the data; "none": there are no data.
        standing: "seen": the bounds were chosen after a look at these seeds; "fresh": these seeds were never looked at before.
    """

    rounds: int = 1
    draws: Literal["seed", "one", "none"] = "none"
    standing: Literal["", "seen", "fresh"] = ""

    @property
    def alpha(self) -> float:
        """How often an interval misses: 5 %, and half as often in each further round, so that all miss by at most 10 %."""
        return ALPHA / 2 ** (self.rounds - 1)

    def text(self, seeds: int) -> str:
        """The number of seeds, and what they do not vary."""
        rounds = f" in {ROUNDS.get(self.rounds, self.rounds)} rounds" if self.rounds > 1 else ""
        draws = ", one draw of the data" if self.draws == "one" else ""
        return f"{seeds} seed{'s' * (seeds != 1)}{rounds}{draws}"


ROUNDS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Results:
    """A measure in every cell of a grid, for every seed; inf where the training diverged.

    Attributes:
        values: one dimension for each axis, and one for the seeds.
        logarithmic: it spans decades: means and intervals are those of its logarithm.
        quantity: what is measured, in words.
        low, high: the range in which it can lie.
        held_out: of a share, how many examples all seeds share; 0 where each seed has its own.
        basis: what the seeds are worth.
    """

    axes: tuple[Axis, ...]
    values: Numbers
    logarithmic: bool = False
    quantity: str = ""
    low: float = -math.inf
    high: float = math.inf
    held_out: int = 0
    basis: Basis = Basis()

    @property
    def seeds(self) -> int:
        return self.values.shape[-1]

    @property
    def seeds_text(self) -> str:
        return self.basis.text(self.seeds)

    def at(self, where: Where) -> Results:
        """The part of the grid with some labels.

        Raises:
            UserError: there is no such axis, or no such label on it.
        """
        known = tuple(axis.name for axis in self.axes)
        for name in where:
            if name not in known:
                raise UserError(f"where: the study does not vary '{name}'. {suggest(name, known)}")
        values, axes = self.values, list[Axis]()
        for axis in self.axes:
            wanted = where.get(axis.name, list(axis.labels))
            chosen = wanted if isinstance(wanted, list) else [wanted]
            for label in chosen:
                if label not in axis.labels:
                    raise UserError(f"where: {axis.name} is never {label!r}. Known: {', '.join(map(str, axis.labels))}")
            values = values.take([axis.labels.index(label) for label in chosen], axis=len(axes))
            if isinstance(wanted, list):
                axes.append(replace(axis, labels=tuple(chosen)))
            else:
                values = values[(slice(None),) * len(axes) + (0,)]
        return replace(self, axes=tuple(axes), values=values)

    def places(self) -> Iterator[tuple[str, Float[np.ndarray, " seeds"]]]:
        """(labels, values) of every cell."""
        for place in itertools.product(*(range(len(axis.labels)) for axis in self.axes)):
            names = (f"{axis.name} {axis.labels[at]}" for axis, at in zip(self.axes, place, strict=True))
            yield ", ".join(names), self.values[place]

    def interval(self, values: Float[np.ndarray, " seeds"], among: int = 1) -> Interval:
        """The mean over seeds and its confidence interval, on a scale that keeps it where the measure can lie.

        That is the logarithm of what is positive, the log-odds of a share. The interval of a share on examples that all seeds
        have in common holds the error of that sample, too.

        Args:
            among: of so many intervals that any one may decide; each then misses less often (Bonferroni).
        """
        alpha = self.basis.alpha / among
        forward, back = self._scale(values)
        spread = Interval(*map(back, interval(forward(values), alpha)))
        if self.held_out and self._is_share and math.isfinite(spread.mean):
            spread = joined(spread.mean, spread, wilson(spread.mean, self.held_out, alpha))
        if not (np.isfinite(values).all() and values.min() >= self.low and values.max() <= self.high):
            return spread
        return Interval(max(spread.low, self.low), spread.mean, min(spread.high, self.high))

    def difference(
        self, more: Float[np.ndarray, " seeds"], less: Float[np.ndarray, " seeds"], pairs: Pairing, among: int = 1
    ) -> Interval:
        """The difference of two places and its confidence interval, in pairs of equal seeds only where the study earns it.

        Args:
            pairs: of the whole study.
            among: as for `interval`.
        """
        alpha = self.basis.alpha / among
        spread = difference(more, less, paired=pairs.is_earned, alpha=alpha)
        if self.held_out and self._is_share and math.isfinite(spread.mean):
            samples = (wilson(min(max(float(values.mean()), 0.0), 1.0), self.held_out, alpha) for values in (more, less))
            one, other = samples
            apart = Interval(one.low - other.high, one.mean - other.mean, one.high - other.low)
            spread = joined(spread.mean, spread, apart)
        return spread

    @property
    def pairing(self) -> Pairing:
        """Whether its seeds are compared in pairs."""
        flat = self.values.reshape(-1, self.seeds)
        usable = flat[np.isfinite(flat).all(axis=-1)]
        is_log = self.logarithmic and bool((usable > 0).all())
        return pairing(np.log(usable) if is_log else usable)

    @property
    def _is_share(self) -> bool:
        return (self.low, self.high) == (0.0, 1.0)

    def _scale(self, values: Float[np.ndarray, " seeds"]) -> tuple[Callable[[Numbers], Numbers], Callable[[float], float]]:
        """The scale on which Student's interval is computed: a function to it, and one back."""
        if np.isfinite(values).all():
            if (self.logarithmic or (self.low == 0.0 and self.high == math.inf)) and (values > 0).all():
                return np.log, _exp
            if self._is_share and (values > 0).all() and (values < 1).all():
                return _log_odds, _from_log_odds
            if self._is_share and self.held_out and (values >= 0).all() and (values <= 1).all():
                count = self.held_out  # half an example right and half an example wrong keep the log-odds finite
                return (lambda shares: _log_odds((shares * count + 0.5) / (count + 1))), _from_log_odds
        return (lambda numbers: numbers), (lambda number: number)

    def text(self, spread: Interval) -> str:
        """An interval, such as `95 % CI 2.5 to 18.7`; there is none of a single seed, or where a training diverged."""
        if self.seeds < 2 or not math.isfinite(spread.low):
            return "no CI"
        return f"{100 * (1 - self.basis.alpha):.4g} % CI {formatted(spread.low)} to {formatted(spread.high)}"

    def lines(self) -> Iterator[tuple[str, Numbers]]:
        """(labels, values [last axis, seeds]) of every line along the last axis."""
        for place in itertools.product(*(range(len(axis.labels)) for axis in self.axes[:-1])):
            names = (f"{axis.name} {axis.labels[at]}" for axis, at in zip(self.axes[:-1], place, strict=True))
            yield ", ".join(names), self.values[place]


def _exp(number: float) -> float:
    return math.exp(min(number, 700.0)) if number < math.inf else math.inf


def _log_odds(shares: Numbers) -> Numbers:
    odds: Numbers = np.log(shares / (1 - shares))
    return odds


def _from_log_odds(number: float) -> float:
    return 1 / (1 + math.exp(-min(max(number, -700.0), 700.0)))


# ------------------------------------------------------------------------------------------------------------- best places


class Edge(NamedTuple):
    """The best value is the first or last one of the grid, so that a better one may lie beyond."""

    end: str  # "below" | "above"


def optimum(scale: list[float], losses: Float[np.ndarray, " places"]) -> float | Edge:
    """Where on a scale (log2) the loss is lowest: the vertex of a parabola fitted to the places around the best one.

    These are the places within a factor of 4, and always its two neighbours: in a flat valley the slopes on both sides
    determine its middle better than its bottom does. The vertex is limited to the neighbours; where one of them diverged it is
    the best place itself.
    """
    best = int(np.argmin(losses))
    if best == 0 or not np.isfinite(losses[best]):
        return Edge("below")
    if best == len(losses) - 1:
        return Edge("above")
    if not np.isfinite(losses[[best - 1, best + 1]]).all():
        return scale[best]
    away = np.array(scale) - scale[best]
    around = (np.abs(away) <= 2 + 1e-9) & np.isfinite(losses)
    around[best - 1 : best + 2] = True
    bend, slope, _ = np.polyfit(away[around], losses[around], 2)
    vertex = -slope / (2 * bend) if bend > 0 else 0.0
    return scale[best] + float(np.clip(vertex, away[best - 1], away[best + 1]))


def best_per_seed(scale: list[float], values: Float[np.ndarray, "places seeds"]) -> Float[np.ndarray, " seeds"] | Edge:
    """The best place of each seed; or the edge where one of them was best."""
    found = [optimum(scale, losses) for losses in values.T]
    edges = [place for place in found if isinstance(place, Edge)]
    return edges[0] if edges else np.array(found, dtype=np.float64)


def chosen_on_other_seeds(
    values: Float[np.ndarray, "places seeds"],
) -> tuple[list[int], Float[np.ndarray, " seeds"]]:
    """(place, value there) of each seed, where the place is the one that is best on the mean of all other seeds.

    So what chose the place does not judge it. A single seed has no others and chooses for itself.
    """
    seeds = values.shape[-1]
    others = [np.delete(values, seed, axis=1) if seeds > 1 else values for seed in range(seeds)]
    places = [int(np.argmin(kept.mean(axis=1))) for kept in others]
    return places, values[places, np.arange(seeds)]


def flat_part(results: Results, values: Float[np.ndarray, "places seeds"], pairs: Pairing) -> list[int]:
    """The places that may be the best: all whose difference to the one with the lowest mean may be 0.

    Each interval is one of as many as there are other places, so that the best is among them with the whole confidence. A place
    where a training diverged is not among them.
    """
    means = values.mean(axis=1)
    best = int(np.argmin(means))
    if not np.isfinite(means[best]):
        return []
    others = len(means) - 1
    return [
        place
        for place, mean in enumerate(means)
        if place == best or (np.isfinite(mean) and results.difference(values[place], values[best], pairs, others).low <= 0)
    ]
