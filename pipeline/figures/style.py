"""The style of all pictures and the report: colours for colour-blind readers, text readable at half size."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.colors import Colormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

# Source: Okabe and Ito, "Color Universal Design", 2008; without the lightest two, which are hard to see on white.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195")
LINES_ON_DARK = ("#4DA8E8", "#FF8A3D", "#2EC79A", "#E59AC4", "#8AD0FF", "#F5BC42", "#B48AD6")
INK, QUIET, GRID = "#1B1F24", "#626A73", "#DDE1E6"
HEAT = "viridis"  # perceptually uniform, growing in lightness: right in grey and for every kind of colour blindness
MANY = 14  # lines that can each have a label

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 13,
    "axes.titlesize": 16,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "text.parse_math": False,  # a token such as "$" is not a formula
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.14,
}


def styled(grid: bool = True) -> AbstractContextManager[None]:
    """A block with the style, in which a figure is drawn or written."""
    return matplotlib.rc_context({**_STYLE, "axes.grid": grid})


def colors(count: int, ordered: bool = False, dark: bool = False) -> list[str]:
    """A colour per line, as #rrggbb; an ordered family (such as snapshots) runs through one colour map from early to late."""
    if ordered and count > 1:
        low, high = (0.35, 1.0) if dark else (0.0, 0.75)  # without the end of the map that is close to the background
        return [to_hex(heat()(low + (high - low) * place / (count - 1))) for place in range(count)]
    wheel = LINES_ON_DARK if dark else LINES
    return [wheel[place % len(wheel)] for place in range(count)]


def heat() -> Colormap:
    return matplotlib.colormaps[HEAT]


def score_color(name: str) -> str:
    """The bar of the model stands out, and so does the source's entropy, which nothing can beat."""
    return {"model": LINES[0], "entropy": LINES[2]}.get(name, "#B4BAC2")


def ticks(low: float, high: float, logarithmic: bool = False, most: int = 5) -> list[float]:
    """Round numbers between two ends, for the labels of an axis."""
    decades = math.log10(high / low) if logarithmic else 0.0
    if decades >= 0.7:
        subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
        found: Sequence[float] = LogLocator(numticks=most + 1, subs=subs).tick_values(low, high)
    else:
        found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * max(abs(low), abs(high))
    return [float(tick) for tick in found if low - slack <= tick <= high + slack]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels that would lie on each other: in the same order, `gap` apart, as near to where they belong as may be.

    Where they do not fit between the ends, they stand closer.
    """
    if not places:
        return []
    gap = min(gap, (high - low) / max(1, len(places) - 1))
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    groups: list[tuple[float, int]] = []  # labels that touch move as one: (their middle, how many)
    for index in order:
        groups.append((places[index], 1))
        while True:
            middle, count = groups[-1]
            reach = gap * (count - 1) / 2
            groups[-1] = (min(max(middle, low + reach), high - reach), count)
            if len(groups) < 2 or groups[-1][0] - groups[-2][0] >= gap * (groups[-1][1] + groups[-2][1]) / 2 * (1 - 1e-9):
                break
            (above, many), (below, more) = groups.pop(), groups.pop()
            groups.append(((above * many + below * more) / (many + more), many + more))
    spots = [middle + gap * (place - (count - 1) / 2) for middle, count in groups for place in range(count)]
    return [spot for _, spot in sorted(zip(order, spots, strict=True))]


def png(figure: Figure, dpi: int) -> bytes:
    """The picture as PNG: equal figures give equal bytes, because it names neither its software nor a time."""
    buffer = io.BytesIO()
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the report has the font of the reader
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
