"""The picture of a ladder: losses over sizes with the best of each budget, and losses over compute with the law and the top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from pipeline.figures.style import INK, LINES, QUIET, colors, styled, ticks
from pipeline.figures.words import formatted
from pipeline.lab.ladder.climb import Forecasted
from pipeline.lab.scaling.fit import Fit
from pipeline.lab.scaling.isoflops import Minimum
from pipeline.lab.scaling.law import Cost, best_use
from pipeline.lab.scaling.points import Point
from pipeline.lab.studies.pictures.frame import framed

SMOOTH = 80  # places at which a curve is drawn
WIDE = 8.0  # an excess that spans so large a factor is drawn on a logarithmic axis


def draw_ladder(
    title: str,
    captions: Sequence[str],
    groups: Sequence[Sequence[Point]],
    minima: Sequence[Minimum],
    fit: Fit,
    cost: Cost,
    top: Sequence[tuple[Forecasted, Point]] = (),
) -> Figure:
    """Left the points of each budget over their size, right the frontier of the law over compute.

    Args:
        groups: the points of each budget, in the order of `minima`.
        top: the held-out runs that ended, with their points.
    """
    base = fit.law.entropy
    with styled():
        figure, (left, right) = framed(2, title, captions)
        _draw_sizes(left, groups, minima, fit, cost, base)
        _draw_top(left, top, base)
        _draw_compute(right, groups, fit, cost, base)
        _draw_forecasts(right, top, base)
        what = "known" if fit.known else "fitted"
        for axes, name, title_of in ((left, "parameters N", "Each budget over the size"), (right, "FLOPs", "Over compute")):
            axes.set(xlabel=name, ylabel=f"loss above E = {base:.3f} ({what}), nats per token", title=title_of)
            _set_axes(axes)
        left.legend(frameon=False, fontsize=11, title="FLOPs")
        right.legend(frameon=False, fontsize=11)
    return figure


def _draw_sizes(
    axes: Axes, groups: Sequence[Sequence[Point]], minima: Sequence[Minimum], fit: Fit, cost: Cost, base: float
) -> None:
    for group, one, color in zip(groups, minima, colors(len(groups), ordered=True), strict=True):
        sizes = np.array([point.size for point in group])
        label = f"{one.flops:.2g}"
        axes.plot(sizes, [point.loss - base for point in group], "o", color=color, markersize=6, alpha=0.75, label=label)
        fine = np.exp(np.linspace(np.log(sizes.min()), np.log(sizes.max()), SMOOTH))
        law = fit.law.loss(fine, cost.tokens(fine, one.flops)) - base
        axes.plot(fine, law, color=color, linewidth=1.2, linestyle="--", alpha=0.8)
        if not one.edge:
            axes.plot(fine, np.polyval(one.curve, np.log(fine)) - base, color=color, linewidth=1.8)
            axes.plot([one.low, one.high], [one.loss - base] * 2, color=color, linewidth=5, alpha=0.35)
            axes.plot([one.size], [one.loss - base], "*", color=color, markersize=15, markeredgecolor="white", zorder=4)


def _draw_top(axes: Axes, top: Sequence[tuple[Forecasted, Point]], base: float) -> None:
    for at, (one, point) in enumerate(top):
        axes.plot([point.size] * 2, [one.said.low - base, one.said.high - base], color=LINES[0], linewidth=6, alpha=0.35)
        label = f"{point.flops:.2g}, held out" if at == 0 else None
        axes.plot([point.size], [point.loss - base], "D", color=LINES[1], markersize=8, markeredgecolor="white", label=label)


def _draw_compute(axes: Axes, groups: Sequence[Sequence[Point]], fit: Fit, cost: Cost, base: float) -> None:
    points = [point for group in groups for point in group]
    flops = np.array([point.flops for point in points])
    losses = [point.loss - base for point in points]
    axes.plot(flops, losses, "o", color=QUIET, markersize=5, alpha=0.5, label="runs")
    fine = np.exp(np.linspace(np.log(flops.min() / 1.5), np.log(flops.max() * 6), SMOOTH // 2))
    best = [best_use(fit.law, one, cost).loss - base for one in fine]
    axes.plot(fine, best, color=INK, linewidth=1.8, label="the law at its best size")


def _draw_forecasts(axes: Axes, top: Sequence[tuple[Forecasted, Point]], base: float) -> None:
    for at, (one, point) in enumerate(top):
        place = point.flops * (1 + 0.16 * (at - (len(top) - 1) / 2))  # side by side, for their compute is the same
        said = one.said
        label = "forecast, 80 %" if at == 0 else None
        axes.plot([place, place], [said.low - base, said.high - base], color=LINES[0], linewidth=6, alpha=0.35, label=label)
        axes.plot([place], [said.median - base], "_", color=LINES[0], markersize=12, markeredgewidth=2.5)
        label = "held-out runs" if at == 0 else None
        axes.plot(
            [place], [point.loss - base], "D", color=LINES[1], markersize=7, markeredgecolor="white", zorder=4, label=label
        )


def _set_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks(ticks(low, high, logarithmic=True))
    bottom, above = axes.dataLim.y0, axes.dataLim.y1
    if bottom > 0 and above > WIDE * bottom:
        axes.set_yscale("log")
        axes.set_ylim(bottom / 1.2, above * 1.2)
        axes.set_yticks(ticks(bottom / 1.2, above * 1.2, logarithmic=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, 2)))
    axes.xaxis.set_minor_locator(NullLocator())
