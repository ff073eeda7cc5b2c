"""A cache of baseline scores, by the data and code that they depend on; no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import private
from pipeline.identity import digest, read_kept, write_kept

Rows = list[dict[str, Any]]


def cached_rows(key: Any, measure: Callable[[], Rows], cache: Path | None = None) -> Rows:
    """Rows of numbers, measured where they are not in the cache.

    Args:
        key: everything that they depend on; it can be written as JSON.
        measure: makes them.
        cache: a folder, by default in this clone.
    """
    entry = (cache or private("baselines")) / f"{digest(key)}.json"
    if (kept := read_kept(entry)) is not None:
        return kept["scores"]
    rows = measure()
    write_kept(entry, {"scores": rows})
    return rows
