"""The parts of the report that only a classifier has: accuracy bars, reliability, confusion matrix, classes, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.figures import heatmap_png as pixels
from pipeline.figures.chart_html import chart_view, grid_view
from pipeline.figures.classes import numbers
from pipeline.figures.run import Run, Score
from pipeline.readings import Axis, Reading


def accuracy_bar(row: Score | None, share: float) -> dict[str, Any]:
    """A bar of accuracy, with its 95 % interval."""
    assert row is not None, "ranked names have a score"
    bar = {"name": row.name, "figure": numbers.percent(share), "width": 100 * share, "room": 0, "wide": 0}
    if row.accuracy_low is None or row.accuracy_high is None or not share:
        return bar
    # The interval is drawn inside the bar: its ends are shares of the bar's length; beyond its end it needs room.
    ends = {"left": row.accuracy_low / share, "wide": (row.accuracy_high - row.accuracy_low) / share}
    return {**bar, **{name: 100 * end for name, end in ends.items()}, "room": 100 * (row.accuracy_high - share)}


def class_view(run: Run) -> dict[str, Any]:
    """Reliability, confusion matrix, classes and worst mistakes."""
    counts, reliability = numbers.confusion(run), numbers.reliability(run)
    return {
        "names": run.classes,
        "split": numbers.SPLIT,
        "reliability": None if reliability is None else chart_view(reliability),
        "confusion": None if counts is None or len(counts) > numbers.MOST_NUMBERED else _confusion(counts),
        "map": None if counts is None or len(counts) <= numbers.MOST_NUMBERED else grid_view(_as_reading(counts, run.classes)),
        "rows": numbers.per_class(run),
        "mistakes": [
            (one, None if one.pixels is None else pixels.picture_uri(numbers.visible(one.pixels)))
            for one in numbers.mistakes(run)
        ],
        "mistakes_split": run.mistakes.get("split", "validation"),
    }


def _confusion(counts: npt.NDArray[np.int64]) -> list[list[tuple[int, float, float]]]:
    """(examples, share of the true class in percent, strength of the colour in percent) of each cell."""
    shares = numbers.shares(counts)
    cells = zip(counts.flat, shares.flat, numbers.strength(shares).flat, strict=True)
    flat = [(int(count), 100 * float(share), 100 * float(strength)) for count, share, strength in cells]
    return [flat[start : start + len(counts)] for start in range(0, len(flat), len(counts))]


def _as_reading(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Reading:
    """The confusion matrix of many classes as a colour map, whose numbers are read by pointing."""
    axes = (Axis("true class", names), Axis("predicted class", names))
    says = "Predicted classes as shares of each true class. Healthy: the diagonal only."
    values = numbers.shares(counts).round(4).tolist()
    return Reading("confusion_matrix", "heat", "share of the true class", says, axes, values, span=(0, 1))
