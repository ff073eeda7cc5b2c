"""The file of one run of a plan: its checkpoints and its forecast, written before the run began, and read by the doctor."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.doctor.signs.plan import NUMBERS
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import read_yaml

LEVELS = ("uniform", "unigram", "bigram", "entropy")
PLACES = r"step \d{1,9}|\d{1,2} %|end"
PARTS = ("at", "what", "low", "high", "plus", "missed")


def read_expected(path: Path) -> dict[str, Any]:
    """What a run must be, by a file that `rally plan run` wrote.

    Raises:
        UserError: it cannot be read, or was altered into something that no run can be compared with.
    """
    if not path.is_file():
        raise UserError(f"plan.path: there is no file {path}; `rally plan run` writes it, and data/none means none")
    content = read_yaml(path)
    rows = content.get("checkpoints") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: has no list `checkpoints`; `git checkout {path}` brings it back, data/none means none")
    if not isinstance(content.get("knobs", {}), dict):
        raise UserError(f"{path}: knobs: {content['knobs']!r} is not knobs with their values; leave it out for any run")
    if problems := [f"{path}: checkpoint {number}: {what}" for number, row in enumerate(rows, 1) for what in problems_of(row)]:
        raise UserError(*problems)
    return dict(content)


def problems_of(row: Any) -> Iterator[str]:
    """What is wrong with a checkpoint that was read."""
    if not isinstance(row, Mapping):
        yield f"is {row!r}, not the parts {', '.join(PARTS)}"
        return
    yield from (f"has no part {part!r}. {suggest(str(part), PARTS)}" for part in row if part not in PARTS)
    if not re.fullmatch(PLACES, str(row.get("at"))):
        yield f"at: {row.get('at')!r} is not a place in a run; use step 100, 25 % or end"
    if row.get("what") not in NUMBERS:
        yield f"what: there is no {row.get('what')!r}. {suggest(str(row.get('what')), tuple(NUMBERS))}"
    yield from _problems_of_baselines(row.get("plus", {}))
    if not isinstance(row.get("missed", ""), str):
        yield f"missed: {row['missed']!r} is not a text"
    bounds = [row[end] for end in ("low", "high") if row.get(end) is not None]
    if not bounds or not all(is_number(bound) for bound in bounds):
        yield "low and high: at least one of them must be a finite number, and neither anything else"
    elif len(bounds) == 2 and bounds[0] > bounds[1]:
        yield f"low {bounds[0]:g} is above high {bounds[1]:g}; no run can meet both"


def _problems_of_baselines(plus: Any) -> Iterator[str]:
    if not isinstance(plus, Mapping):
        yield f"plus: {plus!r} is not baselines with their shares, such as {{unigram: 0.8, bigram: 0.2}}"
        return
    for level, share in plus.items():
        if level not in LEVELS:
            yield f"plus: there is no baseline {level!r}. {suggest(str(level), LEVELS)}"
        if not is_number(share) or not 0 <= share <= 1:
            yield f"plus: {share!r} is not a share; use 0 to 1"


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
