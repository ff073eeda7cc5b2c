"""The entries of studies/*.yaml: read, validated, and found by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.lab.dvc.exp_names import is_valid_name
from pipeline.lab.dvc.overrides import KnobValue
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.params.yaml12 import read_yaml

if TYPE_CHECKING:
    from pipeline.lab.studies.grid import Sweep
    from pipeline.lab.studies.search_space import Search

FOLDER = Path("studies")
PARTS = ("says", "set", "costs", "reaches", "source")  # of every entry
GRID_TEXTS = ("predicts", "control", "notice", "next")  # in addition, of an entry that is many runs; its `says` is the question
GRID_PARTS = ("vary", "seeds", "measure", "check", "bench", "shows", "draws", "seen", "search")  # the same, for the program


@dataclass(frozen=True)
class Entry:
    """A named experiment, a grid of many small runs, or a search.

    Attributes:
        says: what it teaches; of a grid the question.
        set: knob -> value where it overrides params.yaml.
        costs: time, memory, downloads.
        reaches: the expected result, which shows whether something is broken.
        source: of the settings and of the expected result.
        predicts: of a grid: the expected answer, written before it ran.
        control: of a grid: what must not hold, and what that rules out.
        notice: of a grid: what to look at in its picture, why it is so, and the trap in it.
        next: of a grid: the command that a learner would type after it.
        sweep: the grid; None for an experiment, which DVC runs, and for a search.
        search: the search; it has the texts of a grid.
        file: the file of studies/ that it stands in.
    """

    says: str
    set: Mapping[str, KnobValue]
    costs: str
    reaches: str
    source: str
    predicts: str = ""
    control: str = ""
    notice: str = ""
    next: str = ""
    sweep: Sweep | None = None
    search: Search | None = None
    file: str = ""

    @property
    def question(self) -> str:
        """The sentence of `says` that asks; of an entry that asks nothing its first one."""
        sentences = self._sentences()
        return next((sentence for sentence in sentences if sentence.endswith("?")), sentences[0])

    @property
    def price(self) -> str:
        """Its costs without the number of runs, which is counted."""
        return re.sub(r"^[\d,]+ (runs|trainings), ", "", self.costs)

    @property
    def explained(self) -> str:
        """The rest of `says`: the setting."""
        return " ".join(sentence for sentence in self._sentences() if sentence != self.question)

    @property
    def scored(self) -> Sweep | None:
        """The grid of its scores: its own, or that of a search."""
        return self.search.sweep if self.search else self.sweep

    @property
    def varied(self) -> frozenset[str]:
        """The knobs that it varies."""
        if self.search:
            return frozenset(knob.name for knob in self.search.space)
        knobs = self.sweep.knobs if self.sweep else ()
        return frozenset(knob for settings in knobs for labelled in settings for knob in labelled)

    def _sentences(self) -> list[str]:
        return re.split(r"(?<=[.?!])\s+(?=[A-Z])", " ".join(self.says.split()))


def read_entries(folder: Path = FOLDER) -> dict[str, Entry]:
    """Every entry of every study, by name.

    Raises:
        UserError: with one line for each problem of an entry, and for a name that is given twice.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: holds no entries; studies/anchors.yaml shows what they look like")
        for name, values in content.items():
            found = _problems(name, values)
            if name in entries:
                found.append("another study has an entry of this name")
            made: dict[str, Any] = {}
            if not found and any(part in values for part in GRID_PARTS):
                one_draw = {"draws": "one"} if "prepare.seed" in values["set"] else {}
                made = _many_runs({part: values.pop(part) for part in GRID_PARTS if part in values} | one_draw, found)
            problems += [f"{path}: {name}: {problem}" for problem in found]
            if not found:
                entries[name] = Entry(**values, **made, file=path.name)
    if problems:
        raise UserError(*problems)
    return entries


def _problems(name: Any, values: Any) -> list[str]:
    known = (*PARTS, *GRID_TEXTS, *GRID_PARTS)
    if not isinstance(values, dict):
        return [f"is not an entry; an entry has {', '.join(PARTS)}"]
    problems = [f"{word}: there is no such part. {suggest(str(word), known)}" for word in values if word not in known]
    required = (*PARTS, *GRID_TEXTS) if any(part in values for part in GRID_PARTS) else PARTS
    problems += [f"{word}: is missing" for word in required if word not in values]
    problems += [
        f"{word}: {value!r} is not text"
        for word, value in values.items()
        if word in (*PARTS, *GRID_TEXTS) and word != "set" and not isinstance(value, str)
    ]
    if not isinstance(values.get("set", {}), dict):
        problems.append("set: holds no knobs (train.lr: 0.001 …)")
    if not is_valid_name(str(name)):
        problems.append("this name means something else to git or DVC; use letters, digits, . and -, and not only a to f")
    return problems


def _many_runs(parts: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The grid or the search, under its name in an entry."""
    from pipeline.lab.studies.grid import read_sweep  # numpy is slow to import
    from pipeline.lab.studies.search_space import read_search

    try:
        if "search" in parts:
            return {"search": read_search(parts.pop("search"), parts)}
        return {"sweep": read_sweep(parts)}
    except UserError as error:
        problems += error.problems
        return {}


def find_entry(name: str, entries: Mapping[str, Entry], others: tuple[str, ...] = ()) -> Entry:
    """The entry of this name.

    Args:
        others: names that the command takes besides.

    Raises:
        UserError: there is none, or it is a grid with a control that cannot fail. (To find that out for every grid that is read
            would double the time of commands.)
    """
    if name not in entries:
        raise UserError(f"{FOLDER}: there is no '{name}'. {suggest(name, (*others, *entries))}")
    if sweep := entries[name].scored:
        from pipeline.lab.studies.controls import implied_controls

        if problems := implied_controls(sweep.axes, sweep.measures, sweep.claims):
            raise UserError(*(f"{entries[name].file or FOLDER}: {name}: {problem}" for problem in problems))
    return entries[name]
