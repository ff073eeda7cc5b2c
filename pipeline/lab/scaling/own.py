"""The user's own ladders, notebook/ladder.json: what they advise at a given compute. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_json
from pipeline.figures.words import formatted
from pipeline.lab.scaling.forecast import Advice, between
from pipeline.lab.scaling.published import LARGEST, SMALLEST, TABLE
from pipeline.params.errors import UserError
from pipeline.params.schema import Params

LEDGER = Path("notebook/ladder.json")
REACH = 30.0  # a ladder says nothing about a compute so many times larger than its largest run, or smaller than its smallest


def read_ladders() -> dict[str, Any]:
    """Every ladder by its name; empty where there is none.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    if not LEDGER.exists():
        return {}
    ladders = read_json(LEDGER, "ladders")["ladders"]
    if not isinstance(ladders, dict) or not all(isinstance(one, dict) for one in ladders.values()):
        raise UserError(f"{LEDGER}: holds no ladders; `git checkout {LEDGER}` brings them back, or remove the file")
    return ladders


def write_ladder(name: str, content: Mapping[str, Any]) -> None:
    """Put a ladder into the file; the others stay."""
    write_json(LEDGER, {"ladders": {**read_ladders(), name: content}})


def data_key(params: Params) -> dict[str, str]:
    """Of what text a ladder is: it says nothing about another."""
    return {"dataset": params.prepare.dataset, "tokenizer": params.tokenize.kind}


def advice_here(params: Params, flops: float) -> tuple[Advice, str]:
    """How many tokens to train each parameter on for so many FLOPs, and who says so, in words.

    It is the user's own ladder, where one of this text and about this compute is there; the published fits otherwise.
    """
    try:
        ladders = read_ladders()
    except UserError:
        ladders = {}
    for name, content in ladders.items():
        try:
            low, high = content["compute"]
            if content["data"] == data_key(params) and low / REACH <= flops <= high * REACH and _can_advise(content["advice"]):
                return between([Advice(*row) for row in content["advice"]], flops), f"your ladder {name}"
        except (ArithmeticError, KeyError, TypeError, ValueError):
            continue
    found = between(TABLE, flops)
    where = "far below their smallest run" if flops < SMALLEST / 3 else "far above their largest" if flops > 3 * LARGEST else ""
    return found, f"published fits{', ' + where if where else ''}"


def _can_advise(rows: Sequence[Sequence[float]]) -> bool:
    """Whether a table is one: of finite numbers above 0, the FLOPs rising; an edited one may be anything."""
    rises = all(one[0] < other[0] for one, other in pairwise(rows))
    return len(rows) > 1 and rises and all(0 < number < math.inf for row in rows for number in row)


def advice_text(params: Params, flops: float) -> str:
    """The advice in a few words: `best at 5e16 FLOPs: 28 (22 to 41), say published fits, far below their smallest run`."""
    found, who = advice_here(params, flops)
    low, middle, high = (formatted(number, 2) for number in (found.low, found.tokens_per_parameter, found.high))
    says = "says" if who.startswith("your ladder") else "say"
    return f"best at {formatted(flops, 2)} FLOPs: {middle} ({low} to {high}), {says} {who}"
