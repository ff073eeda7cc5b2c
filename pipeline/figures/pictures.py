"""Every picture of a run: its curves, its scores beside those of simpler things, and each reading in its form."""

from __future__ import annotations

from matplotlib.figure import Figure

from pipeline.figures import charts, class_pictures, doctor
from pipeline.figures.forms import chart, draw, say
from pipeline.figures.run import Run
from pipeline.figures.style import png, score_color, short, styled


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
    """The doctor's signs as PNG."""
    return png(doctor.picture(run.diagnosis), dpi)


def scores(run: Run, split: str) -> Figure:
    """The model beside simpler things, in bits a byte: the shorter the bar, the better it predicts."""
    names, values = zip(*reversed(run.ranking(split)), strict=True)
    with styled(grid=False):
        figure = Figure(figsize=(9, 1.6 + 0.52 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(names)), values, color=[score_color(name) for name in names], height=0.68)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.3f}", (value, place), xytext=(6, 0), textcoords="offset points", va="center")
        axes.set(title=f"Bits a byte on the {split} split", xticks=[], xlim=(0, 1.12 * max(values)))
        axes.set_yticks(range(len(names)), [short(name) for name in names])
        axes.tick_params(axis="y", length=0)
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if name == "model" else "normal")
        for spine in axes.spines.values():
            spine.set_visible(False)
        say(figure, "How many bits each byte of unseen text costs: lower is better; 8 is knowing nothing.")
        return figure
