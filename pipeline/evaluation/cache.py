"""A cache of baseline scores, by the data and code that they depend on; no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import cache_folder, private_folder
from pipeline.identity import digest, read_cached, write_cached
from pipeline.params.errors import UserError

Rows = list[dict[str, Any]]


def cached_rows(key: Any, measure: Callable[[], Rows], cache: Path | None = None) -> Rows:
    """Rows of numbers, measured where they are not in the cache.

    Args:
        key: everything that they depend on, by content; it can be written as JSON.
        measure: makes them.
        cache: a folder; by default that of all clones and experiments of this user, or this clone's where that is read-only.
    """
    folders = [cache] if cache else [cache_folder() / "baselines", private_folder("baselines")]
    entries = [folder / f"{digest(key)}.json" for folder in folders]
    for entry in entries:
        if (kept := read_cached(entry)) is not None:
            return kept["scores"]
    rows = measure()
    for entry in entries[:-1]:
        with contextlib.suppress(OSError, UserError):
            write_cached(entry, {"scores": rows})
            return rows
    write_cached(entries[-1], {"scores": rows})
    return rows
