"""Panels of a grid of runs: lines over a knob with their flat part, dots over categories, curves of runs; claims as bands."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullLocator

from pipeline.figures.style import INK, QUIET, colors, styled, ticks
from pipeline.figures.words import formatted, short
from pipeline.lab.studies.pictures.frame import framed

CLAIMED = "#AAB2BC"  # grey, which is the colour of no line
BAND_FACTOR = 1.3  # of a knob's value, to which a band over this value alone extends on both sides
BAR = {"linewidth": 6, "solid_capstyle": "butt", "zorder": 4}
DASHED = {"linewidth": 1.4, "linestyle": (0, (4, 3)), "zorder": 4}  # of a prediction
KEY = "Hatched: where a claim must have the values. Dashed frame: where a control must not have them."
Spread = Sequence[tuple[float, float, float]]
"""(low, mean, high) at each place; values that are not finite are left out."""


@dataclass(frozen=True)
class Line:
    """The values of one arm at each place.

    Attributes:
        seeds: the single values [place][seed], which are shown as dots over categories and as curves of runs.
        best: where between the places its minimum is.
        predicted: it is not a measurement but a prediction.
        flat: the places that may be the lowest one, as indices; none where it has no minimum.
    """

    name: str
    places: Sequence[float | int | str]
    spread: Spread
    best: float | None = None
    seeds: Sequence[Sequence[float]] = ()
    predicted: bool = False
    flat: tuple[int, ...] = ()


@dataclass(frozen=True)
class Band:
    """The bounds of a claim. `at`: only over these places; `control`: the claim must not hold; `line`: it is about this one."""

    low: float
    high: float
    at: tuple[int, ...] | None = None
    control: bool = False
    line: int | None = None


@dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Attributes:
        x_label, y_label: of the axes.
        kind: what the lines differ in, the title of the legend.
        scale: of the x axis: a knob by its logarithm, categories, or the steps (layers, …) of a run.
        logarithmic: the y axis.
        possible: what the y axis can show: the range of the measure.
        moves: the study claims how far the best place moves between the lines.
    """

    title: str
    lines: tuple[Line, ...]
    x_label: str
    y_label: str
    kind: str = ""
    scale: Literal["knob", "categories", "run"] = "knob"
    logarithmic: bool = False
    bands: tuple[Band, ...] = ()
    possible: tuple[float, float] = (-math.inf, math.inf)
    moves: bool = False


def draw_panels(panels: Sequence[Panel], title: str, captions: Sequence[str]) -> Figure:
    """Panels side by side, more than three in two rows; those of one quantity share their scale. Below them the captions."""
    with styled():
        key = KEY if any(panel.bands for panel in panels) else ""
        figure, grid = framed(len(panels), title, captions, key)
        for axes, panel in zip(grid, panels, strict=True):
            sharing = [other for other in panels if other.y_label == panel.y_label and other.scale == panel.scale]
            axes.set(title=panel.title, xlabel=short(panel.x_label, 60))
            axes.set_ylabel(textwrap.fill(panel.y_label, 44))
            if panel.logarithmic:
                axes.set_yscale("log")
            axes.set_ylim(*_limits(sharing))
            if panel.logarithmic:
                low, high = axes.get_ylim()
                few = ticks(low, high, logarithmic=True, most=6)
                axes.set_yticks(few if len(few) > 1 else [low, high])
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
                axes.yaxis.set_minor_locator(NullLocator())
            _draw(axes, panel)
        return figure


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """The range of all values; of losses with a minimum only to the 85 % quantile: diverging runs would flatten the rest."""
    lines = [line for panel in panels for line in panel.lines]
    means = np.array([mean for line in lines for _, mean, _ in line.spread], dtype=np.float64)
    seeds = np.array([value for line in lines for place in line.seeds for value in place], dtype=np.float64)
    values = np.concatenate((means, seeds))
    logarithmic, has_minimum = panels[0].logarithmic, any(line.best is not None for line in lines)
    values = values[np.isfinite(values) & (values > 0 if logarithmic else True)]
    if not len(values):
        return (0.1, 1.0) if logarithmic else (0.0, 1.0)
    if logarithmic:
        margin = 3 if panels[0].possible[0] == 0 else 1.4
        return float(values.min()) / (2 if has_minimum else margin), min(float(values.max()) * margin, panels[0].possible[1])
    low, high = float(values.min()), float(np.quantile(values, 0.85) if has_minimum else values.max())
    ends = [end for panel in panels for band in panel.bands for end in (band.low, band.high) if np.isfinite(end)]
    low, high = min([low, *ends]), max([high, *ends])
    margin = 0.08 * (high - low) or 0.1 * (abs(high) or 1.0)
    return _with_edge(low, -margin, panels[0].possible[0]), _with_edge(high, margin, panels[0].possible[1])


def _with_edge(end: float, margin: float, possible: float) -> float:
    """The end of an axis with its margin; past what is possible only so far that a dot at the end is seen whole."""
    beyond = end + margin
    return beyond if abs(beyond) == math.inf or (beyond - possible) * margin <= 0 else possible + 0.5 * margin


def _draw(axes: Axes, panel: Panel) -> None:
    places = _set_x_axis(axes, panel)
    measured = [line for line in panel.lines if not line.predicted]
    own, rest = colors(len(measured), ordered=panel.scale == "knob"), len(panel.lines) - len(measured)
    palette = [*own, *(own if rest == len(measured) > 1 else [INK] * rest)]  # a prediction of each line has its colour
    _draw_bands(axes, panel, places, palette)
    for number, (line, color) in enumerate(zip(panel.lines, palette, strict=True)):
        if panel.scale == "categories":
            offset = 0.5 * ((number + 0.5) / len(panel.lines) - 0.5)
            is_only = len(panel.lines) == 1  # then the places are the arms, coloured as in the other panels
            palette_of_places = colors(len(places)) if is_only else [color] * len(places)
            _draw_dots(axes, line, [place + offset for place in places], palette_of_places)
        elif panel.scale == "run" and not line.predicted:
            _draw_curves(axes, line, color)
        else:
            _draw_line(axes, line, places, color)
    _draw_flat_parts(axes, panel, places, palette)
    if len(panel.lines) > 1:
        axes.legend(title=short(panel.kind) or None, frameon=False, fontsize=11, title_fontsize=11)
    best = [line.best for line in panel.lines if line.best is not None]
    if panel.moves and len(best) == len(panel.lines) > 1:
        _mark_move(axes, min(best), max(best))


def _set_x_axis(axes: Axes, panel: Panel) -> list[float]:
    """Set scale and ticks of the x axis; the positions of the places on it."""
    labels = panel.lines[0].places
    if panel.scale == "run":
        return list(map(float, labels))
    if panel.scale == "categories":
        places = list(map(float, range(len(labels))))
        axes.set_xticks(places, [textwrap.fill(str(label), min(16, 60 // len(labels) or 1)) for label in labels])
        axes.set_xlim(-0.6, len(labels) - 0.4)
        axes.grid(visible=False, axis="x")
        return places
    places = list(map(float, labels))
    axes.set_xscale("log", base=2)
    few = len(places) <= 6
    axes.set_xticks(places if few else ticks(min(places), max(places), logarithmic=True, most=6))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
    return places


def _draw_line(axes: Axes, line: Line, places: list[float], color: str) -> None:
    low, mean, high = np.array(line.spread, dtype=np.float64).T
    shown = np.where(np.isfinite(mean), mean, np.nan)
    if line.predicted:
        axes.plot(places, shown, color=color, label=line.name, **DASHED)  # type: ignore[arg-type]
        return
    marks = {"marker": "o", "markersize": 4} if len(places) <= 40 else {}
    axes.plot(places, shown, color=color, label=line.name or "measured", **marks)  # type: ignore[arg-type]
    visible: Bool[np.ndarray, " places"] = np.isfinite(high) & (
        mean <= axes.get_ylim()[1]
    )  # bands of others would hide the rest
    axes.fill_between(places, low, high, where=visible.tolist(), color=color, alpha=0.15, linewidth=0)


def _draw_curves(axes: Axes, line: Line, color: str) -> None:
    """The curve of every seed, and a mark at each place where there are few."""
    places = list(map(float, line.places))
    for number, values in enumerate(np.array(line.seeds, dtype=np.float64).T):
        marks = {"marker": "o", "markersize": 3.5} if len(places) <= 40 else {}
        shown = np.where(np.isfinite(values), values, np.nan)
        axes.plot(places, shown, color=color, linewidth=1.5, label=line.name if number == 0 else None, **marks)  # type: ignore[arg-type]


def _draw_flat_parts(axes: Axes, panel: Panel, places: list[float], palette: Sequence[str]) -> None:
    """A bar at the bottom for each line, over the places that may be its lowest one."""
    flat = [(line, color) for line, color in zip(panel.lines, palette, strict=True) if line.flat]
    for number, (line, color) in enumerate(flat):
        for first, last in _stretches(line.flat):
            ends = [places[first] / BAND_FACTOR**0.5, places[last] * BAND_FACTOR**0.5]
            height = 0.02 + 0.022 * number
            axes.plot(ends, [height] * 2, color=color, **BAR, transform=axes.get_xaxis_transform())  # type: ignore[arg-type]
        if panel.moves and line.best is not None:
            axes.axvline(line.best, color=color, linewidth=1.2, linestyle=(0, (2, 2)))
    if flat and not panel.moves:
        first, last = _stretches(flat[0][0].flat)[0]
        middle = (places[first] * places[last]) ** 0.5
        axes.annotate(
            "not to be told apart", (middle, 0.015 + 0.022 * len(flat)), xycoords=axes.get_xaxis_transform(),
            ha="center", va="bottom", fontsize=10, color=QUIET, path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _stretches(places: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of each stretch of places that lie side by side."""
    starts = [place for place in places if place - 1 not in places]
    return [(start, next(end for end in range(start, max(places) + 1) if end + 1 not in places)) for start in starts]


def _draw_dots(axes: Axes, line: Line, places: list[float], palette: list[str]) -> None:
    """A dot for every seed, and their mean as a bar with its value; a prediction has no seeds: a dashed bar at each place."""
    for number, (place, (_, mean, _), color) in enumerate(zip(places, line.spread, palette, strict=True)):
        label = line.name if number == 0 else None
        if line.predicted:
            axes.plot([place - 0.18, place + 0.18], [mean, mean], color=color, label=label, **DASHED)  # type: ignore[arg-type]
            continue
        values = line.seeds[number]
        axes.plot([place] * len(values), values, "o", color=color, alpha=0.75, markersize=8, linestyle="", label=label)
        if np.isfinite(mean):
            axes.plot([place - 0.18, place + 0.18], [mean, mean], color=color, linewidth=3)
            axes.annotate(
                formatted(mean), (place + 0.2, mean), va="center", ha="left", fontsize=12, color=INK, fontweight="bold",
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )  # fmt: skip


def _draw_bands(axes: Axes, panel: Panel, places: list[float], palette: Sequence[str]) -> None:
    """The bounds of a claim hatched in grey; those of a control, which must not hold, as an empty dashed frame.

    Where there are several lines, a claim about one of them has its colour.
    """
    floor, ceiling = axes.get_ylim()
    for band in panel.bands:
        low, high = max(band.low, floor, panel.possible[0]), min(band.high, ceiling, panel.possible[1])
        if low == high:  # exactly one value
            thick = 0.012 * (ceiling - floor)
            low, high = low - thick, high + thick
        own = palette[band.line] if band.line is not None and len(panel.lines) > 1 else None
        style = (
            {"fill": False, "edgecolor": own or QUIET, "linestyle": (0, (3, 3)), "linewidth": 1.6}
            if band.control
            else {"facecolor": "#F1F3F5", "edgecolor": own or CLAIMED, "hatch": "///", "linewidth": 0}
        )
        if panel.scale == "categories":
            for at in range(len(places)) if band.at is None else band.at:
                axes.add_patch(Rectangle((places[at] - 0.42, low), 0.84, high - low, zorder=0.5, **style))  # type: ignore[arg-type]
        elif band.at is not None and len(band.at) < len(places):
            for at in band.at:  # of a knob on a logarithmic scale: a little to both sides
                width = places[at] * (BAND_FACTOR - 1 / BAND_FACTOR)
                axes.add_patch(Rectangle((places[at] / BAND_FACTOR, low), width, high - low, zorder=0.5, **style))  # type: ignore[arg-type]
        elif not band.control:
            axes.axhspan(low, high, zorder=0.5, **style)  # type: ignore[arg-type]


def _mark_move(axes: Axes, low: float, high: float) -> None:
    """How far the best value moves: a bar from the lowest to the highest one, with the factor."""
    axes.axvspan(low, high, color=QUIET, alpha=0.1, linewidth=0)
    axes.annotate(
        f"best moves ×{high / low:.2g}",
        ((low * high) ** 0.5, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, -8),
        textcoords="offset points",
        ha="center",
        va="top",
        color=INK,
        fontweight="bold",
        path_effects=[withStroke(linewidth=4, foreground="white")],
        zorder=5,
    )
