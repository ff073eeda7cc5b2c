"""What the page has of a classifier alone: bars of accuracy, reliability, confusions, classes, its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.figures import classes
from pipeline.figures import heatmap_png as pixels
from pipeline.figures.chart_html import chart_view, grid_view
from pipeline.figures.run import Run, Score
from pipeline.readings import Axis, Reading


def accuracy_bar(row: Score | None, share: float) -> dict[str, Any]:
    """A bar of accuracy, with its 95 % interval."""
    assert row is not None, "what is ranked has a score"
    bar = {"name": row.name, "figure": classes.percent(share), "width": 100 * share, "room": 0, "wide": 0}
    if row.accuracy_low is None or row.accuracy_high is None or not share:
        return bar
    # The interval hangs on the bar: its ends are shares of the bar's own length, and beyond its end it wants room.
    ends = {"left": row.accuracy_low / share, "wide": (row.accuracy_high - row.accuracy_low) / share}
    return {**bar, **{name: 100 * end for name, end in ends.items()}, "room": 100 * (row.accuracy_high - share)}


def class_view(run: Run) -> dict[str, Any]:
    """What the page has of a classifier alone: reliability, confusions, classes, the worst mistakes."""
    counts, sure = classes.confusion(run), classes.reliability(run)
    return {
        "names": run.classes,
        "split": classes.SPLIT,
        "reliability": None if sure is None else chart_view(sure),
        "confusion": None if counts is None or len(counts) > classes.TOLD else _confusion(counts),
        "map": None if counts is None or len(counts) <= classes.TOLD else grid_view(_as_reading(counts, run.classes)),
        "rows": classes.per_class(run),
        "mistakes": [
            (one, None if one.pixels is None else pixels.picture_uri(classes.visible(one.pixels)))
            for one in classes.mistakes(run)
        ],
        "looked_at": run.mistakes.get("split", "validation"),
    }


def _confusion(counts: npt.NDArray[np.int64]) -> list[list[tuple[int, float, float]]]:
    """(examples, their share of the true class, strength of the colour, both in percent) of each cell."""
    shares = classes.shares(counts)
    cells = zip(counts.flat, shares.flat, classes.strength(shares).flat, strict=True)
    told = [(int(count), 100 * float(share), 100 * float(strength)) for count, share, strength in cells]
    return [told[start : start + len(counts)] for start in range(0, len(told), len(counts))]


def _as_reading(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Reading:
    """Of many classes the confusions are a map: its numbers are read by pointing."""
    axes = (Axis("true class", names), Axis("taken for", names))
    says = "The share of each true class by what it was taken for. Healthy: the diagonal alone."
    values = classes.shares(counts).round(4).tolist()
    return Reading("confusions", "heat", "share of the true class", says, axes, values, span=(0, 1))
