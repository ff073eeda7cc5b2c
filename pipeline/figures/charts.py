"""A chart of lines described once, and drawn twice: as a picture for `dvc plots` and on the page of the run."""

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
    """What a chart shows: `low` to `high` on one axis, which may be logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value stands between the ends, 0 … 1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, with levels to compare them with.

    `words` name the places 0, 1, 2 … of an x axis that holds no numbers; lines that are `ordered` (by step, say) are
    coloured from early to late.
    """

    title: str
    says: str
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
        """Where the x axis says what stands there: of words some, the first and the last among them; steps are whole."""
        if self.words:
            room = max(2, min(most, 72 // (max(map(len, self.words)) + 1)))
            last = len(self.words) - 1
            return sorted({float(round(last * place / (room - 1))) for place in range(room)})
        across = self.x_limits()
        return [tick for tick in ticks(across.low, across.high, most=most) if self.x != "step" or tick == int(tick)]

    def y_limits(self) -> Limits:
        """The ends of the y axis, with some air; linear where nothing positive is there for a logarithm."""
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
        """The unbroken pieces of a line: it is broken at gaps, and where a logarithmic axis has no place for a value."""
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
    """The least and the greatest, and something around them where they are one."""
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
        says=reading.says,
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
    """The loss while training, with the losses of simpler things as levels; logarithmic only when it ran away."""
    lines = (line_of("train", run.train, "loss"), line_of("validation", run.validation, "loss"))
    levels = [
        (row.name, row.loss) for row in run.scores if row.split == "validation" and row.name != "model" and row.loss is not None
    ]
    seen = [value for line in lines for value in line.y if value is not None and value > 0]
    surprise = "the true class" if run.classes else "the next token"
    return Chart(
        title="Loss",
        says=f"How surprised the model is by {surprise}: lower is better. Dashed: simpler things on the validation split. "
        "Where training falls and validation rises, it learns by heart.",
        x="step",
        y=f"loss (nats {'an' if run.classes else 'a'} {run.target})",
        lines=lines,
        levels=tuple(levels),
        logarithmic=bool(seen) and max(seen) > 30 * min(seen),
    )


def learning_rate(run: Run) -> Chart:
    return Chart(
        title="Learning rate",
        says="The schedule that the knobs ask for, as it was carried out.",
        x="step",
        y="learning rate",
        lines=(line_of("learning rate", run.train, "lr"),),
        from_zero=True,
    )


def gradient_norm(run: Run) -> Chart:
    return Chart(
        title="Gradient norm before clipping",
        says="Length of the whole gradient. Lone spikes are batches that upset the model; a steady climb announces divergence.",
        x="step",
        y="gradient norm (L2)",
        lines=(line_of("gradient norm", run.train, "gradient_norm"),),
        logarithmic=True,
    )


DIALS = (  # column of the curve, title, unit
    ("batch", "Examples a step", "examples"),
    ("length", "Sequence length", "tokens"),
    ("open", "What of the training text is open", "share of its tokens"),
    ("second", "What is drawn from the second data set", "share of the examples"),
)


def dials(run: Run) -> list[Chart]:
    """What else changed while training; the curve has a column for each dial that moves."""
    return [
        Chart(
            title=title,
            says="A dial that the knobs set in motion, as it stood at each row of the curve.",
            x="step",
            y=unit,
            lines=(line_of(column, run.train, column),),
            from_zero=True,
        )
        for column, title, unit in DIALS
        if column in run.train
    ]


def line_of(name: str, curve: Curve, column: str) -> Line:
    """A column of a curve over its steps."""
    points = [(x, y) for x, y in zip(curve.get("step", []), curve.get(column, []), strict=True) if x is not None]
    return Line(name, [x for x, _ in points], [y for _, y in points])
