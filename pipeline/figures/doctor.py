"""The signs of the doctor as a picture: a strip per sign with its healthy range, always in the same order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pipeline.figures.forms import add_caption
from pipeline.figures.style import INK, QUIET, styled
from pipeline.figures.words import formatted, short

Sign = Mapping[str, Any]
"""As metrics/doctor.json has it: name, value, low, high, status, says, picture."""

CHECKED = "checked_steps"  # the reading whose every number is a sign, so that it is drawn as signs
COLORS = {"healthy": "#009E73", "odd": "#E69F00", "sick": "#D55E00"}
MARKS = {"healthy": "o", "odd": "D", "sick": "X"}  # for readers who cannot see the colours
DECADES = 20.0  # a healthy range whose upper bound is this many times its lower bound is drawn logarithmically
BAND = (1 / 3, 2 / 3)  # the healthy range on each strip


def place(sign: Sign) -> float:
    """The position of a sign on its strip, 0 … 1: in the middle third if it is healthy.

    Beyond a bound the scale is compressed more and more, because some signs exceed it by orders of magnitude.
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
    """0 at the lower bound, 1 at the upper one, at least -1 and at most 2."""
    if low > 0 and high / low >= DECADES:
        low, high, value = math.log(low), math.log(high), math.log(value) if value > 0 else -math.inf
    inside = (value - low) / (high - low)
    return inside if 0 <= inside <= 1 else -_compressed(-inside) if inside < 0 else 1 + _compressed(inside - 1)


def _beyond(value: float, bound: float) -> float:
    """How far a value is above its only bound, relative to the bound: -1 … 0 below it, 0 … 1 above it.

    For a bound of 0, a value of 0 is in the middle of the healthy range.
    """
    away = (value - bound) / (abs(bound) or 1.0)
    if away > 0:
        return _compressed(away)
    return -_compressed(-away) if bound else -0.5 - _compressed(-away) / 2


def _compressed(away: float) -> float:
    """0 … 1 for 0 … infinity, compressed more and more."""
    return 1.0 if math.isinf(away) else away / (1 + away)


def healthy(sign: Sign) -> str:
    """The healthy range in words: 0.5 … 4, up to 10, from 2."""
    low, high = sign["low"], sign["high"]
    if low is not None and high is not None:
        return f"{formatted(low)} … {formatted(high)}"
    return f"up to {formatted(high)}" if high is not None else f"from {formatted(low)}" if low is not None else "any"


def words(name: str) -> str:
    """start_excess -> start excess."""
    return name.replace("_", " ")


def picture(diagnosis: Mapping[str, Any]) -> Figure:
    """The signs on their strips, and the first finding in words. Of the checked steps, which are many, only what is off."""
    signs: Sequence[Sign] = diagnosis["signs"]
    shown = [sign for sign in signs if sign["picture"] != CHECKED or sign["status"] != "healthy"]
    findings = [finding["says"] for finding in diagnosis["findings"]]
    caption = findings[0] if findings else "Every sign that could be read is in its healthy range."
    if left := len(signs) - len(shown):
        caption += f" Not shown: {left} checks of training steps, all healthy."
    return strips(shown, f"The doctor: {words(diagnosis['finding'])}", caption)


def checked_steps(signs: Sequence[Sign], caption: str) -> Figure:
    """What a second, plain implementation of a training step says of each of its parts."""
    off = sum(sign["status"] != "healthy" for sign in signs)
    return strips(signs, f"Checked steps: {off or 'none'} of {len(signs)} off", caption)


def strips(signs: Sequence[Sign], title: str, caption: str) -> Figure:
    """A strip per sign, the healthy range in green, with its value and that range in numbers."""
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
        axes.set(title=title, xlim=(0, 1.42), ylim=(len(signs) - 0.4, -0.6))
        axes.set_xticks([BAND[0] / 2, 0.5, (1 + BAND[1]) / 2], ["low", "healthy", "high"])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        add_caption(figure, caption)
        return figure
