"""Charts of lines and grids of colour maps for the report: positions in percent, images, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.colors import LogNorm

from pipeline.figures import charts
from pipeline.figures import heatmap_png as pixels
from pipeline.figures.charts import Chart, Line
from pipeline.figures.forms import scale
from pipeline.figures.style import MANY, colors, spread, ticks
from pipeline.figures.words import formatted, shown
from pipeline.readings import Axis, Reading

POINTS = 600  # of a line: more than it has pixels would only make the file large
LABEL = 0.062  # height of the label of a line, as a share of the chart


# ---------------------------------------------------------------------------------------------------------------- lines


def chart_view(chart: Chart) -> dict[str, Any]:
    """A chart with its geometry: positions are in percent of the plot, so that it stretches with the page."""
    across, up = chart.x_limits(), chart.y_limits()
    light, dark = (colors(len(chart.lines), chart.ordered, night) for night in (False, True))
    lines = [
        {**_line_view(chart, line), "light": day, "dark": night}
        for line, day, night in zip(chart.lines, light, dark, strict=True)
    ]
    levels = [{"name": name, "value": value, "top": 100 * (1 - up.share(value))} for name, value in _levels(chart)]
    named = [line for line in lines if line["top"] is not None] if len(lines) + len(levels) > 1 else []
    labels = sorted([*named, *levels], key=lambda label: float(label["top"]))  # at equal heights the earlier line first
    labels = labels[:: -(-len(labels) // MANY)] if labels else []
    spots = spread([label["top"] for label in labels], 100 * LABEL, 0, 100)
    return {
        "chart": chart,
        "lines": lines,
        "levels": levels,
        "labels": [{**label, "top": spot} for label, spot in zip(labels, spots, strict=True)],
        "x_ticks": [
            (100 * across.share(place), shown(chart.words[int(place)]) if chart.words else formatted(place))
            for place in chart.x_ticks(5 if not chart.words else 12)
        ],
        "y_ticks": [(100 * (1 - up.share(tick)), formatted(tick)) for tick in ticks(up.low, up.high, up.logarithmic)],
        "data": {
            "x": [across.low, across.high],
            "y": [up.low, up.high],
            "logarithmic": up.logarithmic,
            "name": chart.x,
            "words": [shown(word) for word in chart.words],
            "lines": [{"name": line["name"], "points": line["points"]} for line in lines],
        },
    }


def _levels(chart: Chart) -> list[tuple[str, float]]:
    return [(name, value) for name, value in chart.levels if value > 0 or not chart.y_limits().logarithmic]


def _line_view(chart: Chart, line: Line) -> dict[str, Any]:
    across, up = chart.x_limits(), chart.y_limits()
    pieces = [thinned(piece) for piece in chart.pieces(line)]
    places = [[(100 * across.share(x), 100 * (1 - up.share(y))) for x, y in piece] for piece in pieces]
    points = [point for piece in pieces for point in piece]
    return {
        "name": shown(line.name),
        "points": [(x, float(f"{y:.5g}")) for x, y in points],
        "path": " ".join("M" + "L".join(f"{10 * x:.1f} {10 * y:.1f}" for x, y in piece) for piece in places),
        "dots": [dot for piece in places for dot in piece] if len(points) <= 40 else [],
        "top": places[-1][-1][1] if places else None,
    }


def thinned(points: Sequence[tuple[float, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """The points of a line; of very many the least and the greatest of each stretch, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    size = -(-2 * len(points) // most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        kept.extend(sorted({min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}))
    return kept


# ---------------------------------------------------------------------------------------------------------- colour maps


def grid_view(reading: Reading) -> dict[str, Any]:
    """A reading of form "maps" or "heat" (a grid of one map), as images and as the numbers behind them."""
    one = Axis("", [""])
    rows, columns, down, across = reading.axes if reading.form == "maps" else (one, one, *reading.axes)
    values = reading.values if reading.form == "maps" else [[reading.values]]
    norm = scale(reading.values, reading.logarithmic, reading.span)
    places = [
        [pixels.cells(values[row][column], norm) for column in range(len(columns.ticks))] for row in range(len(rows.ticks))
    ]
    return {
        "reading": reading,
        "title": charts.title_of(reading.name),
        "images": [[pixels.data_uri(map_) for map_ in line] for line in places],
        "rows": _axis(rows),
        "columns": _axis(columns),
        "down": _axis(down),
        "across": _axis(across),
        "low": float(norm.vmin or 0.0),
        "high": float(norm.vmax or 0.0),
        "logarithmic": isinstance(norm, LogNorm),
        "size": sum(map_.size for line in places for map_ in line),
        "cells": [pixels.base64_text(map_) for line in places for map_ in line],
    }


def _axis(axis: Axis) -> dict[str, Any]:
    words = any(isinstance(tick, str) for tick in axis.ticks)
    return {
        "name": axis.name,
        "words": words,
        "ticks": [shown(tick) if isinstance(tick, str) else formatted(float(tick), 6) for tick in axis.ticks],
    }
