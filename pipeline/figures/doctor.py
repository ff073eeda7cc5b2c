"""The doctor's signs beside what is healthy: a strip a sign, always in the same order, so that two runs compare at a glance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pipeline.figures.forms import say
from pipeline.figures.style import INK, QUIET, formatted, short, styled

Sign = Mapping[str, Any]
"""As metrics/doctor.json has it: name, value, low, high, status, says, picture."""

COLORS = {"healthy": "#009E73", "odd": "#E69F00", "sick": "#D55E00"}
MARKS = {"healthy": "o", "odd": "D", "sick": "X"}  # for whoever does not see the colours
DECADES = 20.0  # a healthy band that is so many times as high as it is low is drawn in the logarithm
BAND = (1 / 3, 2 / 3)  # where on its strip the healthy band lies


def place(sign: Sign) -> float:
    """Where on its strip a sign stands, 0 … 1: on the middle third just where it is healthy, and never beyond the ends.

    Beyond a bound it goes the slower the further it is out, for some signs run away by orders of magnitude.
    """
    low, high, value = sign["low"], sign["high"], sign["value"]
    if low is not None and high is not None:
        share = _between(value, low, high)
    elif high is not None:
        share = 1 + _beyond(value, high)
    elif low is not None:
        share = -_beyond(-value, -low)
    else:
        share = 0.5
    return BAND[0] + share * (BAND[1] - BAND[0])


def _between(value: float, low: float, high: float) -> float:
    """0 at the lower bound, 1 at the upper one, and no less than -1 or more than 2."""
    if low > 0 and high / low >= DECADES:
        low, high, value = math.log(low), math.log(high), math.log(value) if value > 0 else -math.inf
    inside = (value - low) / (high - low)
    return inside if 0 <= inside <= 1 else -_slowed(-inside) if inside < 0 else 1 + _slowed(inside - 1)


def _beyond(value: float, bound: float) -> float:
    """How far a value is above its only bound, measured by the bound: -1 … 0 where it is not, 0 … 1 where it is.

    A bound of 0 that must not be passed is best kept at 0 itself, which then stands in the middle.
    """
    away = (value - bound) / (abs(bound) or 1.0)
    if away > 0:
        return _slowed(away)
    return -_slowed(-away) if bound else -0.5 - _slowed(-away) / 2


def _slowed(away: float) -> float:
    """0 … 1 for 0 … infinity."""
    return 1.0 if math.isinf(away) else away / (1 + away)


def healthy(sign: Sign) -> str:
    """What is healthy, in words: 0.5 … 4, below 10, above 2."""
    low, high = sign["low"], sign["high"]
    if low is not None and high is not None:
        return f"{formatted(low)} … {formatted(high)}"
    return f"up to {formatted(high)}" if high is not None else f"from {formatted(low)}" if low is not None else "any"


def words(name: str) -> str:
    """start_excess -> start excess."""
    return name.replace("_", " ")


def picture(diagnosis: Mapping[str, Any]) -> Figure:
    """Every sign on its strip, the healthy third in green, and the first finding in words."""
    signs: Sequence[Sign] = diagnosis["signs"]
    with styled(grid=False):
        figure = Figure(figsize=(9, 1.7 + 0.33 * len(signs)), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(*BAND, color=COLORS["healthy"], alpha=0.13, linewidth=0)
        for row, sign in enumerate(signs):
            axes.plot([0, 1], [row, row], color="#E4E7EB", linewidth=1.2, zorder=1)
            status = sign["status"]
            axes.plot(
                place(sign), row, MARKS[status], color=COLORS[status], markersize=10 if status != "healthy" else 8, zorder=3
            )
            color = COLORS[status] if status != "healthy" else INK
            axes.annotate(formatted(sign["value"]), (1.03, row), va="center", color=color, annotation_clip=False, fontsize=12)
            axes.annotate(healthy(sign), (1.23, row), va="center", color=QUIET, annotation_clip=False, fontsize=11)
        axes.set_yticks(range(len(signs)), [short(words(sign["name"]), 28) for sign in signs])
        for label, sign in zip(axes.get_yticklabels(), signs, strict=True):
            label.set_fontweight("normal" if sign["status"] == "healthy" else "bold")
        axes.set(title=f"The doctor: {words(diagnosis['finding'])}", xlim=(0, 1.42), ylim=(len(signs) - 0.4, -0.6))
        axes.set_xticks([BAND[0] / 2, 0.5, (1 + BAND[1]) / 2], ["low", "healthy", "high"])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        told = [finding["says"] for finding in diagnosis["findings"]]
        say(figure, told[0] if told else "Every sign that could be read lies where it does in healthy runs.")
        return figure
