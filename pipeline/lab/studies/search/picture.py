"""The picture of a search: the best so far over the runs, and every point over each knob."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from pipeline.figures.style import QUIET, colors, styled, ticks
from pipeline.figures.words import formatted
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.pictures.frame import framed
from pipeline.lab.studies.search.run import Tried
from pipeline.lab.studies.search_space import SAMPLERS, Choice, Parameter, Search

RUNAWAY = 8.0  # a value that is so many times the best one would press the rest flat on a linear axis
TALLEST = 0.9  # the quantile of all values at which the y axis ends, where they do not span decades


def draw_search(search: Search, tried: Sequence[Tried], title: str, captions: Sequence[str]) -> Figure:
    """The best so far of every search, with the fresh scores to its right; and all points over each knob.

    Args:
        title: the question.
        captions: each claim with its verdict.
    """
    with styled():
        figure, (first, *others) = framed(1 + len(search.space), title, captions, share_y=True)
        _draw_best(first, search, tried)
        first.set_ylabel(textwrap.fill(MEASURES[search.measure].quantity, 44))
        for axes, knob in zip(others, search.space, strict=True):
            _draw_knob(axes, knob, tried)
        _set_y_axis(first, search, tried)
    return figure


def _draw_best(axes: Axes, search: Search, tried: Sequence[Tried]) -> None:
    """A step line for each search, and right of it a dot for the mean of its winner on the fresh seeds."""
    higher_is_better = MEASURES[search.measure].higher_is_better
    longest = max(len(one.trials) for one in tried)
    for number, (sampler, color) in enumerate(zip(SAMPLERS, colors(len(SAMPLERS)), strict=True)):
        for at, one in enumerate([one for one in tried if one.sampler == sampler]):
            losses = np.minimum.accumulate([trial.loss for trial in one.trials])
            best = np.where(np.isfinite(losses), -losses if higher_is_better else losses, np.nan)
            label = sampler if at == 0 else None
            axes.step(range(1, len(best) + 1), best, where="post", color=color, alpha=0.8, linewidth=1.6, label=label)
            place = longest * (1.08 + 0.06 * number)
            again = float(np.mean(one.fresh))
            axes.plot([place], [again if math.isfinite(again) else np.nan], "o", color=color, markersize=7, alpha=0.8)
    axes.axvline(longest * 1.03, color=QUIET, linewidth=1)
    axes.annotate("fresh", (longest * 1.11, 1.0), xycoords=axes.get_xaxis_transform(), ha="center", va="bottom", color=QUIET)
    axes.set(title="Best so far", xlabel="runs of a search", xlim=(0, longest * 1.2))
    axes.set_xticks([tick for tick in ticks(1, longest) if tick == int(tick)])
    axes.legend(frameon=False, fontsize=11)


def _draw_knob(axes: Axes, knob: Parameter, tried: Sequence[Tried]) -> None:
    """A dot for each point, a star for each winner, and a cross at the upper end for one that diverged."""
    for number, (sampler, color) in enumerate(zip(SAMPLERS, colors(len(SAMPLERS)), strict=True)):
        own = [one for one in tried if one.sampler == sampler]
        shift = 0.16 * (number - 0.5)  # of choices, where the points of both would lie on each other
        points = [(_place(knob, trial.values[knob.name], shift), trial.value) for one in own for trial in one.trials]
        lasting = [(x, y) for x, y in points if math.isfinite(y)]
        axes.plot([x for x, _ in lasting], [y for _, y in lasting], "o", color=color, alpha=0.45, markersize=5, linestyle="")
        lost = [x for x, y in points if not math.isfinite(y)]
        axes.plot(lost, [0.985] * len(lost), "x", color=color, markersize=6, transform=axes.get_xaxis_transform())
        winners = [(_place(knob, one.winner.values[knob.name], shift), one.winner.value) for one in own]
        axes.plot(
            [x for x, _ in winners], [y for _, y in winners], "*", color=color, markersize=13, linestyle="",
            markeredgecolor="white", label=f"best of {sampler}", zorder=4,
        )  # fmt: skip
    axes.set(title=knob.name, xlabel=knob.name)
    if isinstance(knob, Choice):
        axes.set_xticks(range(len(knob.values)), [str(value) for value in knob.values])
        axes.set_xlim(-0.6, len(knob.values) - 0.4)
    elif knob.scale == "log":
        axes.set_xscale("log")
        axes.set_xticks(ticks(knob.low, knob.high, logarithmic=True))
        axes.xaxis.set_minor_locator(NullLocator())
    if not isinstance(knob, Choice):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
    axes.legend(frameon=False, fontsize=11)


def _place(knob: Parameter, value: Any, shift: float) -> float:
    """Where a value of a knob lies on the x axis."""
    return knob.values.index(value) + shift if isinstance(knob, Choice) else float(value)


def _set_y_axis(axes: Axes, search: Search, tried: Sequence[Tried]) -> None:
    """The y axis of all panels: a logarithm where a few values would press the rest flat, else up to the TALLEST quantile."""
    all_values = [trial.value for one in tried for trial in one.trials] + [value for one in tried for value in one.fresh]
    values = np.array([value for value in all_values if math.isfinite(value)])
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > RUNAWAY * low and not MEASURES[search.measure].higher_is_better:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)
        few = ticks(low / 1.25, high * 1.25, logarithmic=True, most=6)
        axes.set_yticks(few if len(few) > 1 else [low, high])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value)))
        axes.yaxis.set_minor_locator(NullLocator())
        return
    if not MEASURES[search.measure].higher_is_better:
        high = float(np.quantile(values, TALLEST))
    margin = 0.08 * (high - low) or 0.1 * (abs(high) or 1.0)
    axes.set_ylim(low - margin, high + margin)
