"""Curves of variants over training: the mean over seeds and the range from the lowest to the highest, in few enough numbers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.figures.chart_html import thinned
from pipeline.lab.comparison.page.variants import Variant

Columns = Mapping[str, Sequence[float | None]]
"""The columns of an experiment's curve, such as step, loss and validation_loss."""

POINTS = 300  # of a line
FEWEST = 80  # with fewer a quantity is left out, unless it is the first
NUMBERS = 110_000  # in all lines together, so that the page stays small
FIRST = ("validation_loss", "loss", "validation_accuracy", "accuracy")  # what is worth its room most, in this order
ASIDE = ("step", "targets", "clipped", "epoch")  # columns that are no curve


class Curve(NamedTuple):
    """One quantity of one variant.

    Attributes:
        variant: its place among the variants of the page.
        low, high: over seeds; empty of one seed.
        stops: whether it ends before the seed that trained longest, because another ended or diverged.
    """

    variant: int
    column: str
    seeds: int
    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    stops: bool

    def numbers(self, most: int = POINTS) -> int:
        """How many the page holds of it with at most so many points."""
        return min(most, len(self.mean)) * (3 if self.low else 1)


def curves_of(shown: Sequence[Variant], curves: Mapping[str, Columns]) -> list[Curve]:
    """The curves that the page has room for.

    Args:
        curves: by the names of experiments.
    """
    of_variants = [[c for e in one.group.experiments if (c := curves.get(e.name))] for one in shown]
    columns = _columns([c for some in of_variants for c in some])
    kept: list[Curve] = []
    for column in columns:
        found = [curve for place, some in enumerate(of_variants) if (curve := _curve(place, column, some)) is not None]
        room = NUMBERS - sum(curve.numbers() for curve in kept)
        most = POINTS
        while most > FEWEST and sum(curve.numbers(most) for curve in found) > room:
            most = int(0.8 * most)
        if column == columns[0] or sum(curve.numbers(most) for curve in found) <= room:
            kept += [_thin(curve, most) for curve in found]
    return kept


def curve_data(kept: Sequence[Curve]) -> dict[str, Any]:
    """The curves for the script; those of equal steps name them once."""
    steps: dict[tuple[float, ...], int] = {}
    lines = [
        {
            "variant": curve.variant,
            "column": curve.column,
            "seeds": curve.seeds,
            "steps": steps.setdefault(tuple(curve.steps), len(steps)),
            "mean": curve.mean,
            **({"low": curve.low, "high": curve.high} if curve.low else {}),
            **({"stops": True} if curve.stops else {}),
        }
        for curve in kept
    ]
    return {"columns": list(dict.fromkeys(curve.column for curve in kept)), "steps": list(map(list, steps)), "lines": lines}


def _columns(tables: Sequence[Columns]) -> list[str]:
    there = dict.fromkeys(
        name
        for table in tables
        for name, values in table.items()
        if name not in ASIDE and any(value is not None for value in values)
    )
    return [*(name for name in FIRST if name in there), *(name for name in there if name not in FIRST)]


def _curve(variant: int, column: str, tables: Sequence[Columns]) -> Curve | None:
    """The mean over seeds at the steps that all of them have, as far as all are finite."""
    seeds = [points for table in tables if len((points := _points(table, column))[0])]
    if not seeds:
        return None
    steps = functools.reduce(np.intersect1d, [own for own, _ in seeds])
    values = np.array([found[np.searchsorted(own, steps)] for own, found in seeds])
    broken = np.flatnonzero(~np.isfinite(values).all(axis=0))
    count = int(broken[0]) if len(broken) else len(steps)
    if not count:
        return None
    values, many = values[:, :count], len(seeds) > 1
    return Curve(
        variant,
        column,
        len(seeds),
        steps[:count].tolist(),
        values.mean(axis=0).tolist(),
        values.min(axis=0).tolist() if many else [],
        values.max(axis=0).tolist() if many else [],
        bool(steps[count - 1] < max(own[-1] for own, _ in seeds)),
    )


def _points(table: Columns, column: str) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The steps that have a value, in their order, and the values; infinite ones and NaN are among them."""
    values = table.get(column, ())
    pairs = zip(table.get("step", range(len(values))), values, strict=False)
    given = np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
    steps, first = np.unique(given[:, 0], return_index=True)
    return steps, given[first, 1]


def _thin(curve: Curve, most: int) -> Curve:
    """At most so many points, each of five digits; a spike of the mean is kept."""
    kept = {step for step, _ in thinned(list(zip(curve.steps, curve.mean, strict=True)), most)} | {curve.steps[-1]}
    at = [place for place, step in enumerate(curve.steps) if step in kept]

    def rounded(values: Sequence[float]) -> list[float]:
        return [float(f"{values[place]:.5g}") for place in at] if values else []

    steps: list[float] = [int(step) if step.is_integer() else step for step in curve.steps if step in kept]
    return curve._replace(steps=steps, mean=rounded(curve.mean), low=rounded(curve.low), high=rounded(curve.high))
