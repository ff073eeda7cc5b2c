"""Each knob that varies as an axis: where its values stand, their labels, and a colour for each value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.figures.style import LINES, LINES_ON_DARK, colors, ticks
from pipeline.figures.words import knob_text, short
from pipeline.lab.comparison.page.variants import Variant, short_names
from pipeline.lab.experiments.records import Knob

DECADE = 10.0  # from this ratio of the ends on an axis is logarithmic
FEW = 8  # values that can each have a tick and a name beside its colour
EDGE = 0.06  # the least room at both ends of an axis of numbers, as a share of it
EDGE_OF_ALL = 0.3  # the same, divided by the number of values: fewer values have wider columns of variants


class KnobAxis(NamedTuple):
    """A knob as an axis and as a legend.

    Attributes:
        scale: "logarithmic", "linear", or "steps" (equally far apart).
        ticks: (place from 0 to 1, label).
        places: of each variant, from 0 to 1; None where it lacks the knob.
        values: of each variant, its place among `labels`; None where it lacks the knob.
        labels: all values, from low to high.
        light, dark: a colour for each label.
    """

    name: str
    short: str
    scale: str
    ticks: list[tuple[float, str]]
    places: list[float | None]
    values: list[int | None]
    labels: list[str]
    light: list[str]
    dark: list[str]

    def data(self) -> dict[str, Any]:
        """What the script needs of it."""
        return self._asdict()


def knob_axes(knobs: Sequence[str], shown: Sequence[Variant]) -> list[KnobAxis]:
    """An axis for each knob, with the places of these variants in their order."""
    names = short_names(knobs)
    return [_axis(knob, names[knob], [one.group.knobs.get(knob) for one in shown]) for knob in knobs]


def _axis(name: str, short_name: str, given: Sequence[Knob]) -> KnobAxis:
    texts = {knob_text(value): value for value in given if value is not None}
    labels = sorted(texts, key=lambda text: _order(texts[text]))
    values = [None if value is None else labels.index(knob_text(value)) for value in given]
    numbers = [_number(texts[label]) for label in labels]
    scale = _scale(numbers)
    if scale == "steps":
        spots = [(place + 0.5) / len(labels) for place in range(len(labels))]
        every = max(1, -(-len(labels) // FEW))
        marks = [(spots[place], short(labels[place], 12)) for place in range(0, len(labels), every)]
    else:
        known = [number for number in numbers if number is not None]
        low, high, is_log = known[0], known[-1], scale == "logarithmic"
        edge = max(EDGE, EDGE_OF_ALL / len(labels))

        def spot(number: float) -> float:
            share = math.log(number / low) / math.log(high / low) if is_log else (number - low) / (high - low)
            return edge + (1 - 2 * edge) * share

        spots = [spot(number) for number in known]
        has_room = len(labels) <= FEW and min(np.diff(spots)) > 0.5 / FEW
        marked = known if has_room else ticks(low, high, is_log)
        marks = [(spot(number), knob_text(number)) for number in marked]
    ordered = all(number is not None for number in numbers)
    light, dark = _colors(len(labels), ordered)
    return KnobAxis(
        name,
        short_name,
        scale,
        [(round(place, 4), label) for place, label in marks],
        [None if at is None else round(spots[at], 4) for at in values],
        values,
        [short(label, 40) for label in labels],
        light,
        dark,
    )


def _colors(count: int, ordered: bool) -> tuple[list[str], list[str]]:
    """Two values, and words, take the colours of lines; more numbers run through one map from low to high."""
    if ordered and count > 2:
        return colors(count, ordered=True), colors(count, ordered=True, dark=True)
    wheels = (LINES, LINES_ON_DARK)
    light, dark = ([wheel[place % len(wheel)] for place in range(count)] for wheel in wheels)
    return light, dark


def _order(value: Knob) -> tuple[int, float, str]:
    number = _number(value)
    return (1, 0.0, str(value)) if number is None else (0, number, "")


def _number(value: Knob) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _scale(numbers: Sequence[float | None]) -> str:
    """Decades and equal ratios are logarithmic; with a 0 before them, as in 0, 0.01, 0.1, the values are steps."""
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or len(known) < 2:
        return "steps"
    positive = [number for number in known if number > 0]
    spans = len(positive) > 1 and (positive[-1] >= DECADE * positive[0] or _is_geometric(known))
    if not spans:
        return "linear"
    if len(positive) == len(known):
        return "logarithmic"
    return "steps" if len(known) <= 2 * FEW else "linear"


def _is_geometric(known: Sequence[float]) -> bool:
    """Whether each value is the same multiple of the one before, such as 32, 64, 128."""
    if len(known) < 3 or known[0] <= 0:
        return False
    ratios = np.diff(np.log(known))
    return bool(np.ptp(ratios) < 0.01 * ratios.mean())
