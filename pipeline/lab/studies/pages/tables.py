"""Tables of a study: the mean over seeds and its confidence interval, with the measure in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from pipeline.figures.words import formatted
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.grid import cell_titles
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.pictures.panels import split_panels

SKEWED = 0.05  # from which share of its length on an interval is written with both ends, for it is not the mean ± a number


class Cell(NamedTuple):
    """A cell, and whether it is the best of its column along a scale of numbers."""

    text: str
    best: bool


class StudyTable(NamedTuple):
    """A measure on a panel of the grid: a row for each place of the last axis, a column for each line.

    Attributes:
        title: the place of the panel on the axes before the last two.
        quantity, measure: what is measured, in words and as the studies name it.
        level: of the intervals.
        across: the name of the last axis.
        rows: (label, cells).
    """

    title: str
    quantity: str
    measure: str
    seeds_text: str
    level: str
    across: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


def tables(found: Mapping[str, Results], *, means: bool = False) -> Iterator[StudyTable]:
    """Every measure of a study on every panel of its grid.

    Args:
        means: without intervals.
    """
    for measure, whole in found.items():
        for title, panel in split_panels(whole):
            yield table(title, panel, measure, means=means)


def table(title: str, panel: Results, measure: str, *, means: bool = False) -> StudyTable:
    """A measure on one panel; along a scale of numbers the best mean of each line is marked."""
    lines, across = panel.axes
    centres, of_cell = panel.values.mean(axis=-1), mean_cell if means else cell
    best = (
        np.where(np.isfinite(centres), centres, -np.inf).argmax(axis=1)
        if MEASURES[measure].higher_is_better
        else centres.argmin(axis=1)
    )
    marked = across.is_scale() and not panel.logarithmic and np.isfinite(centres).any()
    rows = []
    for at, label in enumerate(cell_titles([across])):
        texts = [of_cell(panel, panel.values[line, at], MEASURES[measure].if_missing) for line in range(len(lines.labels))]
        rows.append((label, [Cell(text, bool(marked and best[line] == at)) for line, text in enumerate(texts)]))
    level = f"{100 * (1 - panel.basis.alpha):.4g} % CI"
    columns = [f"{lines.name} {label}".strip() or "mean over seeds" for label in cell_titles([lines])]
    return StudyTable(title, MEASURES[measure].quantity, measure, panel.seeds_text, level, across.name, columns, rows)


def cell(panel: Results, values: np.ndarray, if_missing: str = "diverged") -> str:
    """2.5310 ± 0.0012; where the interval is not symmetrical 15,600 (9,200 to 26,000); or what runs without a number did."""
    if missing := int((~np.isfinite(values)).sum()):
        return f"{missing} of {len(values)} {if_missing}"
    if len(values) == 1:
        return mean_cell(panel, values, if_missing)
    low, mean, high = panel.interval(values)
    if abs((high - mean) - (mean - low)) > SKEWED * (high - low):
        return f"{formatted(mean)} ({formatted(low)} to {formatted(high)})"
    if not (half := (high - low) / 2):  # a number that the seeds do not change, such as a prediction
        return formatted(mean, 4)
    digits = 1 - math.floor(math.log10(half))
    if not 0 <= digits <= 6:
        return f"{formatted(mean, 4)} ± {formatted(half, 2)}"
    return f"{mean:,.{digits}f} ± {half:.{digits}f}"


def mean_cell(panel: Results, values: np.ndarray, if_missing: str = "diverged") -> str:
    """The mean alone: 2.531."""
    if missing := int((~np.isfinite(values)).sum()):
        return f"{missing} of {len(values)} {if_missing}"
    return formatted(panel.interval(values).mean, 4)
