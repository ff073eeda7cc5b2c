"""Progress of long work: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from pipeline.params.errors import printable

Advance = Callable[[int], None]
"""Called with the number of further bytes that are done."""

Follow = Callable[[str, int | None], AbstractContextManager[Advance]]
"""(description of the work, its size in bytes or None if unknown) -> a block in which to call Advance."""

INTERVAL = 5.0  # seconds between two plain lines; shorter work prints nothing


def follower(kind: str) -> Follow:
    """A bar, lines or nothing, by the knob `runtime.progress`."""
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    ways: dict[str, Follow] = {"bar": _bar, "lines": functools.partial(_lines, INTERVAL), "none": _silence}
    return ways[kind]


def say(line: str) -> None:
    """Print a line to standard error."""
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
