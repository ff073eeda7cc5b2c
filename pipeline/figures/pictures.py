"""Every picture of a run: its curves, its scores next to those of the baselines, and each reading."""

from __future__ import annotations

from matplotlib.figure import Figure

from pipeline.figures import charts, doctor
from pipeline.figures.classes import pictures as class_pictures
from pipeline.figures.forms import add_caption, chart, draw
from pipeline.figures.run import Run
from pipeline.figures.style import png, score_color, styled
from pipeline.figures.words import short


def pictures(run: Run, dpi: int) -> dict[str, bytes]:
    """Every picture of a run as PNG: {name: bytes}."""
    drawn = {"loss": chart(charts.loss(run)), "updates": chart(charts.learning_rate(run), charts.gradient_norm(run))}
    if run.ranking("test"):
        drawn["scores"] = (class_pictures.scores if run.classes else scores)(run, "test")
    if run.classes:
        drawn |= class_pictures.class_pictures(run)
    for reading in run.readings:
        assert reading.name not in drawn, f"{reading.name}: a curve has this name"
        drawn[reading.name] = draw(reading)
    return {name: png(figure, dpi) for name, figure in drawn.items()}


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
        add_caption(figure, "Bits per byte on held-out text: lower is better, 8 is uniform guessing.")
        return figure
