"""The picture of a blind run: its curves and readings, as in the report, without ranges and without a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from pipeline.doctor.case import LEVELS, Case
from pipeline.figures import forms
from pipeline.figures.charts import Chart, Line
from pipeline.readings import Reading

READINGS = {  # of layers and heads: title, short label of the axis
    "activation_rms": ("Size of the features", "root mean square"),
    "gradient_norm": ("Gradient by layer", "L2 norm"),
    "update_ratio": ("Length of a step by layer", "step / weights"),
    "attention_entropy": ("Entropy of attention by head", "of the largest possible"),
    "previous_token": ("Attention to the token before, by head", "probability"),
    "dead_units": ("Units that are never active", "share"),
}


def loss_chart(case: Case) -> Chart:
    """The loss of training and validation, with what simpler models reach."""
    return Chart(
        title="Loss",
        description="",
        x="step",
        y="nats per token",
        lines=(_line("training", case.curve("loss")), _line("validation", case.validation_losses)),
        levels=tuple((name, case.levels[name]) for name in LEVELS if name in case.levels),
    )


def gradient_chart(case: Case) -> Chart:
    return Chart(
        title="Gradient norm",
        description="",
        x="step",
        y="L2 norm",
        lines=(_line("gradient norm", case.curve("gradient_norm")),),
        logarithmic=True,
    )


def reading_chart(reading: Reading) -> Chart:
    """A reading of layers or heads: a line for each snapshot, over the layers."""
    down, steps = reading.axes
    title, quantity = READINGS[reading.name]
    return Chart(
        title=title,
        description="",
        x=down.name,
        y=quantity,
        lines=tuple(
            Line(f"step {step:,}", range(len(down.ticks)), [row[at] for row in reading.values])
            for at, step in enumerate(steps.ticks)
        ),
        words=tuple(map(str, down.ticks)),
        ordered=True,
        logarithmic=reading.logarithmic,
    )


def picture(case: Case, title: str) -> Figure:
    """Curves and readings in one figure."""
    charts = [loss_chart(case), gradient_chart(case)]
    charts += [
        reading_chart(case.readings[name]) for name in READINGS if name in case.readings and _varies(case.readings[name])
    ]
    figure = forms.panels(charts, columns=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=15)
    return figure


def _varies(reading: Reading) -> bool:
    """Whether there is anything to see: a share that is 0 everywhere makes an empty panel."""
    return len({value for row in reading.values for value in row}) > 1


def _line(name: str, points: Sequence[tuple[float, float]]) -> Line:
    return Line(name, [x for x, _ in points], [y for _, y in points])
