"""What is measured once for the same data and code, and kept in this clone; no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import private_folder
from pipeline.identity import digest, read_cached, write_cached

Rows = list[dict[str, Any]]


def remembered(hangs_on: Any, measure: Callable[[], Rows], cache: Path | None = None) -> Rows:
    """Rows of numbers, measured where they are not yet kept.

    Args:
        hangs_on: all that decides what they are, as JSON can hold it.
        measure: makes them.
        cache: where they are kept, by default in this clone.
    """
    entry = (cache or private_folder("baselines")) / f"{digest(hangs_on)}.json"
    if (kept := read_cached(entry)) is not None:
        return kept["scores"]
    rows = measure()
    write_cached(entry, {"scores": rows})
    return rows
