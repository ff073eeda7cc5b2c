"""Truths about the best place of an axis: where it is, how far it moves, whose is best, and in which order arms are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pipeline.lab.course.truths.base import Found, Outcome, Truth, axis_means, measure_of
from pipeline.lab.studies.claims.results import Label
from pipeline.params.errors import UserError


@dataclass(frozen=True)
class Best(Truth):
    """The label of an axis at which a measure is best, lowest unless `highest`: a number, or a label to choose."""

    kinds: ClassVar[tuple[str, ...]] = ("number", "choice")

    of: str = ""
    along: str = ""
    highest: bool = False
    as_label: bool = False

    def outcome(self, found: Found) -> Outcome:
        axis, means = axis_means(found, self.of, self.along, self.at)
        if not np.isfinite(means).any():
            return Outcome(None, why="no run has such a number")
        label = axis.labels[int(np.nanargmax(means) if self.highest else np.nanargmin(means))]
        return Outcome(str(label) if self.as_label else float(label))

    def choices(self, found: Found) -> tuple[str, ...]:
        return tuple(map(str, axis_means(found, self.of, self.along, self.at)[0].labels)) if self.as_label else ()


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
            axis, means = axis_means(found, self.of, self.along, {**self.at, **part})
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
        means = {label: axis_means(found, self.of, self.along, {**self.at, self.across: label})[1] for label in arms.labels}
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
        axis, means = axis_means(found, self.of, self.along, self.at)
        return Outcome(tuple(str(axis.labels[place]) for place in np.argsort(-means, kind="stable")))

    def choices(self, found: Found) -> tuple[str, ...]:
        return tuple(map(str, axis_means(found, self.of, self.along, self.at)[0].labels))
