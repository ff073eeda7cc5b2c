"""The run on one page: a single HTML file that asks nothing of any network and reads well without its script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LogNorm

from pipeline.figures import charts, classes, clouds, doctor, pixels
from pipeline.figures.charts import Chart, Line
from pipeline.figures.forms import scale
from pipeline.figures.headline import headline
from pipeline.figures.questions import by_question
from pipeline.figures.run import Run, Score
from pipeline.figures.samples import inline, read_samples
from pipeline.figures.style import MANY, colors, heat, said, shown, spread, ticks
from pipeline.readings import Axis, Reading

HERE = Path(__file__).parent
POINTS = 600  # of a line on the page: more than its pixels would only make the file large
CELLS = 600_000  # numbers of colour maps that the page carries for pointing at; beyond, it carries the images alone
LABEL = 0.062  # height of a label beside a line, as a share of the chart

Knobs = Mapping[str, Mapping[str, Any]]
"""{section: {knob: value}}."""


def page(run: Run, knobs: Knobs) -> str:
    """The whole page. Everything that comes from a run is escaped, and only the page's own script is allowed to run."""
    environment = templates(HERE)
    environment.filters.update(
        said=said, shown=shown, inline=inline, knob=_knob, percent=classes.percent, between=classes.between
    )
    script = (HERE / "report.js").read_text(encoding="utf-8")
    told = [classes.accuracy(run)] if run.classes else []
    curves = [charts.loss(run), *told, charts.learning_rate(run), charts.gradient_norm(run), *charts.dials(run)]
    return environment.get_template("report.html.jinja").render(
        headline=headline(run, knobs),
        diagnosis=_diagnosis(run.diagnosis, {reading.name for reading in run.readings}),
        knobs=knobs,
        curves=[chart_view(chart) for chart in curves if any(line.x for line in chart.lines)],
        splits=[(split, _bars(run, split)) for split in ("test", "validation") if run.ranking(split)],
        scores=run.scores,
        samples=[] if run.classes else read_samples(run.samples),
        classes=_classes(run) if run.classes else None,
        questions=_questions(run.readings),
        gradient=gradient(),
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=allowed(script),
    )


def templates(folder: Path) -> jinja2.Environment:
    """The templates of a folder: what they are given is escaped, and what they lack is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def allowed(script: str) -> str:
    """The hash by which a page's policy lets this script run, and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def gradient() -> str:
    """The colours of the maps as the stops of a gradient in CSS."""
    return ", ".join(_hex(share / 10) for share in range(11))


# ---------------------------------------------------------------------------------------------------------------- lines


def chart_view(chart: Chart) -> dict[str, Any]:
    """A chart with its geometry: places are shares of the plot in percent, so that it stretches with the page."""
    across, up = chart.x_limits(), chart.y_limits()
    light, dark = (colors(len(chart.lines), chart.ordered, night) for night in (False, True))
    lines = [
        {**_line_view(chart, line), "light": day, "dark": night}
        for line, day, night in zip(chart.lines, light, dark, strict=True)
    ]
    levels = [{"name": name, "value": value, "top": 100 * (1 - up.share(value))} for name, value in _levels(chart)]
    named = [line for line in lines if line["top"] is not None] if len(lines) + len(levels) > 1 else []
    labels = sorted([*named, *levels], key=lambda label: float(label["top"]))  # of equals the earlier line first
    labels = labels[:: -(-len(labels) // MANY)] if labels else []
    spots = spread([label["top"] for label in labels], 100 * LABEL, 0, 100)
    return {
        "chart": chart,
        "lines": lines,
        "levels": levels,
        "labels": [{**label, "top": spot} for label, spot in zip(labels, spots, strict=True)],
        "x_ticks": [
            (100 * across.share(place), shown(chart.words[int(place)]) if chart.words else said(place))
            for place in chart.x_ticks(5 if not chart.words else 12)
        ],
        "y_ticks": [(100 * (1 - up.share(tick)), said(tick)) for tick in ticks(up.low, up.high, up.logarithmic)],
        "data": {
            "x": [across.low, across.high],
            "y": [up.low, up.high],
            "logarithmic": up.logarithmic,
            "name": chart.x,
            "words": [shown(word) for word in chart.words],
            "lines": [{"name": line["name"], "points": line["points"]} for line in lines],
        },
    }


def _lines_view(reading: Reading) -> dict[str, Any]:
    return {"name": reading.name, **chart_view(charts.of_reading(reading))}


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
    """Points of a line, of very many the least and the greatest of each stretch: a spike is never lost."""
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
        "cells": [pixels.text(map_) for line in places for map_ in line],
    }


def _axis(axis: Axis) -> dict[str, Any]:
    words = any(isinstance(tick, str) for tick in axis.ticks)
    return {
        "name": axis.name,
        "words": words,
        "ticks": [shown(tick) if isinstance(tick, str) else said(float(tick), 6) for tick in axis.ticks],
    }


def _questions(readings: Sequence[Reading]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(what is asked, the readings that answer it, each as it is drawn)."""
    asked = [
        (question, [{"name": reading.name, "form": reading.form, **_view(reading)} for reading in some])
        for question, some in by_question(readings)
    ]
    _within_budget([view for _, views in asked for view in views if view["form"] in ("heat", "maps")])
    return asked


def _view(reading: Reading) -> dict[str, Any]:
    if reading.form == "points":
        return clouds.view(reading)
    return chart_view(charts.of_reading(reading)) if reading.form == "lines" else grid_view(reading)


def _within_budget(grids: list[dict[str, Any]]) -> None:
    """Numbers to point at for as many maps as there is room for, the small ones first."""
    room = CELLS
    for grid in sorted(grids, key=lambda grid: int(grid["size"])):
        room -= grid["size"]
        grid["cells"] = grid["cells"] if room >= 0 else None


def _diagnosis(told: Mapping[str, Any], readings: set[str]) -> dict[str, Any]:
    """What the doctor says, with the place of each sign on its strip, and the signs of each finding beside it."""
    signs = [
        {
            **sign,
            "title": doctor.words(sign["name"]),
            "left": 100 * doctor.place(sign),
            "healthy": doctor.healthy(sign),
            "anchor": f"reading-{sign['picture']}" if sign["picture"] in readings else "curves",
        }
        for sign in told["signs"]
    ]
    by_name = {sign["name"]: sign for sign in signs}
    explained: set[str] = set()
    findings = [
        {
            **finding,
            "causes": _causes(finding["causes"], explained),
            "title": doctor.words(finding["name"]),
            "signs": [by_name[n] for n in finding["evidence"] if n in by_name],
        }
        for finding in told["findings"]
    ]
    return {"finding": doctor.words(told["finding"]), "healthy": not findings, "findings": findings, "signs": signs}


def _causes(named: Sequence[Mapping[str, Any]], explained: set[str]) -> list[dict[str, Any]]:
    """Causes of a finding; those that were explained under an earlier one are only named."""
    told = [{**cause, "title": doctor.words(cause["name"]), "explained": cause["name"] in explained} for cause in named]
    explained.update(cause["name"] for cause in named)
    return told


def _knob(value: Any) -> str:
    """A value as it stands in params.yaml."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_knob, value))
    return said(value, 6) if isinstance(value, float) else str(value)


def _bars(run: Run, split: str) -> list[dict[str, Any]]:
    """Whoever was scored on a split, the best first: name, figure, and the length of its bar in percent."""
    rows = run.ranking(split)
    if run.classes:
        return [_bar_of_classes(run.score(name, split), share) for name, share in rows]
    most = max(bits for _, bits in rows)
    return [{"name": name, "figure": f"{bits:.3f}", "width": 100 * bits / most, "room": 0, "wide": 0} for name, bits in rows]


def _bar_of_classes(row: Score | None, share: float) -> dict[str, Any]:
    """A bar of accuracy, with its 95 % interval."""
    assert row is not None, "what is ranked has a score"
    bar = {"name": row.name, "figure": classes.percent(share), "width": 100 * share, "room": 0, "wide": 0}
    if row.accuracy_low is None or row.accuracy_high is None or not share:
        return bar
    # The interval hangs on the bar: its ends are shares of the bar's own length, and beyond its end it wants room.
    ends = {"left": row.accuracy_low / share, "wide": (row.accuracy_high - row.accuracy_low) / share}
    return {**bar, **{name: 100 * end for name, end in ends.items()}, "room": 100 * (row.accuracy_high - share)}


def _classes(run: Run) -> dict[str, Any]:
    """What the page has of a classifier alone: reliability, confusions, classes, the worst mistakes."""
    counts, sure = classes.confusion(run), classes.reliability(run)
    return {
        "names": run.classes,
        "split": classes.SPLIT,
        "reliability": None if sure is None else chart_view(sure),
        "confusion": None if counts is None or len(counts) > classes.TOLD else _confusion(counts),
        "map": None if counts is None or len(counts) <= classes.TOLD else grid_view(_as_reading(counts, run.classes)),
        "rows": classes.per_class(run),
        "mistakes": [
            (one, None if one.pixels is None else pixels.picture_uri(classes.visible(one.pixels)))
            for one in classes.mistakes(run)
        ],
        "looked_at": run.mistakes.get("split", "validation"),
    }


def _confusion(counts: npt.NDArray[np.int64]) -> list[list[tuple[int, float]]]:
    """(examples, their share of the true class in percent) of each cell."""
    shares = 100 * classes.shares(counts)
    return [
        [(int(count), float(share)) for count, share in zip(*line, strict=True)] for line in zip(counts, shares, strict=True)
    ]


def _as_reading(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Reading:
    """Of many classes the confusions are a map: its numbers are read by pointing."""
    axes = (Axis("true class", names), Axis("taken for", names))
    says = "The share of each true class by what it was taken for. Healthy: the diagonal alone."
    values = classes.shares(counts).round(4).tolist()
    return Reading("confusions", "heat", "share of the true class", says, axes, values, span=(0, 1))


def _hex(share: float) -> str:
    return "#" + "".join(f"{int(255 * part + 0.5):02x}" for part in heat()(share)[:3])
