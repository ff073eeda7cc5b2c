"""The pictures that only a classifier has: accuracy, reliability, confusion matrix, classes, worst mistakes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.classes import numbers
from pipeline.figures.classes.numbers import ClassRow, Mistake, percent
from pipeline.figures.forms import add_caption, chart
from pipeline.figures.run import Run
from pipeline.figures.style import INK, LINES, QUIET, score_color, styled
from pipeline.figures.words import formatted, short

DRAWN = 30  # classes in a picture of bars
PICTURED = 24  # mistakes in a picture of images; of quotes fewer
QUOTED = 10


def class_pictures(run: Run) -> dict[str, Callable[[], Figure]]:
    """What draws every picture that has something to show."""
    made: dict[str, Callable[[], Figure]] = {"accuracy": lambda: chart(numbers.accuracy(run))}
    if (reliability := numbers.reliability(run)) is not None:
        made["reliability"] = partial(chart, reliability)
    if (counts := numbers.confusion(run)) is not None:
        made["confusion"] = partial(confusion, counts, run.classes)
    if rows := numbers.per_class(run):
        made["classes"] = partial(per_class, rows[:DRAWN], len(rows))
    if worst := numbers.mistakes(run):
        made["mistakes"] = partial(images, worst[:PICTURED]) if worst[0].pixels is not None else partial(quotes, worst[:QUOTED])
    return made


def scores(run: Run, split: str) -> Figure:
    """Bars of accuracy of the model and the baselines, each with its 95 % interval."""
    rows = [row for name, _ in reversed(run.ranking(split)) if (row := run.score(name, split)) is not None]
    with styled(grid=False):
        figure = Figure(figsize=(9, 1.7 + 0.52 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            share = row.accuracy or 0.0
            axes.barh(place, share, color=score_color(row.name), height=0.68)
            if row.accuracy_low is not None and row.accuracy_high is not None:
                axes.plot([row.accuracy_low, row.accuracy_high], [place, place], color=INK, linewidth=1.6)
            end = max(share, row.accuracy_high or 0.0)
            axes.annotate(percent(share), (end, place), xytext=(8, 0), textcoords="offset points", va="center")
        axes.set(title=f"Accuracy on the {split} split", xticks=[], xlim=(0, 1.16))
        axes.set_yticks(range(len(rows)), [short(row.name) for row in rows])
        axes.tick_params(axis="y", length=0)
        for label, row in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if row.name == "model" else "normal")
        _bare(axes)
        add_caption(figure, "Accuracy on held-out examples: higher is better. Black lines: 95 % confidence intervals.")
        return figure


def confusion(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Counts on the colours of their shares of the true class (see `numbers.strength`)."""
    count, shown = len(names), numbers.strength(numbers.shares(counts))
    side = min(9.0, max(4.2, 0.62 * count + 1.6))
    with styled(grid=False):
        figure = Figure(figsize=(side + 0.6, side + 0.5), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shown, cmap="Blues", vmin=0, vmax=1)
        if count <= numbers.MOST_NUMBERED:
            size = min(12.0, 150 / count)
            for row, column in np.ndindex(counts.shape):
                if counts[row, column]:
                    color = "white" if shown[row, column] > 0.6 else INK
                    axes.text(
                        column, row, formatted(int(counts[row, column])), ha="center", va="center", color=color, fontsize=size
                    )
        every = -(-count // 32)
        places, words = range(0, count, every), [short(name, 14) for name in names[::every]]
        rotated = count > 12 or max(map(len, words)) > 4
        axes.set_xticks(places, words, rotation=90 if rotated else 0, fontsize=min(12, 240 / count + 4))
        axes.set_yticks(places, words, fontsize=min(12, 240 / count + 4))
        axes.set(title=f"Confusion matrix, {numbers.SPLIT} split", xlabel="predicted class", ylabel="true class")
        axes.tick_params(length=0)
        _bare(axes)
        add_caption(figure, "Examples of each true class (row) by predicted class (column). Dark: a large share of the row.")
        return figure


def per_class(rows: Sequence[ClassRow], of: int) -> Figure:
    """A bar per class, the lowest F1 on top, with its precision and recall as marks."""
    with styled(grid=False):
        figure = Figure(figsize=(9, 2.1 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(rows)), [row.f1 for row in rows], color=LINES[4], height=0.62, label="F1")
        for mark, color, what in ((">", LINES[0], "precision"), ("D", LINES[1], "recall")):
            axes.plot(
                [getattr(row, what) for row in rows],
                range(len(rows)),
                mark,
                color=color,
                markersize=6.5,
                label=what,
                clip_on=False,
            )
        for place, row in enumerate(rows):
            axes.annotate(
                f"{row.f1:.3f}  of {row.count:,}", (1.03, place), va="center", color=QUIET, annotation_clip=False, fontsize=12
            )
        axes.set_yticks(range(len(rows)), [short(row.name) for row in rows])
        axes.set(title=f"F1 by class, {numbers.SPLIT} split", xlim=(0, 1.24), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.tick_params(axis="y", length=0)
        _bare(axes)
        figure.legend(loc="upper right", ncols=3, frameon=False, fontsize=12)
        some = "" if len(rows) == of else f" The lowest {len(rows)} of {of}."
        add_caption(
            figure,
            "Precision: the share of the predictions of a class that are correct. Recall: the share of a class that is found. "
            f"F1: their harmonic mean. The lowest on top.{some}",
        )
        return figure


def images(worst: Sequence[Mistake]) -> Figure:
    """The images in a grid, each with its true and its predicted class."""
    columns = min(8, len(worst))
    rows = -(-len(worst) // columns)
    with styled(grid=False):
        figure = Figure(figsize=(max(6.0, 1.45 * columns), 1.5 + 2.0 * rows), layout="constrained")
        figure.suptitle("Worst mistakes", x=0.01, ha="left", fontsize=16, fontweight="bold")
        for axes in (panels := figure.subplots(rows, columns, squeeze=False)).flat:
            axes.set_axis_off()
        for axes, one in zip(panels.flat, worst, strict=False):
            assert one.pixels is not None
            axes.imshow(numbers.visible(one.pixels), interpolation="nearest")
            title = f"{short(one.true, 12)} → {short(one.predicted, 12)}" if one.wrong else short(one.true, 14)
            axes.set_title(
                f"{title}\n{percent(one.probability)}",
                fontsize=11,
                loc="center",
                pad=4,
                color=LINES[1] if one.wrong else QUIET,
                fontweight="normal",
            )
        add_caption(
            figure,
            "True class → predicted class and its probability, the most confident first. Grey: correct, but not confident.",
        )
        return figure


def quotes(worst: Sequence[Mistake]) -> Figure:
    """The texts one below the other, each with its true and its predicted class."""
    lines = [(one, textwrap.wrap(" ".join(one.text.split()), 96)[:2] or [""]) for one in worst]
    height = sum(0.36 + 0.26 * len(words) for _, words in lines)
    with styled(grid=False):
        figure = Figure(figsize=(9, 1.2 + height), layout="constrained")
        axes = figure.subplots()
        axes.set(title="Worst mistakes", xlim=(0, 1), ylim=(height, 0))
        axes.set_axis_off()
        down = 0.0
        for one, words in lines:
            title = f"{short(one.true)} → {short(one.predicted)}" if one.wrong else f"{short(one.true)} (correct)"
            axes.text(
                0,
                down,
                f"{title}, {percent(one.probability)}",
                va="top",
                fontsize=12,
                color=LINES[1] if one.wrong else QUIET,
                fontweight="bold",
            )
            axes.text(0, down + 0.25, "\n".join(words), va="top", fontsize=11)
            down += 0.36 + 0.26 * len(words)
        add_caption(figure, "True class → predicted class and its probability, the most confident first.")
        return figure


def _bare(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
