"""Pictures of readings by form: lines, one colour map, a grid of colour maps, points."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullLocator

from pipeline.figures import charts
from pipeline.figures.charts import Chart
from pipeline.figures.scatter import clouds
from pipeline.figures.style import INK, MANY, QUIET, colors, heat, spread, styled, ticks
from pipeline.figures.words import formatted, short, shown
from pipeline.readings import Axis, Reading

LABEL = 0.052  # height of the label of a line, as a share of the axes


def draw(reading: Reading) -> Figure:
    """A reading drawn by its form, with its description below."""
    return FORMS[reading.form](reading)


# ---------------------------------------------------------------------------------------------------------------- lines


def lines(reading: Reading) -> Figure:
    return chart(charts.of_reading(reading))


def chart(*panels: Chart) -> Figure:
    """Charts of lines, one below the other."""
    with styled():
        figure = Figure(figsize=(9, 5.2 if len(panels) == 1 else 3.9 * len(panels)), layout="constrained")
        for axes, panel in zip(np.atleast_1d(figure.subplots(len(panels), 1)), panels, strict=True):
            _draw_chart(axes, panel)
        if len(panels) == 1:
            add_caption(figure, panels[0].description)
        return figure


def panels(charts: Sequence[Chart], columns: int) -> Figure:
    """Many charts of lines, row by row."""
    rows = math.ceil(len(charts) / columns)
    with styled():
        figure = Figure(figsize=(8 * columns, 5 * rows), layout="constrained")
        every = np.ravel(figure.subplots(rows, columns, squeeze=False))
        for axes, panel in zip(every, charts, strict=False):
            _draw_chart(axes, panel)
        for axes in every[len(charts) :]:
            axes.set_axis_off()
        return figure


def _draw_chart(axes: Axes, panel: Chart) -> None:
    across, up = panel.x_limits(), panel.y_limits()
    axes.set(title=panel.title, xlabel=short(panel.x, 60), ylabel=short(panel.y, 40))
    if up.logarithmic:
        axes.set_yscale("log")
    axes.set_xlim(across.low, across.high)
    axes.set_ylim(up.low, up.high)
    _label_axes(axes, panel)
    labels: list[tuple[float, str, str]] = [
        (up.share(level), name, QUIET) for name, level in panel.levels if level > 0 or not up.logarithmic
    ]
    for _, level in panel.levels:
        axes.axhline(level, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
    for line, color in zip(panel.lines, colors(len(panel.lines), panel.ordered), strict=True):
        pieces = list(panel.pieces(line))
        for piece in pieces:
            sparse = len(piece) <= 40  # the points are worth seeing, and a single one makes no line
            axes.plot(*zip(*piece, strict=True), color=color, marker="o" if sparse else "", markersize=4.5)
        if pieces and len(panel.lines) + len(panel.levels) > 1:
            labels.append((up.share(pieces[-1][-1][1]), line.name, color))
    _label_lines(axes, labels)


def _label_axes(axes: Axes, panel: Chart) -> None:
    up = panel.y_limits()
    axes.set_yticks(ticks(up.low, up.high, up.logarithmic))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
    places = panel.x_ticks(8)
    if panel.words:
        axes.set_xticks(places, [short(shown(panel.words[int(place)])) for place in places])
    else:
        axes.set_xticks(places)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))


def _label_lines(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Names at the right end of the lines, moved apart where they would overlap; of very many only some."""
    labels = sorted(labels)
    labels = labels[:: math.ceil(len(labels) / MANY)] if labels else []
    for spot, (_, name, color) in zip(spread([at for at, _, _ in labels], LABEL, 0.0, 1.0), labels, strict=True):
        axes.annotate(
            short(name),
            xy=(1.015, spot),
            xycoords="axes fraction",
            color=color,
            va="center",
            fontsize=12,
            annotation_clip=False,
        )


# ---------------------------------------------------------------------------------------------------------- colour maps


def heatmap(reading: Reading) -> Figure:
    """One colour map over the whole picture."""
    down, across = reading.axes
    with styled(grid=False):
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        axes = figure.subplots()
        norm = scale(reading.values, reading.logarithmic, reading.span)
        axes.pcolormesh(_array(reading.values), cmap=heat(), norm=norm, rasterized=True)
        axes.set(title=charts.title_of(reading.name), xlabel=short(across.name, 60), ylabel=short(down.name, 40))
        axes.set_facecolor("#EEEEEE")
        axes.set_xticks(*_some(across, 12, 0.5))
        axes.set_yticks(*_some(down, 14, 0.5))
        axes.invert_yaxis()  # blocks, heads and tokens from top to bottom
        _color_bar(figure, axes, norm, reading.quantity)
        add_caption(figure, reading.says)
        return figure


def maps(reading: Reading) -> Figure:
    """Small colour maps in a grid, all on one scale."""
    row, column, down, across = reading.axes
    rows, columns = len(row.ticks), len(column.ticks)
    side = min(2.3, 13 / columns, 26 / rows)
    with styled(grid=False):
        figure = Figure(figsize=(max(6.0, side * columns + 1.6), side * rows + 1.7), layout="constrained")
        figure.suptitle(charts.title_of(reading.name), x=0.01, ha="left", fontsize=16, fontweight="bold")
        panels = figure.subplots(rows, columns, squeeze=False)
        norm = scale(reading.values, reading.logarithmic, reading.span)
        for y, line in enumerate(panels):
            for x, axes in enumerate(line):
                axes.imshow(_array(reading.values[y][x]), cmap=heat(), norm=norm, interpolation="nearest", aspect="auto")
                axes.set(xticks=[], yticks=[], facecolor="#EEEEEE")
                for spine in axes.spines.values():
                    spine.set_visible(False)
                if y == 0:
                    axes.set_title(
                        short(f"{column.name} {_tick(column.ticks[x])}"), fontsize=12, fontweight="normal", loc="center", pad=5
                    )
                if x == 0:
                    axes.set_ylabel(short(f"{row.name} {_tick(row.ticks[y])}"), fontsize=12, color=INK)
        _some_words(panels[-1][0], down, across, side)
        _color_bar(figure, list(panels.ravel()), norm, reading.quantity)
        add_caption(figure, f"In each map: {down.name} from top to bottom, {across.name} from left to right. {reading.says}")
        return figure


def _some_words(axes: Axes, down: Axis, across: Axis, side: float) -> None:
    """The ticks of a small map, where they are few enough to be read."""
    if max(len(down.ticks), len(across.ticks)) * 0.11 <= side:
        words = [_tick(tick) for tick in across.ticks]
        overlapping = max(map(len, words)) * 0.09 > side / len(words)  # inches
        axes.set_xticks(range(len(words)), words, fontsize=8, rotation=90 if overlapping else 0)
        axes.set_yticks(range(len(down.ticks)), [_tick(tick) for tick in down.ticks], fontsize=8)


# --------------------------------------------------------------------------------------------------------------- points


def points(reading: Reading) -> Figure:
    """A scatter plot, with the name of each series at its median."""
    found = clouds(reading)
    across, up = (str(tick) for tick in reading.axes[2].ticks)
    with styled():
        figure = Figure(figsize=(9, 7), layout="constrained")
        axes = figure.subplots()
        axes.set(title=charts.title_of(reading.name), xlabel=short(across, 60), ylabel=short(up, 60))
        axes.set(xticks=[], yticks=[])  # coordinates have no meaning, only distances
        for cloud, color in zip(found, colors(len(found)), strict=True):
            if cloud.points:
                x, y = zip(*cloud.points, strict=True)
                axes.scatter(x, y, s=22, color=color, alpha=0.7, linewidths=0)
        for cloud, color in zip(found, colors(len(found)), strict=True):  # above all dots
            if cloud.points:
                name = axes.annotate(short(cloud.name), cloud.middle, color=color, ha="center", va="center", fontweight="bold")
                name.set_path_effects([withStroke(linewidth=4, foreground="white")])
        add_caption(figure, reading.says)
        return figure


def scale(values: object, logarithmic: bool, span: Sequence[float] = ()) -> Normalize:
    """The colour scale of a map: over all of its numbers and the span; logarithmic if requested and possible."""
    numbers = np.append(_array(values).compressed(), np.array(span, dtype=np.float64))
    numbers = numbers[numbers > 0] if logarithmic and (numbers > 0).any() else numbers
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    if high == low:  # all numbers are equal: include 0
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    return LogNorm(low, high) if logarithmic and low > 0 else Normalize(low, high)


def _array(values: object) -> np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]:
    return np.ma.masked_invalid(np.array(values, dtype=np.float64))  # None becomes nan, which is masked


def _color_bar(figure: Figure, axes: Axes | list[Axes], norm: Normalize, quantity: str) -> None:
    bar = figure.colorbar(matplotlib.cm.ScalarMappable(norm, heat()), ax=axes, shrink=0.8, aspect=30, pad=0.02)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
    bar.set_ticks(ticks(low, high, isinstance(norm, LogNorm)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
    bar.set_label(short(quantity, 40))
    bar.outline.set_visible(False)


def _some(axis: Axis, most: int, middle: float) -> tuple[list[float], list[str]]:
    """Positions and labels of at most `most` ticks, evenly spaced."""
    step = math.ceil(len(axis.ticks) / most)
    return [place + middle for place in range(0, len(axis.ticks), step)], [_tick(tick) for tick in axis.ticks[::step]]


def _tick(tick: float | int | str) -> str:
    return short(shown(tick)) if isinstance(tick, str) else formatted(float(tick))


def add_caption(figure: Figure, sentence: str) -> None:
    width = int(figure.get_figwidth() * 11.5)
    figure.supxlabel(textwrap.fill(sentence, width), x=0.01, ha="left", fontsize=11, color=QUIET)


FORMS: dict[str, Callable[[Reading], Figure]] = {"lines": lines, "heat": heatmap, "maps": maps, "points": points}
