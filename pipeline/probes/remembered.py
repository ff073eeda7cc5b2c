"""What is measured once for the same data and code, and kept in this clone; no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.artifacts import digest, private, read_json, write_json
from pipeline.params import Refusal

Rows = list[dict[str, Any]]


def remembered(hangs_on: Any, measure: Callable[[], Rows], cache: Path | None = None) -> Rows:
    """Rows of numbers, measured where they are not yet kept.

    Args:
        hangs_on: all that decides what they are, as JSON can hold it.
        measure: makes them.
        cache: where they are kept, by default in this clone.
    """
    entry = (cache or private("baselines")) / f"{digest(hangs_on)}.json"
    if (kept := _kept(entry)) is not None:
        return kept
    rows = measure()
    write_json(entry, {"scores": rows, "sha256": digest(rows)})
    return rows


def _kept(entry: Path) -> Rows | None:
    """The rows of an entry that is there and whole; a damaged one is as good as none."""
    try:
        content = read_json(entry, "scores", "sha256")
    except Refusal:
        return None
    return content["scores"] if digest(content["scores"]) == content["sha256"] else None
