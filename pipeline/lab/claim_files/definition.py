"""What the studies say today, read without checking every part, and how it differs from a claim file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.lab.claim_files.form import ClaimFile, Runs
from pipeline.lab.dvc.base_params import NOT_FROM_COMMIT
from pipeline.lab.provenance.dvc_files import parse_mapping
from pipeline.lab.studies.entries import FOLDER, GRID_PARTS, Entry

DATA = ("task", "prepare", "tokenize")
"""The sections that determine the data."""
IDLE = {"tokenize.vocab_size": {"tokenize.kind": ("byte", "char", "file"), "task.kind": ("vision",)}}
"""Knobs that no run reads where another knob has one of some values, so that a study need not set them."""


CHECKS = TypeAdapter(list[dict[str, dict[str, Any]]])


@dataclass(frozen=True)
class Definition:
    """A study as it stands in its file.

    Attributes:
        place: file#name.
        checks: its claims and controls, each {kind: {argument: value}}.
    """

    place: str
    entry: Entry
    runs: Runs
    checks: list[dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Difference:
    """A part of a claim that is another one today.

    Attributes:
        part: "check", "seeds", "data" or "knobs".
        is_set: of a knob that a study sets for all its runs.
    """

    part: str
    name: str
    before: Any
    after: Any
    is_set: bool = False


def definitions() -> dict[str, Definition]:
    """Every grid of studies/, by name; `rally play` says what is wrong with one that is left out here."""
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, values in (parse_mapping(path.read_bytes()) or {}).items():
            if isinstance(values, dict) and {"vary", "check", "seeds", "measure", "set"} <= values.keys():
                with contextlib.suppress(ValidationError, AttributeError, TypeError):
                    found[str(name)] = _definition(f"{path.as_posix()}#{name}", values)
    return found


def _definition(place: str, values: Mapping[str, Any]) -> Definition:
    checks = CHECKS.validate_python(values["check"])
    texts = {part: value for part, value in values.items() if part not in GRID_PARTS and part in Entry.__dataclass_fields__}
    vary = values["vary"]
    knobs = {knob: value for knob, value in values["set"].items() if knob.split(".")[0] not in NOT_FROM_COMMIT}
    own = "prepare.seed" in knobs or "prepare.seed" in varied_knobs(vary)
    runs = Runs(
        bench=values.get("bench", ""),
        set=knobs,
        vary=vary,
        measure=values["measure"] if isinstance(values["measure"], list) else [values["measure"]],
        draws="one" if own else values.get("draws", "seed"),
        seeds=values["seeds"],
        seen=values.get("seen", []),
    )
    return Definition(place, Entry(**{"says": "", "costs": "", "reaches": "", "source": "", **texts}), runs, checks)


def varied_knobs(vary: Mapping[str, Any]) -> set[str]:
    """The knobs that the axes of a grid set."""
    ways = vary.items()
    return {axis for axis, way in ways if isinstance(way, list)} | {
        knob for _, way in ways if isinstance(way, dict) for knobs in way.values() for knob in knobs
    }


def value_at(sections: Mapping[str, Any], name: str) -> Any:
    """A section or knob, by its name with dots; None where there is none."""
    value: Any = sections
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def is_idle(knob: str, own: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether no run of a study reads a knob, because of another one.

    Args:
        own: the knobs that it sets.
        base: the sections of params.yaml.

    >>> is_idle("tokenize.vocab_size", {"tokenize.kind": "char"}, {})
    True
    """
    return any(own.get(other, value_at(base, other)) in idle for other, idle in IDLE.get(knob, {}).items())


def differences(file: ClaimFile, today: Definition) -> list[Difference]:
    """Every bound, list of seeds and knob that differs."""
    found = list(_of_claims([check.claim for check in (*file.checks, *file.controls)], _in_order(today.checks)))
    then, now = file.runs, today.runs
    found += [Difference("seeds", word, one, other) for word, one, other in _pairs(then, now, "seeds", "seen") if one != other]
    for word, one, other in _pairs(then, now, "bench", "measure", "draws"):
        found += [Difference("knobs", word, one, other)] if one != other else []
    for knob in dict.fromkeys((*then.set, *now.set)):
        if then.set.get(knob) != now.set.get(knob):
            found.append(Difference(_part_of({knob}), knob, then.set.get(knob), now.set.get(knob), is_set=True))
    for axis in dict.fromkeys((*then.vary, *now.vary)):
        before, after = then.vary.get(axis), now.vary.get(axis)
        if before != after or (isinstance(before, dict) and isinstance(after, dict) and [*before] != [*after]):
            part = _part_of(varied_knobs({axis: before or {}}) | varied_knobs({axis: after or {}}))
            found.append(Difference(part, f"vary {axis}", before, after))
    return found


def _pairs(then: Runs, now: Runs, *words: str) -> Iterator[tuple[str, Any, Any]]:
    return ((word, getattr(then, word), getattr(now, word)) for word in words)


def _part_of(knobs: set[str]) -> str:
    return "data" if any(knob.split(".")[0] in DATA for knob in knobs) else "knobs"


def _in_order(checks: list[dict[str, dict[str, Any]]]) -> list[dict[str, dict[str, Any]]]:
    """Claims before controls, as a claim file has them."""
    return sorted(checks, key=is_control)


def is_control(check: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a check of a study must not hold."""
    return any(bool(arguments.get("control")) for arguments in check.values())


def _of_claims(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[Difference]:
    """The arguments of claims that differ; claims that came or went as a whole."""
    for number, (before, after) in enumerate(zip(_filled(then, len(now)), _filled(now, len(then)), strict=True), 1):
        if before == after:
            continue
        if before and after and [*before] == [*after]:
            [(kind, one)], [(_, other)] = before.items(), after.items()
            for word in dict.fromkeys((*one, *other)):
                if one.get(word) != other.get(word):
                    yield Difference("check", f"check {number}: {kind}.{word}", one.get(word), other.get(word))
        else:
            yield Difference("check", f"check {number}", before, after)


def _filled(claims: list[dict[str, Any]], length: int) -> list[dict[str, Any] | None]:
    return [*claims, *[None] * (length - len(claims))]
