"""What many runs came to: a measure on a grid of knobs and seeds, its intervals, and where along a knob it is best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.params.errors import UserError
from pipeline.params.names import suggest

Label = bool | int | float | str
"""What a place of an axis is called: the value of a knob, or the name of a set of knobs."""

Where = Mapping[str, Label | list[Label]]
"""For some axes at which of its labels to look; with a list, at some of them, which stay an axis."""

Numbers = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Axis:
    """What is varied: the name of a knob, or of a choice between sets of knobs, and the labels of its places in order."""

    name: str
    labels: tuple[Label, ...]

    def is_scale(self) -> bool:
        """Whether the labels are positive numbers that grow, so that a place between them means something."""
        numbers = [label for label in self.labels if isinstance(label, int | float) and label > 0]
        return len(numbers) == len(self.labels) and all(low < high for low, high in itertools.pairwise(numbers))

    def scale(self) -> list[float]:
        """The logarithm, base 2, of each label.

        Raises:
            UserError: they are no scale.
        """
        if not self.is_scale():
            raise UserError(f"{self.name}: has no positive numbers that grow, among which an optimum is looked for")
        return [math.log2(float(label)) for label in self.labels]


@dataclass(frozen=True)
class Results:
    """A measure at every place of a grid and for every seed; inf where the training diverged.

    Attributes:
        logarithmic: it spans decades: means and intervals are those of its logarithm.
    """

    axes: tuple[Axis, ...]
    values: Numbers  # [a place an axis …, seeds]
    logarithmic: bool = False

    def at(self, where: Where) -> Results:
        """What is left where some axes stand at one of their labels, or at some of them.

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
        return Results(tuple(axes), values, self.logarithmic)

    def places(self) -> Iterator[tuple[str, Float[np.ndarray, " seeds"]]]:
        """(its labels, a value a seed) of every place."""
        for place in itertools.product(*(range(len(axis.labels)) for axis in self.axes)):
            names = (f"{axis.name} {axis.labels[at]}" for axis, at in zip(self.axes, place, strict=True))
            yield ", ".join(names), self.values[place]

    def interval(self, values: Float[np.ndarray, " seeds"]) -> Interval:
        """The mean of some seeds and its 95 % interval."""
        if not self.logarithmic or not (np.isfinite(values) & (values > 0)).all():
            return interval(values)
        return Interval(*(math.exp(min(end, 700.0)) for end in interval(np.log(values))))

    def lines(self) -> Iterator[tuple[str, Numbers]]:
        """(its labels, values [last axis, seeds]) of every line across the last axis."""
        for place in itertools.product(*(range(len(axis.labels)) for axis in self.axes[:-1])):
            names = (f"{axis.name} {axis.labels[at]}" for axis, at in zip(self.axes[:-1], place, strict=True))
            yield ", ".join(names), self.values[place]


# ------------------------------------------------------------------------------------------------------------ statistics


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    low: float
    mean: float
    high: float


def interval(values: Float[np.ndarray, " n"]) -> Interval:
    """Student's interval of a mean; without end for a single value, and all infinite where a training diverged.

    Source: Student, "The Probable Error of a Mean", 1908.
    """
    from scipy.special import stdtrit

    if not np.isfinite(values).all():
        return Interval(np.inf, np.inf, np.inf)
    n, mean = len(values), float(values.mean())
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5) if n > 1 else np.inf
    return Interval(mean - half, mean, mean + half)


class Edge(NamedTuple):
    """The best value is the first or last that was tried, so that a better one may lie beyond."""

    end: str  # "below" | "above"


def optimum(scale: list[float], losses: Float[np.ndarray, " places"]) -> float | Edge:
    """Where on a scale (log2) the loss is least: the vertex of the parabola that lies closest to the places around the best.

    Around is within a factor of 4 (or its two neighbours, where they are further away): in a flat valley the slopes on both
    sides tell more of its middle than its bottom does. Never beyond the neighbours; the best place itself where one of them
    diverged.
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
    """Where each seed is best; or the edge that one of them was best at."""
    found = [optimum(scale, losses) for losses in values.T]
    edges = [place for place in found if isinstance(place, Edge)]
    return edges[0] if edges else np.array(found, dtype=np.float64)
