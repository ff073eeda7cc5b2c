"""The confusion matrix of the doctor's benchmark as a picture: which cause was named first for each fault."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.figures.forms import add_caption
from pipeline.figures.style import styled
from pipeline.lab.faults.table import FAULTS


def draw(counted: Mapping[str, Mapping[str, int]], sentence: str) -> Figure:
    """A row per fault, a column per cause that was named first; in the cells, the number of runs. Boxed: the right cause.

    Args:
        counted: fault -> cause -> runs; "healthy" among both.
        sentence: the results in words, below the picture.
    """
    rows = list(counted)
    right = [FAULTS[row].cause if row in FAULTS else row for row in rows]
    named = dict.fromkeys([*right, *(cause for row in counted.values() for cause in row)])
    columns = [name for name in named if name != "healthy"] + ["healthy"]
    shares = np.array([[counted[row].get(column, 0) / sum(counted[row].values()) for column in columns] for row in rows])
    with styled(grid=False):
        figure = Figure(figsize=(4 + 0.42 * len(columns), 3 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor", fontsize=10)
        axes.set_yticks(range(len(rows)), rows, fontsize=10)
        axes.set(title="Cause named first by the doctor (columns), by fault (rows)")
        axes.tick_params(length=0)
        for y, row in enumerate(rows):
            x = columns.index(right[y])
            axes.add_patch(_box(x, y))
            for at, column in enumerate(columns):
                if count := counted[row].get(column, 0):
                    axes.text(
                        at,
                        y,
                        str(count),
                        ha="center",
                        va="center",
                        fontsize=10,
                        color="white" if shares[y, at] > 0.6 else "black",
                    )
        for spine in axes.spines.values():
            spine.set_visible(False)
        add_caption(figure, sentence)
        return figure


def _box(x: int, y: int) -> Rectangle:
    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="#d9480f", linewidth=1.4)
