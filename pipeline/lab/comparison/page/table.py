"""The table of variants: its columns, and its cells as text and as what they are sorted by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.figures.words import formatted, knob_text
from pipeline.lab.comparison.page.variants import Variant, short_names, spread_text
from pipeline.lab.statistics.intervals import Interval

OTHERS = 4  # further scores that have a column
WHOLE = 0.9  # the share of variants that the drawing of scores has room for


class Column(NamedTuple):
    """A column; `order` says in which direction the table is sorted by it as it is written."""

    title: str
    hint: str
    number: bool
    order: str = "none"


class Cell(NamedTuple):
    """A cell.

    Attributes:
        by: what it is sorted by; "" comes last.
        strip: places in percent of low, mean and high on the drawing; None without one.
    """

    text: str
    by: str
    strip: tuple[float, float, float] | None = None


class Line(NamedTuple):
    """A row of the table."""

    variant: Variant
    compared: bool
    cells: list[Cell]


class Table(NamedTuple):
    """The table of variants, the best first."""

    columns: list[Column]
    lines: list[Line]


def table(shown: Sequence[Variant], compared: Sequence[Variant], metric: str, minimizes: bool, knobs: Sequence[str]) -> Table:
    """The table; knobs and scores that no variant has are not columns of it.

    Args:
        compared: those that the comparison is about.
    """
    names = short_names(knobs)
    numeric = {knob: all(isinstance(one.group.knobs.get(knob), int | float | None) for one in shown) for knob in knobs}
    others = _others(shown, metric)
    has_findings, has_states = any(one.findings for one in shown), any(one.state for one in shown)
    columns = [
        Column("variant", "", False),
        Column(metric, "mean over seeds and its 95 % interval", True, "ascending" if minimizes else "descending"),
        Column("seeds", "seeds that have a result", True),
        *(Column(names[knob], knob, numeric[knob]) for knob in knobs),
        *(Column(other, "mean over seeds", True) for other in others),
        *([Column("doctor", "what the doctor found", False)] if has_findings else []),
        *([Column("state", "where not all experiments are done", False)] if has_states else []),
    ]
    ends, keys = _ends(shown), {id(one.group) for one in compared}
    lines = []
    for one in shown:
        cells = [
            _score(one, ends),
            Cell(f"{one.seeds}", f"{one.seeds}"),
            *(_knob(one, knob) for knob in knobs),
            *(_mean(one, other) for other in others),
            *([Cell(one.findings, one.findings)] if has_findings else []),
            *([Cell(one.state, one.state)] if has_states else []),
        ]
        lines.append(Line(one, id(one.group) in keys, cells))
    return Table(columns, lines)


def _others(shown: Sequence[Variant], metric: str) -> list[str]:
    counts = Counter(name for one in shown for experiment in one.group.experiments for name in experiment.scores)
    return [name for name, _ in counts.most_common() if name != metric][:OTHERS]


def _ends(shown: Sequence[Variant]) -> tuple[float, float] | None:
    """The ends of the drawing, without the worst variants, beside which all others would be one dot."""
    means = [one.mean for one in shown if one.mean is not None]
    if not means:
        return None
    kept = means[: max(2, math.ceil(WHOLE * len(means)))]  # the best first
    low, high = min(kept), max(kept)
    room = 0.08 * (high - low) or 0.05 * abs(low) or 1.0
    return low - room, high + room


def _score(one: Variant, ends: tuple[float, float] | None) -> Cell:
    if one.diverged:
        return Cell("diverged" if one.diverged == one.seeds else f"{one.diverged} of {one.seeds} diverged", "Infinity")
    if one.spread is None or one.mean is None:
        return Cell("–", "")
    return Cell(spread_text(one.spread), repr(one.mean), _strip(one.spread, ends) if ends else None)


def _strip(spread: Interval, ends: tuple[float, float]) -> tuple[float, float, float]:
    low, high = ends
    reach = spread if math.isfinite(spread.low) else Interval(spread.mean, spread.mean, spread.mean)
    found = [100 * min(1.0, max(0.0, (value - low) / (high - low))) for value in reach]
    return found[0], found[1], found[2]


def _knob(one: Variant, knob: str) -> Cell:
    value = one.group.knobs.get(knob)
    text = knob_text(value)
    return Cell(text, "" if value is None else repr(float(value)) if isinstance(value, int | float) else text)


def _mean(one: Variant, metric: str) -> Cell:
    values = one.group.array(metric)
    if not len(values):
        return Cell("–", "")
    mean = float(np.mean(values)) if np.isfinite(values).all() else math.inf
    return Cell(formatted(mean, 4), repr(mean) if math.isfinite(mean) else "Infinity")
