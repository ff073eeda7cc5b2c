"""The panels of a study's plot: the curves of its runs, and each measure over the last axis, with the claims as bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from pipeline.lab.studies.claims.base import Verdict
from pipeline.lab.studies.claims.bounds import Bounds, Exceeds, MatchesPrediction
from pipeline.lab.studies.claims.intervals import interval
from pipeline.lab.studies.claims.results import Axis, Edge, Results, best_per_seed
from pipeline.lab.studies.grid import CURVES, Sweep, cell_titles
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.studies.pictures.plot import Band, Line, Panel, draw_panels


def draw_study(
    sweep: Sweep,
    found: Mapping[str, Results],
    records: Mapping[tuple[int, ...], Record],
    verdicts: Sequence[tuple[str, Verdict]],
) -> Figure:
    """The plot of a study: the curves of its runs, every measure on the grid, and the verdicts."""
    sentences = [f"{verdict.status.value.capitalize()}: {verdict.sentence}." for _, verdict in verdicts]
    predictions = {claim.predicted for _, claim in sweep.claims if isinstance(claim, MatchesPrediction)}
    panels = [_curves_panel(sweep, name, records) for name in sweep.shows]
    for measure in found:
        if measure not in predictions:
            panels += _measure_panels(sweep, measure, found)
    return draw_panels(panels, " ".join(sentences))


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
    for number, (title, panel) in enumerate(split_panels(found[measure])):
        lines, across = panel.axes
        bounded = any(isinstance(claim, Bounds | Exceeds) for _, claim in sweep.claims)
        drawn = list(_lines(panel, bests=not bounded and not MEASURES[measure].higher_is_better))
        for _, claim in sweep.claims:
            if isinstance(claim, MatchesPrediction) and claim.measure == measure:
                predicted = list(split_panels(found[claim.predicted]))[number][1]
                [line, *_] = _lines(predicted, bests=False)
                drawn.append(Line("predicted", line.places, line.spread, predicted=True))
                break
        yield Panel(
            title,
            tuple(drawn),
            across.name,
            MEASURES[measure].quantity,
            lines.name,
            "knob" if across.is_scale() else "categories",
            panel.logarithmic,
            tuple(_bands(sweep, measure, across)),
        )


def _lines(panel: Results, *, bests: bool) -> Iterator[Line]:
    lines, across = panel.axes
    for values, label in zip(panel.values, cell_titles([lines]), strict=True):
        is_bowl = bests and across.is_scale() and not panel.logarithmic
        best = best_per_seed(across.scale(), values) if is_bowl else Edge("below")
        optimum = None if isinstance(best, Edge) else 2 ** float(best.mean())
        spread = [panel.interval(seeds) for seeds in values]
        yield Line(label, cell_titles([across]) if not across.is_scale() else across.labels, spread, optimum, values.tolist())


def _bands(sweep: Sweep, measure: str, across: Axis) -> Iterator[Band]:
    """The bounds of the claims about a measure, and the places where they apply."""
    for _, claim in sweep.claims:
        if isinstance(claim, Bounds) and (claim.measure or sweep.measures[0]) == measure:
            where = claim.where.get(across.name, list(across.labels))
            chosen = where if isinstance(where, list) else [where]
            yield Band(*claim.bounds(), tuple(across.labels.index(label) for label in chosen), claim.control)


# ------------------------------------------------------------------------------------------------------------ the curves


def _curves_panel(sweep: Sweep, name: str, records: Mapping[tuple[int, ...], Record]) -> Panel:
    """A line for every cell of the grid: its mean over seeds, from the start of the runs to their end."""
    lines, over = [], "step"
    for place, title in zip(product(*(range(size) for size in sweep.shape[:-1])), cell_titles(sweep.axes), strict=True):
        curves = [curve_of(records[(*place, seed)], name) for seed in range(len(sweep.seeds))]
        over, length = curves[0][0], min(len(x) for _, x, _ in curves)
        values = np.array([y[:length] for _, _, y in curves], dtype=np.float64)
        if length:
            lines.append(Line(title, curves[0][1][:length], [interval(seeds) for seeds in values.T]))
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
