"""Which processes stand in a folder? Asked before anything there is taken for left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil


def processes_in(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """(command line, working directory) of each process in a folder, or in one below it; those of other users are not seen.

    Args:
        folder: resolved, as working directories are.
    """
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, place = process.info["cmdline"] or [], process.info["cwd"]  # None: another user's
        if place and Path(place).is_relative_to(folder):
            yield words, Path(place)
