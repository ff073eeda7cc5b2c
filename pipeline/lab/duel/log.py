"""The log of all duels, notebook/duels.jsonl: one line for each, only ever appended. Git tracks it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.writing import write_text
from pipeline.params.errors import UserError

LOG = Path("notebook/duels.jsonl")
PARTS = ("date", "champion", "challenger", "metric", "draws", "seeds", "values", "gain", "verdict", "rule", "seconds")
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
        except ValueError:
            line = None
        if not isinstance(line, dict) or any(part not in line for part in PARTS):
            raise UserError(f"{LOG}: line {number} is not that of a duel; `git log -p {LOG}` shows who changed it")
        found.append(line)
    return found


def append(line: Line) -> None:
    """Append a line."""
    before = LOG.read_bytes().decode("utf-8") if LOG.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    write_text(LOG, f"{before}{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n")


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
