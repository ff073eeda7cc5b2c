"""The frame of every picture of a study: the question above, panels side by side, the verdicts below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.style import QUIET


def framed(
    count: int, title: str, captions: Sequence[str], note: str = "", *, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, more than three in two rows; to be called in the house's style.

    Args:
        captions: each claim with its verdict, below the panels.
        note: a line below the captions; "" = none.
        share_y: the panels have one y axis.
    """
    rows = 1 if count <= 3 else 2
    columns = -(-count // rows)
    width = max(9.0, 6.4 * columns)
    letters = int(width * 11.5)
    written = [textwrap.fill(f"• {caption}", letters, subsequent_indent="  ") for caption in captions]
    written += [textwrap.fill(note, letters)] if note else []
    heading = textwrap.fill(title, int(width * 7))
    lines = sum(text.count("\n") + 1 for text in written)
    height = (5.6 if rows == 1 else 9.8) + 0.3 * (heading.count("\n") + 1) + 0.2 * lines
    figure = Figure(figsize=(width, height), layout="constrained")
    if heading:
        figure.suptitle(heading, x=0.01, ha="left", fontsize=17, fontweight="bold")
    figure.supxlabel("\n".join(written), x=0.01, ha="left", fontsize=11, color=QUIET)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flatten())
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]
