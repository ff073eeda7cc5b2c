"""Processes: which of them work in a folder, and whether a noted one still runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil


def processes_in(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """(command line, working directory) of each process in a folder or below it; those of other users are not seen.

    Args:
        folder: resolved, as working directories are.
    """
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, place = process.info["cmdline"] or [], process.info["cwd"]  # None: another user's
        if place and Path(place).is_relative_to(folder):
            yield words, Path(place)


def is_running(pid: int, noted_at: float, argument: str = "") -> bool:
    """Whether a noted process still runs, and its number was not given to another process since.

    Args:
        noted_at: when the number was noted, in seconds since the epoch; a process that began later (by more than a second, for
            coarse clocks) is another one.
        argument: text in its command line, where that is known.
    """
    try:
        process = psutil.Process(pid)
        return process.create_time() <= noted_at + 1 and any(argument in word for word in process.cmdline() or [""])
    except psutil.NoSuchProcess:  # a zombie too
        return False
    except psutil.AccessDenied:
        return True
