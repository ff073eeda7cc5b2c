"""What a person sees while training: a live bar in a terminal, plain lines elsewhere. Nothing here is a result."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, runtime_checkable

LINES = 10  # plain lines of a whole training


@runtime_checkable
class Display(Protocol):
    """Shows how far the training is."""

    def show(self, step: int, tokens: int, loss: float | None, validation: float | None, skipped: int = 0) -> None:
        """Tell of a step; called at every one, so it must cost nothing when there is nothing new to show.

        Args:
            skipped: steps that were left out because float16 overflowed.
        """

    def say(self, line: str) -> None:
        """A line of its own."""

    def close(self) -> None:
        """The training is over or interrupted."""


def display(kind: str, steps: int, first: int, tokens: int) -> Display:
    """A bar, lines or nothing.

    Args:
        kind: the knob `runtime.progress`.
        steps: of the whole training; `first` of them and so many `tokens` are done already.
    """
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    return {"bar": Bar, "lines": Lines, "none": Silence}[kind](steps, first, tokens)


class Silence:
    """Shows nothing but what must be said."""

    def __init__(self, steps: int, first: int, tokens: int) -> None:
        self.steps, self.first, self.tokens, self.start = steps, first, tokens, time.monotonic()

    def show(self, step: int, tokens: int, loss: float | None, validation: float | None, skipped: int = 0) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        pass

    def pace(self, step: int, tokens: int) -> tuple[float, float]:
        """(tokens a second since the start, seconds left)."""
        seconds = max(time.monotonic() - self.start, 1e-9)
        return (tokens - self.tokens) / seconds, (self.steps - step) * seconds / max(step - self.first, 1)


class Lines(Silence):
    """A line at every tenth of the training."""

    def show(self, step: int, tokens: int, loss: float | None, validation: float | None, skipped: int = 0) -> None:
        if step > self.first and step * LINES // self.steps > (step - 1) * LINES // self.steps and loss is not None:
            speed, left = self.pace(step, tokens)
            held_out = f"  validation {validation:.3f}" if validation is not None else ""
            left_out = f"  {skipped:,} skipped" if skipped else ""
            progress = f"step {step:,}/{self.steps:,}  loss {loss:.3f}{held_out}{left_out}"
            self.say(f"{progress}  {speed:,.0f} tokens/s  {_clock(left)} left")


class Bar(Silence):
    """A live bar with loss, speed and time left."""

    def __init__(self, steps: int, first: int, tokens: int) -> None:
        super().__init__(steps, first, tokens)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = ("train", BarColumn(), "{task.completed:,.0f}/{task.total:,.0f}", TextColumn("{task.fields[text]}"))
        self.bar: Any = Progress(*columns, console=Console(stderr=True), refresh_per_second=5)
        self.task = self.bar.add_task("train", total=steps, completed=first, text="")
        self.bar.start()
        self.shown = 0.0

    def show(self, step: int, tokens: int, loss: float | None, validation: float | None, skipped: int = 0) -> None:
        if time.monotonic() - self.shown < 0.2 and step < self.steps:
            return
        self.shown = time.monotonic()
        speed, left = self.pace(step, tokens)
        parts = [f"loss {loss:.3f}"] if loss is not None else []
        parts += [f"validation {validation:.3f}"] if validation is not None else []
        parts += [f"{skipped:,} skipped"] if skipped else []
        self.bar.update(self.task, completed=step, text="  ".join([*parts, f"{speed:,.0f} tokens/s", f"{_clock(left)} left"]))

    def say(self, line: str) -> None:
        self.bar.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self.bar.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
