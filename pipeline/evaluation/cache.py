"""A cache of baseline scores, by the data and code that they depend on; no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import private_folder
from pipeline.identity import digest, read_cached, write_cached

Rows = list[dict[str, Any]]


def cached_rows(key: Any, measure: Callable[[], Rows], cache: Path | None = None) -> Rows:
    """Rows of numbers, measured where they are not in the cache.

    Args:
        key: everything that they depend on; it can be written as JSON.
        measure: makes them.
        cache: a folder, by default in this clone.
    """
    entry = (cache or private_folder("baselines")) / f"{digest(key)}.json"
    if (kept := read_cached(entry)) is not None:
        return kept["scores"]
    rows = measure()
    write_cached(entry, {"scores": rows})
    return rows
