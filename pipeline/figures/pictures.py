"""Every picture of a run: its curves, its scores next to those of the baselines, and each reading."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from pipeline.figures import charts, doctor
from pipeline.figures.classes import pictures as class_pictures
from pipeline.figures.forms import add_caption, chart, draw
from pipeline.figures.run import Run
from pipeline.figures.shares import shared_out
from pipeline.figures.style import png, score_color, styled
from pipeline.figures.words import short

DOCTOR = "doctor"  # the name of the diagnosis among the pictures


def pictures(run: Run, dpi: int, processes: int = 1) -> dict[str, bytes]:
    """Every picture of a run as PNG: {name: bytes}; that of the diagnosis is named `doctor`.

    Args:
        processes: that draw, each its share.
    """
    jobs = {name: partial(_drawn, figure, dpi) for name, figure in figures(run).items()}
    return shared_out({DOCTOR: partial(diagnosis, run, dpi), **jobs}, processes)


def figures(run: Run) -> dict[str, Callable[[], Figure]]:
    """What draws each picture of a run, that of the diagnosis apart."""
    made: dict[str, Callable[[], Figure]] = {
        "loss": lambda: chart(charts.loss(run)),
        "updates": lambda: chart(charts.learning_rate(run), charts.gradient_norm(run)),
    }
    if run.ranking("test"):
        made["scores"] = partial(class_pictures.scores if run.classes else scores, run, "test")
    if run.classes:
        made |= class_pictures.class_pictures(run)
    checked = [sign for sign in run.diagnosis["signs"] if sign["picture"] == doctor.CHECKED]
    for reading in run.readings:
        assert reading.name not in made and reading.name != DOCTOR, f"{reading.name}: a curve has this name"
        is_checked = reading.name == doctor.CHECKED and checked
        made[reading.name] = partial(doctor.checked_steps, checked, reading.says) if is_checked else partial(draw, reading)
    return made


def _drawn(figure: Callable[[], Figure], dpi: int) -> bytes:
    return png(figure(), dpi)


def diagnosis(run: Run, dpi: int) -> bytes:
    """The signs of the doctor as PNG."""
    return png(doctor.picture(run.diagnosis), dpi)


def scores(run: Run, split: str) -> Figure:
    """Bars of bits per byte of the model and the baselines; shorter is better."""
    names, values = zip(*reversed(run.ranking(split)), strict=True)
    with styled(grid=False):
        figure = Figure(figsize=(9, 1.6 + 0.52 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(names)), values, color=[score_color(name) for name in names], height=0.68)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.3f}", (value, place), xytext=(6, 0), textcoords="offset points", va="center")
        axes.set(title=f"Bits per byte on the {split} split", xticks=[], xlim=(0, 1.12 * max(values)))
        axes.set_yticks(range(len(names)), [short(name) for name in names])
        axes.tick_params(axis="y", length=0)
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if name == "model" else "normal")
        for spine in axes.spines.values():
            spine.set_visible(False)
        add_caption(figure, "Bits per byte on held-out text: lower is better; uniform: every token alike.")
        return figure
