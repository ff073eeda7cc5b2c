"""A grid of runs as lines: a panel a choice, a line a size (say), the best of each line marked, and how far the best moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullLocator

from pipeline.figures.forms import say
from pipeline.figures.style import INK, QUIET, colors, said, short, styled, ticks


@dataclass(frozen=True)
class Line:
    """(low, mean, high) at each place; what is not finite is left out. `best`: where between the places it is least."""

    name: str
    places: Sequence[float | int | str]
    spread: Sequence[tuple[float, float, float]]
    best: float | None


@dataclass(frozen=True)
class Panel:
    """Lines over one axis."""

    title: str
    lines: tuple[Line, ...]


def draw(panels: Sequence[Panel], across: str, up: str, kind: str, sentence: str) -> Figure:
    """Panels side by side on one scale.

    Args:
        across, up: what the axes are.
        kind: what the lines differ in.
        sentence: what was found.
    """
    with styled():
        figure = Figure(figsize=(max(9.0, 6.4 * len(panels)), 6.2), layout="constrained")
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        low, high = _limits(panels)
        for axes, panel in zip(row, panels, strict=True):
            axes.set(title=panel.title, xlabel=short(across, 60), ylim=(low, high))
            _draw(axes, panel, kind)
        row[0].set_ylabel(short(up, 40))
        say(figure, sentence)
        return figure


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """From below the best to where two thirds of all places are seen: what ran away would press the rest flat."""
    means = [mean for panel in panels for line in panel.lines for _, mean, _ in line.spread if np.isfinite(mean)]
    if not means:
        return 0.0, 1.0
    low, high = min(means), float(np.quantile(means, 0.85))
    air = 0.08 * (high - low) or 0.1
    return low - air, high + air


def _draw(axes: Axes, panel: Panel, kind: str) -> None:
    labels = panel.lines[0].places
    numbers = [float(label) for label in labels if isinstance(label, int | float) and label > 0]
    places = numbers if len(numbers) == len(labels) else list(map(float, range(len(labels))))
    if len(numbers) == len(labels):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks(min(places), max(places), logarithmic=True, most=6))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value)))
    else:
        axes.set_xticks(places, [short(str(label)) for label in labels])
    for line, color in zip(panel.lines, colors(len(panel.lines), ordered=True), strict=True):
        low, mean, high = np.array(line.spread).T
        axes.plot(places, np.where(np.isfinite(mean), mean, np.nan), color=color, marker="o", markersize=4, label=line.name)
        seen = np.isfinite(high) & (mean <= axes.get_ylim()[1])  # beyond, where seeds run apart, bands would hide the rest
        axes.fill_between(places, low, high, where=seen, color=color, alpha=0.15, linewidth=0)
        if line.best is not None:
            axes.plot(line.best, 0.02, marker="^", markersize=11, color=color, transform=axes.get_xaxis_transform())
            axes.axvline(line.best, color=color, linewidth=1.2, linestyle=(0, (2, 2)))
    if len(panel.lines) > 1:
        axes.legend(title=short(kind), frameon=False, fontsize=11, title_fontsize=11)
    best = [line.best for line in panel.lines if line.best is not None]
    if len(best) == len(panel.lines) > 1:
        _mark_move(axes, min(best), max(best))


def _mark_move(axes: Axes, low: float, high: float) -> None:
    """How far the best moves, as a bar from the least to the greatest with its factor."""
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
