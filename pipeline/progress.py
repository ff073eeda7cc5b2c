"""How far is it? Long work shown as it goes: a live bar in a terminal, plain lines elsewhere. Nothing here is a result."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from pipeline.params.errors import printable

Advance = Callable[[int], None]
"""Says that so many more bytes are done."""

Follow = Callable[[str, int | None], AbstractContextManager[Advance]]
"""Follows one piece of work: (what it is, how many bytes in all, None = not known) -> a block in which to advance."""

SECONDS = 5.0  # between two plain lines: short work says nothing at all


def follower(kind: str) -> Follow:
    """A bar, lines or nothing, as the knob `runtime.progress` says."""
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    ways: dict[str, Follow] = {"bar": _bar, "lines": functools.partial(_lines, SECONDS), "none": _silence}
    return ways[kind]


def say(line: str) -> None:
    """A line of its own on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _silence(what: str, total: int | None) -> Iterator[Advance]:
    yield lambda count: None


@contextlib.contextmanager
def _lines(seconds: float, what: str, total: int | None) -> Iterator[Advance]:
    done, told = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, told
        done += count
        if time.monotonic() - told >= seconds:
            told = time.monotonic()
            say(f"{what}: {done / 1e6:,.1f}" + (f" of {total / 1e6:,.1f} MB" if total else " MB"))

    yield advance


@contextlib.contextmanager
def _bar(what: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    name = TextColumn("{task.description}", markup=False)  # a file's name may look like Rich's markup
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
