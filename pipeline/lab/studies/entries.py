"""Studies: the entries of studies/*.yaml, read, checked, found by name and listed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.lab.dvc.overrides import Knob
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import read_yaml

if TYPE_CHECKING:
    from pipeline.lab.studies.grid import Sweep
from pipeline.lab.dvc.launch import is_good_name

STUDIES = Path("studies")


@dataclass(frozen=True)
class Entry:
    """A named set of knobs, with what it is for."""

    says: str  # what one learns from it
    set: Mapping[str, Knob]  # "train.lr": 0.001, …: the knobs that differ from params.yaml
    costs: str  # time, memory, downloads
    reaches: str  # what it should come to, so that one sees whether something is broken
    source: str  # who says so
    predicts: str = ""  # of a sweep: what should come of it, said before it ran
    control: str = ""  # of a sweep: what of it must not hold, and what that rules out
    sweep: Sweep | None = None  # what it varies, where it is many small runs and no experiment of DVC's


def read_all(folder: Path = STUDIES) -> dict[str, Entry]:
    """Every entry of every study, by name.

    Raises:
        UserError: with one line for each entry that is no entry, or that bears another's name.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: holds no entries; studies/anchors.yaml shows how one looks")
        for name, values in content.items():
            found = _problems(name, values)
            if name in entries:
                found.append("another study has an entry of this name")
            sweep = None
            if not found and any(part in values for part in SWEEP):
                sweep = _sweep({part: values.pop(part) for part in SWEEP if part in values}, found)
            problems += [f"{path}: {name}: {problem}" for problem in found]
            if not found:
                entries[name] = Entry(**values, sweep=sweep)
    if problems:
        raise UserError(*problems)
    return entries


PARTS = ("says", "set", "costs", "reaches", "source")  # of every entry


TEXTS = ("predicts", "control")  # of one that is many runs, whose `says` is the question, beside those


SWEEP = ("vary", "seeds", "measure", "check", "bench", "shows")  # the same, for the program


def _problems(name: Any, values: Any) -> list[str]:
    known = (*PARTS, *TEXTS, *SWEEP)
    if not isinstance(values, dict):
        return [f"is no entry; one has {', '.join(PARTS)}"]
    problems = [f"{word}: there is no such part. {suggest(str(word), known)}" for word in values if word not in known]
    wanted = (*PARTS, *TEXTS) if any(part in values for part in SWEEP) else PARTS
    problems += [f"{word}: is missing" for word in wanted if word not in values]
    problems += [
        f"{word}: {value!r} is not text"
        for word, value in values.items()
        if word in (*PARTS, *TEXTS) and word != "set" and not isinstance(value, str)
    ]
    if not isinstance(values.get("set", {}), dict):
        problems.append("set: holds no knobs (train.lr: 0.001 …)")
    if not is_good_name(str(name)):
        problems.append("such a name means something else to git or DVC (letters, digits, . and -; not only a to f)")
    return problems


def _sweep(parts: dict[str, Any], problems: list[str]) -> Sweep | None:
    from pipeline.lab.studies import grid  # which waits for numpy

    try:
        return grid.read(parts)
    except UserError as refusal:
        problems += refusal.problems
        return None


def find(name: str, entries: Mapping[str, Entry]) -> Entry:
    """The entry of this name.

    Raises:
        UserError: there is none.
    """
    if name not in entries:
        raise UserError(f"{STUDIES}: there is no '{name}'. {suggest(name, tuple(entries))}")
    return entries[name]


def listing(entries: Mapping[str, Entry]) -> str:
    """What there is to play, for people."""
    return "\n\n".join(
        "\n".join(
            (
                name,
                _filled(entry.says, 4),
                *(_filled(f"{word:8} {text}", 13) for word in LISTED if (text := getattr(entry, word))),
            )
        )
        for name, entry in entries.items()
    )


LISTED = ("predicts", "control", "costs", "reaches", "source")


def _filled(text: str, indent: int) -> str:
    return textwrap.fill(text, 100, initial_indent="    ", subsequent_indent=" " * indent)
