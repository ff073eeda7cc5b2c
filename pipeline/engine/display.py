"""Progress display of a training: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from pipeline.params.errors import printable
from pipeline.tasks.base import Unit

Row = Mapping[str, float]

LINES = 10  # plain lines per training


@runtime_checkable
class Display(Protocol):
    """Shows the progress of a training."""

    def show(self, step: int, targets: int, loss: float | None, validation: Row | None, skipped: int = 0) -> None:
        """Show a step; called at every step, so it must be cheap when there is nothing new to show.

        Args:
            targets: trained on so far.
            validation: the newest row of metrics/validation.csv.
            skipped: steps that were skipped because float16 overflowed.
        """

    def say(self, line: str) -> None:
        """Print a line."""

    def close(self) -> None:
        """End the display: the training is over or interrupted."""


def display(kind: str, steps: int, first: int, targets: int, unit: Unit) -> Display:
    """The display that the knob asks for: a bar, lines or nothing.

    Args:
        kind: the knob `runtime.progress`.
        steps: of the whole training.
        first, targets: steps and targets that are done already.
        unit: what a target is, in the plural.
    """
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    return {"bar": Bar, "lines": Lines, "none": Silence}[kind](steps, first, targets, unit)


class Silence:
    """Shows messages only."""

    def __init__(self, steps: int, first: int, targets: int, unit: Unit) -> None:
        self.steps, self.first, self.targets, self.unit, self.start = steps, first, targets, unit, time.monotonic()

    def show(self, step: int, targets: int, loss: float | None, validation: Row | None, skipped: int = 0) -> None:
        pass

    def say(self, line: str) -> None:
        print(printable(line), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass

    def _status(self, step: int, targets: int, loss: float | None, validation: Row | None, skipped: int) -> list[str]:
        """Loss, validation loss (of classification with accuracy), speed since the start and time left, as strings."""
        seconds = max(time.monotonic() - self.start, 1e-9)
        left = (self.steps - step) * seconds / max(step - self.first, 1)
        parts = [f"loss {loss:.3f}"] if loss is not None else []
        if validation is not None:
            parts.append(f"validation {validation['loss']:.3f}")
            parts += [f"accuracy {validation['accuracy']:.1%}"] if self.unit == "examples" else []
        parts += [f"{skipped:,} skipped"] if skipped else []
        return [*parts, f"{(targets - self.targets) / seconds:,.0f} {self.unit}/s", f"{_clock(left)} left"]


class Lines(Silence):
    """A line for every tenth of the training."""

    def show(self, step: int, targets: int, loss: float | None, validation: Row | None, skipped: int = 0) -> None:
        if step > self.first and step * LINES // self.steps > (step - 1) * LINES // self.steps and loss is not None:
            self.say("  ".join([f"step {step:,}/{self.steps:,}", *self._status(step, targets, loss, validation, skipped)]))


class Bar(Silence):
    """A live bar with loss, speed and time left."""

    def __init__(self, steps: int, first: int, targets: int, unit: Unit) -> None:
        super().__init__(steps, first, targets, unit)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = ("train", BarColumn(), "{task.completed:,.0f}/{task.total:,.0f}", TextColumn("{task.fields[text]}"))
        self.bar: Any = Progress(*columns, console=Console(stderr=True), refresh_per_second=5)
        self.task = self.bar.add_task("train", total=steps, completed=first, text="")
        self.bar.start()
        self.shown = 0.0

    def show(self, step: int, targets: int, loss: float | None, validation: Row | None, skipped: int = 0) -> None:
        if time.monotonic() - self.shown < 0.2 and step < self.steps:
            return
        self.shown = time.monotonic()
        self.bar.update(self.task, completed=step, text="  ".join(self._status(step, targets, loss, validation, skipped)))

    def say(self, line: str) -> None:
        self.bar.console.print(printable(line), markup=False, highlight=False)

    def close(self) -> None:
        self.bar.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
