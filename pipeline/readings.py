"""Readings: arrays of numbers with named axes, and the form in which they are drawn. No torch.

A probe makes readings, and the stage plot draws any of them by its form, so that a new probe needs no new drawing code.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts.checksums import how_to_restore, listed_files
from pipeline.artifacts.paths import READINGS
from pipeline.artifacts.reading import read_json, read_text
from pipeline.artifacts.writing import rounded, write_json
from pipeline.params.errors import UserError

Curve = dict[str, list[float | None]]
"""Columns of a curve by name; a value that is missing or not finite is None."""

Form = Literal["lines", "heat", "maps", "points"]
"""How a reading is drawn.

lines: values [series, x]: a line for each entry of the first axis over the last one.
heat:  values [y, x]: colours; one picture that shows a whole training at a glance.
maps:  values [row, column, y, x]: small colour maps in a grid, such as attention by layer and head.
points: values [series, point, 2]: a point for each pair of numbers, coloured by series; the last axis names the two. A series
    that has fewer points than others is filled up with pairs of None.
"""

About = Literal["signal", "gradients", "attention", "prediction", "samples", "other"]
"""The part of the model that a reading is about: activations, gradients, attention heads, predictions, samples."""


@dataclass(frozen=True)
class Axis:
    """A dimension of a reading: its name with its unit, and the label of each position (a number or a word)."""

    name: str
    ticks: Sequence[float | int | str]


@dataclass(frozen=True)
class Reading:
    """An array of numbers with a name, axes, and the form in which it is drawn.

    Attributes:
        name: also the name of its file.
        form: see Form.
        quantity: what the numbers are, with their unit.
        says: one sentence for the reader of the picture: what it shows, and what is healthy.
        axes: one for each level of `values`.
        values: nested lists; a number that is not finite is None.
        logarithmic: whether the values are drawn on a logarithmic scale.
        about: the part of the model, by which the report groups readings.
        span: two numbers that the colour scale of a map must include (0 and 1 for a share), so that runs can be compared.

    >>> layers, steps = Axis("layer", ["block 1", "block 2"]), Axis(STEP, [0, 10, 20])
    >>> Reading("norm", "heat", "L2 norm", "Healthy: 1 to 10.", (layers, steps), [[1.0, 2.0, 3.0], [1.5, None, 4.0]]).about
    'other'
    """

    name: str
    form: Form
    quantity: str
    says: str
    axes: tuple[Axis, ...]
    values: list[Any]
    logarithmic: bool = False
    about: About = "other"
    span: Sequence[float] = ()

    def __post_init__(self) -> None:
        wanted = {"lines": 2, "heat": 2, "maps": 4, "points": 3}[self.form]
        assert len(self.axes) == wanted, f"{self.name}: form {self.form} has {wanted} axes, not {len(self.axes)}"
        assert shape_of(self.values) == tuple(len(axis.ticks) for axis in self.axes), f"{self.name}: values do not fit the axes"


def shape_of(values: Any) -> tuple[int, ...]:
    """The shape of nested lists.

    >>> shape_of([[1, 2, 3], [4, 5, 6]])
    (2, 3)
    """
    return (len(values), *(shape_of(values[0]) if values else ())) if isinstance(values, list) else ()


def rounded_or_none(values: Any) -> Any:
    """Nested lists with every number at four significant digits, and None where it is not finite.

    >>> rounded_or_none([[3.14159, 12345.6], [float("nan"), float("inf")]])
    [[3.142, 12350.0], [None, None]]
    """
    if isinstance(values, list):
        return [rounded_or_none(value) for value in values]
    return rounded(float(values), 4) if math.isfinite(values) else None


STEP = "step"  # the axis along which the readings of several steps are joined


def column(name: str, down: Axis, numbers: Sequence[float], step: int, **said: Any) -> Reading:
    """A measurement at one step with a number per layer or head: a heat map of one column.

    >>> column("norm", Axis("layer", [1, 2]), [0.5, 0.25], 10, quantity="L2 norm", says="Healthy: below 1.").values
    [[0.5], [0.25]]
    """
    return Reading(
        name, "heat", axes=(down, Axis(STEP, [step])), values=rounded_or_none([[number] for number in numbers]), **said
    )


def point(name: str, numbers: Mapping[str, float], step: int, **said: Any) -> Reading:
    """A measurement at one step with named numbers: lines of one point each.

    >>> point("loss", {"train": 1.5, "validation": 1.75}, 10, quantity="nats", says="Healthy: close.").axes[0].ticks
    ['train', 'validation']
    """
    axes = (Axis("line", list(numbers)), Axis(STEP, [step]))
    return Reading(name, "lines", axes=axes, values=rounded_or_none([[number] for number in numbers.values()]), **said)


def over_training(readings: Sequence[Reading]) -> Reading:
    """Readings of several steps as one, concatenated along their axis of steps.

    >>> layers, about = Axis("layer", [1, 2]), {"quantity": "L2 norm", "says": "Healthy: below 1."}
    >>> whole = over_training([column("norm", layers, [0.1 * step, 1.0], step, **about) for step in (1, 2, 3)])
    >>> whole.values, whole.axes[1].ticks
    ([[0.1, 0.2, 0.3], [1.0, 1.0, 1.0]], [1, 2, 3])
    """
    first = readings[0]
    along = [axis.name for axis in first.axes].index(STEP)
    steps = Axis(STEP, [step for reading in readings for step in reading.axes[along].ticks])
    axes = (*first.axes[:along], steps, *first.axes[along + 1 :])
    return replace(first, axes=axes, values=_concatenate([reading.values for reading in readings], along))


def _concatenate(values: Sequence[list[Any]], along: int) -> list[Any]:
    """Nested lists concatenated along an axis."""
    if along == 0:
        return [line for one in values for line in one]
    return [_concatenate(lines, along - 1) for lines in zip(*values, strict=True)]


def save(reading: Reading, folder: Path = READINGS) -> None:
    """Write a reading as {folder}/{name}.json."""
    write_json(folder / f"{reading.name}.json", asdict(reading))


def from_json(content: Mapping[str, Any]) -> Reading:
    """A reading from the JSON that `save` writes."""
    return Reading(**{**content, "axes": tuple(Axis(**axis) for axis in content["axes"])})


def load_all(folder: Path = READINGS) -> list[Reading]:
    """All readings of a run, sorted by name."""
    return [from_json(read_json(path)) for path in listed_files(folder, ".json")]


def read_curve(path: Path) -> Curve:
    """The columns of a CSV file of numbers.

    Raises:
        UserError: it is missing, or is not a table of numbers.
    """
    text = read_text(path)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        return {name: [_number(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    except (ValueError, TypeError, AttributeError, csv.Error):
        raise UserError(f"{path}: is damaged (not a table of numbers); {how_to_restore(path)}") from None


def _number(text: str | None) -> float | None:
    if text is None:  # the row is short; an empty cell is a gap
        raise ValueError("a row has fewer cells than the header")
    value = float(text or "nan")
    return value if math.isfinite(value) else None
