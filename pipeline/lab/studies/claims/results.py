"""Results of many runs: a measure on a grid of knobs and seeds, its confidence intervals, and where along a knob it is best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.figures.style import formatted
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
class Results:
    """A measure in every cell of a grid, for every seed; inf where the training diverged.

    Attributes:
        values: one dimension for each axis, and one for the seeds.
        logarithmic: it spans decades: means and intervals are those of its logarithm.
        quantity: what is measured, in words.
    """

    axes: tuple[Axis, ...]
    values: Numbers
    logarithmic: bool = False
    quantity: str = ""

    @property
    def seeds(self) -> int:
        return self.values.shape[-1]

    @property
    def seeds_text(self) -> str:
        return f"{self.seeds} seed{'s' * (self.seeds != 1)}"

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

    def interval(self, values: Float[np.ndarray, " seeds"]) -> Interval:
        """The mean over seeds and its 95 % confidence interval."""
        if not self.logarithmic or not (np.isfinite(values) & (values > 0)).all():
            return interval(values)
        return Interval(*(math.exp(min(end, 700.0)) for end in interval(np.log(values))))

    def lines(self) -> Iterator[tuple[str, Numbers]]:
        """(labels, values [last axis, seeds]) of every line along the last axis."""
        for place in itertools.product(*(range(len(axis.labels)) for axis in self.axes[:-1])):
            names = (f"{axis.name} {axis.labels[at]}" for axis, at in zip(self.axes[:-1], place, strict=True))
            yield ", ".join(names), self.values[place]


# ------------------------------------------------------------------------------------------------------------ statistics


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval."""

    low: float
    mean: float
    high: float

    def text(self) -> str:
        """The interval, such as `95 % CI 2.5 to 18.7`; there is none of a single seed, or where a training diverged."""
        if not math.isfinite(self.low):
            return "no CI"
        return f"95 % CI {formatted(self.low)} to {formatted(self.high)}"


def interval(values: Float[np.ndarray, " n"]) -> Interval:
    """Student's confidence interval of a mean; unbounded for a single value, and all infinite where a training diverged.

    Source: Student, "The Probable Error of a Mean", 1908.
    """
    from scipy.special import stdtrit

    if not np.isfinite(values).all():
        return Interval(np.inf, np.inf, np.inf)
    n, mean = len(values), float(values.mean())
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5) if n > 1 else np.inf
    return Interval(mean - half, mean, mean + half)


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
