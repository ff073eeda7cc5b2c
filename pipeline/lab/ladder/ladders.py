"""The ladders of ladders.yaml, each a list of compute budgets with the widths tried at it; and sizes that the user adds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import read_yaml

FILE = Path(__file__).with_name("ladders.yaml")
SAME = 1.02  # budgets whose FLOPs differ by less than this factor are one


@dataclass(frozen=True)
class Rung:
    """A compute budget.

    Attributes:
        flops: of each of its runs.
        widths: of the models that are trained for so many FLOPs.
    """

    flops: float
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Ladder:
    """Rungs from the cheapest to the top, which is held out.

    Attributes:
        known: the entropy of the text is known, and E is fixed to it.
        knobs: set over those of params.yaml.
        seeds: of every rung; of the top the first alone.
    """

    name: str
    says: str
    measured: str
    known: bool
    knobs: Mapping[str, Any]
    rungs: tuple[Rung, ...]
    top: Rung
    seeds: tuple[int, ...]


def read_ladders() -> dict[str, Ladder]:
    """Every ladder of the file, by its name."""
    content = read_yaml(FILE)
    return {name: _ladder(name, parts, content) for name, parts in content.items()}


def _ladder(name: str, parts: Mapping[str, Any], content: Mapping[str, Any]) -> Ladder:
    rungs = tuple(_rung(rung) for rung in parts["rungs"])
    knobs = {**(content[parts["like"]]["set"] if "like" in parts else {}), **parts["set"]}
    about = (parts["says"], parts["measured"], parts["known"], knobs)
    return Ladder(name, *about, rungs, _rung(parts["top"]), tuple(parts["seeds"]))


def _rung(parts: Mapping[str, Any]) -> Rung:
    return Rung(float(parts["flops"]), tuple(parts["widths"]))


def find_ladder(name: str) -> Ladder:
    """The ladder of this name.

    Raises:
        UserError: there is none.
    """
    ladders = read_ladders()
    if name not in ladders:
        raise UserError(f"rally ladder: there is no '{name}'. {suggest(name, tuple(ladders))}")
    return ladders[name]


def with_sizes(ladder: Ladder, added: Sequence[str]) -> Ladder:
    """The ladder with further widths at some budgets.

    Args:
        added: each FLOPS:WIDTH, such as 8e9:64.

    Raises:
        UserError: one of them cannot be read, or names no budget of the ladder.
    """
    for text in added:
        found = re.fullmatch(r"(\d+(?:\.\d*)?(?:[eE]\+?\d+)?):(\d{1,5})", text, re.ASCII)
        if not found or float(found[1]) <= 0:
            raise UserError(f"--add {text}: is not FLOPS:WIDTH, such as {ladder.rungs[0].flops:g}:64")
        flops, width = float(found[1]), int(found[2])
        at = [rung for rung in (*ladder.rungs, ladder.top) if 1 / SAME < rung.flops / flops < SAME]
        if not at:
            known = ", ".join(f"{rung.flops:g}" for rung in (*ladder.rungs, ladder.top))
            raise UserError(f"--add {text}: ladder {ladder.name} has no budget of {flops:g} FLOPs; its budgets: {known}")
        wider = Rung(at[0].flops, tuple(sorted({*at[0].widths, width})))
        if at[0] == ladder.top:
            ladder = replace(ladder, top=wider)
        else:
            ladder = replace(ladder, rungs=tuple(wider if rung == at[0] else rung for rung in ladder.rungs))
    return ladder
