"""Charts of lines, drawn both as a picture for `dvc plots` and in the report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.figures.run import Run
from pipeline.figures.style import ticks
from pipeline.readings import Curve, Reading


@dataclass(frozen=True)
class Line:
    """Points in the order in which they are joined; None in `y` is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


@dataclass(frozen=True)
class Limits:
    """The range of an axis, `low` to `high`, which may be logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """The position of a value between the ends, 0 … 1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, with horizontal levels to compare them with.

    `words` are the tick labels of an x axis without numbers, at 0, 1, 2 …; lines that are `ordered` (such as by step) are
    coloured from early to late.
    """

    title: str
    description: str
    x: str
    y: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...] = ()
    words: tuple[str, ...] = ()
    ordered: bool = False
    logarithmic: bool = False
    from_zero: bool = False

    def x_limits(self) -> Limits:
        places = [x for line in self.lines for x in line.x]
        low, high = _ends([*places, 0.0] if self.x == "step" else places)  # steps begin at 0, though the first row comes later
        room = 0.03 * (high - low) if self.words else 0.0
        return Limits(low - room, high + room)

    def x_ticks(self, most: int) -> list[float]:
        """The ticks of the x axis: of words at most this many, with the first and the last; steps are whole numbers."""
        if self.words:
            room = max(2, min(most, 72 // (max(map(len, self.words)) + 1)))
            last = len(self.words) - 1
            return sorted({float(round(last * place / (room - 1))) for place in range(room)})
        across = self.x_limits()
        return [tick for tick in ticks(across.low, across.high, most=most) if self.x != "step" or tick == int(tick)]

    def y_limits(self) -> Limits:
        """The range of the y axis with a margin; linear where no value is positive."""
        values = [y for line in self.lines for y in line.y if y is not None] + [level for _, level in self.levels]
        positive = [value for value in values if value > 0]
        if self.logarithmic and positive:
            low, high = _ends(positive)
            air = (high / low) ** 0.06 if high > 1.5 * low else 1.3
            return Limits(low / air, high * air, logarithmic=True)
        low, high = _ends([*values, 0.0] if self.from_zero else values)
        air = 0.06 * (high - low)
        return Limits(low if self.from_zero and low == 0 else low - air, high + air)

    def pieces(self, line: Line) -> Iterator[list[tuple[float, float]]]:
        """The unbroken pieces of a line: it is broken at gaps, and at values that a logarithmic axis cannot show."""
        piece: list[tuple[float, float]] = []
        logarithmic = self.y_limits().logarithmic
        for x, y in zip(line.x, line.y, strict=True):
            if y is not None and (y > 0 or not logarithmic):
                piece.append((x, y))
            elif piece:
                yield piece
                piece = []
        if piece:
            yield piece


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest value, moved apart where they are equal."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - (abs(low) / 10 or 1.0), high + (abs(high) / 10 or 1.0))


def of_reading(reading: Reading) -> Chart:
    """A reading of form "lines"."""
    series, across = reading.axes
    numbers = [float(tick) for tick in across.ticks if not isinstance(tick, str)]
    words = () if len(numbers) == len(across.ticks) else tuple(map(str, across.ticks))
    counted = all(not isinstance(tick, str) for tick in series.ticks)
    return Chart(
        title=title_of(reading.name),
        description=reading.says,
        x=across.name,
        y=reading.quantity,
        lines=tuple(
            Line(
                f"{series.name} {tick:,}" if not isinstance(tick, str) else tick,
                range(len(words)) if words else numbers,
                values,
            )
            for tick, values in zip(series.ticks, reading.values, strict=True)
        ),
        words=words,
        ordered=counted,
        logarithmic=reading.logarithmic,
    )


def title_of(name: str) -> str:
    """activation_rms -> Activation RMS: the name of a reading as a heading."""
    words = [word.upper() if word in ("rms", "lr", "qk", "mlp") else word for word in name.split("_")]
    return (words[0][:1].upper() + words[0][1:] + " " + " ".join(words[1:])).strip()


def loss(run: Run) -> Chart:
    """The loss during training, with those of the baselines as levels; logarithmic only when it diverged."""
    lines = (line_of("train", run.train, "loss"), line_of("validation", run.validation, "loss"))
    levels = [
        (row.name, row.loss) for row in run.scores if row.split == "validation" and row.name != "model" and row.loss is not None
    ]
    seen = [value for line in lines for value in line.y if value is not None and value > 0]
    return Chart(
        title="Loss",
        description="Cross-entropy: lower is better. Dashed: baselines on the validation split. "
        "Training loss that falls while validation loss rises is overfitting.",
        x="step",
        y=f"loss (nats per {run.target})",
        lines=lines,
        levels=tuple(levels),
        logarithmic=bool(seen) and max(seen) > 30 * min(seen),
    )


def learning_rate(run: Run) -> Chart:
    return Chart(
        title="Learning rate",
        description="The learning rate during training, at each step of metrics/train.csv.",
        x="step",
        y="learning rate",
        lines=(line_of("learning rate", run.train, "lr"),),
        from_zero=True,
    )


def gradient_norm(run: Run) -> Chart:
    return Chart(
        title="Gradient norm before clipping",
        description="L2 norm of the whole gradient. Single spikes are unusual batches; a steady climb precedes divergence.",
        x="step",
        y="gradient norm (L2)",
        lines=(line_of("gradient norm", run.train, "gradient_norm"),),
        logarithmic=True,
    )


SCHEDULES = (  # column of the curve, title, unit
    ("batch", "Batch size", "examples"),
    ("length", "Sequence length", "tokens"),
    ("open", "Curriculum: open part of the training text", "share of its tokens"),
    ("second", "Mixture: share of the second data set", "share of the examples"),
)


def schedules(run: Run) -> list[Chart]:
    """The other schedules: the curve has a column for each that changes during training."""
    return [
        Chart(
            title=title,
            description="The value that this schedule had during training, at each step of metrics/train.csv.",
            x="step",
            y=unit,
            lines=(line_of(column, run.train, column),),
            from_zero=True,
        )
        for column, title, unit in SCHEDULES
        if column in run.train
    ]


def line_of(name: str, curve: Curve, column: str) -> Line:
    """A column of a curve over its steps."""
    points = [(x, y) for x, y in zip(curve.get("step", []), curve.get(column, []), strict=True) if x is not None]
    return Line(name, [x for x, _ in points], [y for _, y in points])
