"""The log of all duels, notebook/duels.jsonl: one line for each, only ever appended. Git tracks it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.writing import write_bytes
from pipeline.params.errors import UserError

LOG = Path("notebook/duels.jsonl")
PARTS = ("date", "champion", "challenger", "metric", "draws", "seeds", "values", "gain", "verdict", "rule", "seconds")
LARGEST = sys.float_info.max
PASSING = ("date", "seconds")  # parts that differ when the same duel is fought again

Line = Mapping[str, Any]


def read_log() -> list[Line]:
    """Every line, the oldest first.

    Raises:
        UserError: a line was altered so that it is none.
    """
    if not LOG.exists():
        return []
    found = list[Line]()
    for number, text in enumerate(LOG.read_bytes().decode("utf-8", "replace").split("\n"), 1):
        if not text:
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not _is_duel(line):
            raise UserError(f"{LOG}: line {number} is not that of a duel; `git log -p {LOG}` shows who changed it")
        found.append(line)
    return found


def _is_duel(line: Any) -> bool:
    """Whether a line has all that is read of it: who met by what, the seeds, and a score or None of each side with each."""
    if not isinstance(line, dict) or any(part not in line for part in PARTS):
        return False
    sides = ("champion", "challenger")
    texts = [line["date"], line["metric"], line["draws"], line["verdict"]]
    texts += [line[side].get("identity") if isinstance(line[side], dict) else None for side in sides]
    seeds, values = line["seeds"], line["values"]
    rows = [values.get(side) if isinstance(values, dict) else None for side in sides]
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(seeds, list)
        and all(type(seed) is int for seed in seeds)
        and all(isinstance(row, list) and len(row) == len(seeds) and all(map(_is_score, row)) for row in rows)
    )


def _is_score(value: Any) -> bool:
    """Whether it is a number that a float holds, or None of a training that diverged."""
    return value is None or (type(value) in (int, float) and -LARGEST <= value <= LARGEST)


def append(line: Line) -> None:
    """Append a line; those before it keep their bytes."""
    before = LOG.read_bytes() if LOG.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_bytes(LOG, before + json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def earlier(lines: Sequence[Line], like: Line) -> Line | None:
    """The last line of the same two sides, metric and draws; None where they have not met."""
    same = [line for line in lines if _meeting(line) == _meeting(like)]
    return same[-1] if same else None


def _meeting(line: Line) -> tuple[Any, ...]:
    return line["champion"]["identity"], line["challenger"]["identity"], line["metric"], line["draws"]


def says_the_same(one: Line, other: Line) -> bool:
    """Whether two lines differ in nothing but the day and the seconds."""
    return all(one[part] == other[part] for part in PARTS if part not in PASSING)


def highest_seed(lines: Sequence[Line]) -> int:
    """The highest seed of all duels; -1 where there are none."""
    return max((seed for line in lines for seed in line["seeds"]), default=-1)
