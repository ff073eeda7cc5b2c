"""The panels of a study's plot: the curves of its runs, and each measure over the last axis, with the claims as bands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from pipeline.lab.statistics.intervals import Pairing
from pipeline.lab.studies.claims.bounds import Bounds, Exceeds, MatchesPrediction
from pipeline.lab.studies.claims.optima import OptimumMoves
from pipeline.lab.studies.claims.results import Axis, Edge, Label, Results, best_per_seed, flat_part
from pipeline.lab.studies.grid import CURVES, Sweep, cell_titles
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.studies.pictures.plot import Band, Line, Panel, draw_panels

RUNAWAY = 8.0  # a loss that is so many times the lowest one would press the rest flat on a linear axis


def draw_study(
    sweep: Sweep,
    found: Mapping[str, Results],
    records: Mapping[tuple[int, ...], Record],
    title: str,
    captions: Sequence[str],
) -> Figure:
    """The plot of a study: the curves of its runs, and every measure on the grid.

    Args:
        title: the question.
        captions: each claim with its verdict.
    """
    predictions = {claim.predicted for _, claim in sweep.claims if isinstance(claim, MatchesPrediction)}
    panels = [_curves_panel(sweep, name, records) for name in sweep.shows]
    for measure in found:
        if measure not in predictions:
            panels += _measure_panels(sweep, measure, found)
    return draw_panels(panels, title, captions)


def split_panels(whole: Results) -> Iterator[tuple[str, Results]]:
    """(title, results on the last two axes) for every combination of the axes before those; a single axis makes one line."""
    *outer, across = whole.axes
    lines = outer.pop() if outer else Axis("", ("",))
    values = whole.values.reshape(-1, len(lines.labels), *whole.values.shape[-2:])
    for title, part in zip(cell_titles(outer, named=True), values, strict=True):
        yield title, replace(whole, axes=(lines, across), values=part)


# ------------------------------------------------------------------------------------------------------------- the grid


def _measure_panels(sweep: Sweep, measure: str, found: Mapping[str, Results]) -> Iterator[Panel]:
    """A measure over the last axis: a panel for each combination of the axes before the last two."""
    whole, kind = found[measure], MEASURES[measure]
    bounded = any(isinstance(claim, Bounds | Exceeds) for _, claim in sweep.claims)
    minimized = any(claim.minimizes and (claim.measure or sweep.measures[0]) == measure for _, claim in sweep.claims)
    is_bowl = (minimized or not bounded) and not kind.higher_is_better and whole.axes[-1].is_scale() and not whole.logarithmic
    logarithmic = whole.logarithmic or (is_bowl and _runs_away(whole.values))
    for number, (title, panel) in enumerate(split_panels(whole)):
        lines, across = panel.axes
        drawn = list(_lines(panel, (kind.low, kind.high), whole.pairing if is_bowl else None))
        for _, claim in sweep.claims:
            if isinstance(claim, MatchesPrediction) and claim.measure == measure:
                predicted = list(split_panels(found[claim.predicted]))[number][1]
                drawn += _predictions(list(_lines(predicted, (kind.low, kind.high))))
                break
        yield Panel(
            title,
            tuple(drawn),
            across.name,
            kind.quantity,
            lines.name,
            "knob" if across.is_scale() else "categories",
            logarithmic,
            tuple(_bands(sweep, measure, lines, across)),
            (kind.low, kind.high),
            moves=any(isinstance(claim, OptimumMoves) for _, claim in sweep.claims),
        )


def _runs_away(values: np.ndarray) -> bool:
    """Whether a loss above its floor spans so much that a linear axis would show its largest values alone."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() > RUNAWAY * finite.min())


def _lines(panel: Results, possible: tuple[float, float], bowl: Pairing | None = None) -> Iterator[Line]:
    """The lines of a panel.

    Args:
        bowl: they have a lowest place; how seeds are compared to tell others from it.
    """
    lines, across = panel.axes
    places = cell_titles([across]) if not across.is_scale() else across.labels
    for values, label in zip(panel.values, cell_titles([lines]), strict=True):
        best = best_per_seed(across.scale(), values) if bowl else Edge("below")
        optimum = None if isinstance(best, Edge) else 2 ** float(best.mean())
        spread = [_possible(panel.interval(seeds), possible) for seeds in values]
        flat = tuple(flat_part(panel, values, bowl)) if bowl and panel.seeds > 1 else ()
        yield Line(label, places, spread, optimum, values.tolist(), flat=flat)


def _predictions(lines: Sequence[Line]) -> list[Line]:
    """A prediction for each line, or one for all where it is the same."""
    if len({repr(line.spread) for line in lines}) == 1:
        return [Line("predicted", lines[0].places, lines[0].spread, predicted=True)]
    return [Line(f"predicted, {line.name}", line.places, line.spread, predicted=True) for line in lines]


def _possible(spread: tuple[float, float, float], possible: tuple[float, float]) -> tuple[float, float, float]:
    """An interval without what the measure cannot be."""
    low, mean, high = spread
    return max(low, possible[0]), mean, min(high, possible[1]) if math.isfinite(mean) else high


def _bands(sweep: Sweep, measure: str, lines: Axis, across: Axis) -> Iterator[Band]:
    """The bounds of the claims about a measure, and the places where they apply."""
    for _, claim in sweep.claims:
        if isinstance(claim, Bounds) and (claim.measure or sweep.measures[0]) == measure:
            where = claim.where.get(across.name, list(across.labels))
            chosen = where if isinstance(where, list) else [where]
            line = lines.labels.index(claim.where[lines.name]) if isinstance(claim.where.get(lines.name, []), Label) else None
            yield Band(*claim.bounds(), tuple(across.labels.index(label) for label in chosen), claim.control, line)


# ------------------------------------------------------------------------------------------------------------ the curves


def _curves_panel(sweep: Sweep, name: str, records: Mapping[tuple[int, ...], Record]) -> Panel:
    """The curve of every run, from its start to its end, in the colour of its cell.

    Each seed is drawn for itself: of curves that jump at different steps the mean is a slope that no run has.
    """
    lines, over = [], "step"
    for place, title in zip(product(*(range(size) for size in sweep.shape[:-1])), cell_titles(sweep.axes), strict=True):
        curves = [curve_of(records[(*place, seed)], name) for seed in range(len(sweep.seeds))]
        over, length = curves[0][0], min(len(x) for _, x, _ in curves)
        if length:
            values = np.array([y[:length] for _, _, y in curves], dtype=np.float64)
            lines.append(
                Line(
                    title, curves[0][1][:length], [(mean, mean, mean) for mean in values.mean(axis=0)], seeds=values.T.tolist()
                )
            )
    logarithmic = (name in MEASURES and MEASURES[name].logarithmic) or name in ("gradient", "signal")
    kind = ", ".join(axis.name for axis in sweep.axes)
    quantity = MEASURES[name].quantity if name in MEASURES else f"{name}, relative"
    return Panel("", tuple(lines), over, quantity, kind, "run", logarithmic)


def curve_of(record: Record, name: str) -> tuple[str, list[float], list[float]]:
    """(name of the x axis, x, y) of a curve of a run."""
    if name in CURVES:
        split, _, column = name.partition("_")
        rows = record.curve if split == "train" else record.validations
        return "step", [row["step"] for row in rows], [row[column] for row in rows]
    line = record.lines.get(name, {"over": "step", "x": [], "y": []})
    return line["over"], line["x"], line["y"]
