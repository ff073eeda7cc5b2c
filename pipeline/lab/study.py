"""What to play: named sets of knobs from studies/, each run as an experiment of DVC."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.params import (
    OF_KINDS,
    Params,
    ParamsError,
    Refusal,
    load,
    parse,
    printable,
    read_sections,
    read_yaml,
    suggest,
    with_knobs,
)

if TYPE_CHECKING:
    from pipeline.lab.grid import Sweep

STUDIES = Path("studies")

Knob = bool | int | float | str | list[Any]


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


# --------------------------------------------------------------------------------------------------------------- reading


def read_all(folder: Path = STUDIES) -> dict[str, Entry]:
    """Every entry of every study, by name.

    Raises:
        Refusal: with one line for each entry that is no entry, or that bears another's name.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise Refusal(f"{path}: holds no entries; studies/anchors.yaml shows how one looks")
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
        raise Refusal(*problems)
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
    if not _is_good_name(str(name)):
        problems.append("such a name means something else to git or DVC (letters, digits, . and -; not only a to f)")
    return problems


def _sweep(parts: dict[str, Any], problems: list[str]) -> Sweep | None:
    from pipeline.lab import grid  # which waits for numpy

    try:
        return grid.read(parts)
    except Refusal as refusal:
        problems += refusal.problems
        return None


def _is_good_name(name: str) -> bool:
    """Whether git takes it as a reference, and DVC never as the beginning of a commit (`e1` breaks `dvc plots diff`)."""
    is_reference = re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*", name) and not name.endswith((".", ".lock"))
    return bool(is_reference) and not re.fullmatch(r"[0-9a-fA-F]{1,40}", name)


def find(name: str, entries: Mapping[str, Entry]) -> Entry:
    """The entry of this name.

    Raises:
        Refusal: there is none.
    """
    if name not in entries:
        raise Refusal(f"{STUDIES}: there is no '{name}'. {suggest(name, tuple(entries))}")
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


# ----------------------------------------------------------------------------------------------------- what DVC is told


def command(name: str, overrides: Sequence[str] = (), *, experiment: str | None = None, queue: bool = False) -> list[str]:
    """The `dvc exp run` that plays an entry, after its knobs were checked.

    Args:
        name: an entry of studies/.
        overrides: further knobs, each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        experiment: what to call it; by default the entry's name and the further knobs, as nanogpt-cpu-lr0.001.
        queue: for DVC's queue.

    Raises:
        Refusal: there is no such entry, or a knob or name cannot be used.
    """
    entry = find(name, read_all())
    assert entry.sweep is None, "DVC plays what is one experiment"
    turned, texts = _split(overrides), _settings(overrides, entry)
    grid = expand(texts)
    check(grid)
    if len(grid) > 1 and not queue:
        raise Refusal(f"-S: these are {len(grid)} experiments (a knob has several values); --queue takes them all")
    if experiment is not None and not _is_good_name(experiment):
        raise Refusal(f"-n: '{experiment}' means something else to git or DVC; take letters, digits, . and -, not only a to f")
    words = ["-n", experiment or experiment_name(name, turned), *(["--queue"] if queue else [])]
    return ["dvc", "exp", "run", *words, *(word for text in texts for word in ("-S", text))]


def _settings(overrides: Sequence[str], entry: Entry | None = None) -> list[str]:
    """What -S is to say: the knobs of an entry, and further ones, which win over them."""
    further = _split(overrides)
    own: dict[str, Any] = {}
    if entry:
        own = {**turned_back(entry, further, read_sections(Path("params.yaml"))), **entry.set}
    texts = {knob: hydra_text(value) for knob, value in own.items()} | further
    return [f"{knob}={value}" for knob, value in texts.items()]


def turned_back(entry: Entry, further: Mapping[str, str], sections: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in params.yaml for another kind of task than an entry's, and would keep it from being played.

    What -S turns stays turned: images whose pixels were shifted may be what was played before a text. An entry that names no
    kind is of language.

    Returns:
        knob -> where it does nothing; what the entry or -S says of a knob wins over it.
    """
    kind = {**entry.set, **further}.get("task.kind", "language")
    back = {} if kind == sections.get("task", {}).get("kind") else {"task.kind": kind}
    for name, (off, kinds) in OF_KINDS.items():
        section, knob = name.split(".")
        if kind not in kinds and sections.get(section, {}).get(knob, off) != off:
            back[name] = off
    return back


def _split(overrides: Sequence[str]) -> dict[str, str]:
    for text in overrides:
        if not re.match(r"[A-Za-z_][\w.]*=", text):
            raise Refusal(f"-S {text}: is not KNOB=VALUE, such as train.lr=0.01")
    return {knob: value for knob, _, value in (text.partition("=") for text in overrides)}


def hydra_text(value: Knob) -> str:
    """A knob's value in the grammar of `dvc exp run -S`.

    Source: "Hydra, Basic Override syntax" (the grammar that DVC reads -S by).
    """
    if isinstance(value, list):
        return f"[{','.join(map(hydra_text, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _PLAIN.fullmatch(value) else _quoted(value)


_PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)[A-Za-z_][\w/.-]*", re.IGNORECASE | re.ASCII)


def _quoted(text: str) -> str:
    # A backslash means itself, except before a quotation mark or the end, where it must stand twice.
    return "'" + re.sub(r"\\+(?='|\Z)", lambda run: run[0] * 2, text).replace("'", r"\'") + "'"


def turned_by(words: Sequence[str]) -> list[str]:
    """The knobs that the words of a `dvc exp run` turn: what follows each -S."""
    turned = []
    for word, following in itertools.pairwise([*words, ""]):
        if word in ("-S", "--set-param"):
            turned.append(following)
        elif match := re.match(r"(?:-S=?|--set-param=)(.+)", word):
            turned.append(match[1])
    return turned


def expand(texts: Sequence[str]) -> list[list[str]]:
    """Knobs with several values (train.lr=0.01,0.02) as the experiments that DVC makes of them: a grid.

    Raises:
        Refusal: DVC cannot read a value.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    try:
        return [each["params.yaml"] for each in get_hydra_sweeps({"params.yaml": list(texts)})]
    except (DvcException, HydraException) as error:
        raise Refusal(f"-S: {str(error).splitlines()[0]}") from None


def check(grid: Sequence[Sequence[str]], path: Path = Path("params.yaml")) -> list[Params]:
    """Hold the knobs of every experiment of a grid against params.py, before anything starts; all of their knobs.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    standing = read_sections(path)
    checked: list[Params] = []
    problems: list[str] = []
    for texts in grid:
        try:
            checked.append(parse(Params, with_knobs(standing, values_of(texts))))
        except ParamsError as error:
            problems += error.problems
    if problems:
        raise ParamsError(*dict.fromkeys(problems))
    return checked


def knobs_with(overrides: Sequence[str], name: str | None = None) -> Params:
    """The knobs of params.yaml with those of an entry of studies/, if one is named, and some more turned.

    Args:
        overrides: each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.

    Raises:
        Refusal: there is no such entry, or a knob cannot be used or has several values.
    """
    if not overrides and name is None:
        return load()  # in a third of the time, for DVC's grammar of -S is not needed
    checked = check(expand(_settings(overrides, find(name, read_all()) if name else None)))
    if len(checked) > 1:
        raise Refusal(f"-S: these are {len(checked)} experiments (a knob has several values); one at a time")
    return checked[0]


def values_of(texts: Sequence[str]) -> dict[str, Any]:
    """Knobs as `dvc exp run -S` takes them (train.lr=1e-3), as the values that DVC reads there; of one experiment."""
    from dvc.utils.hydra import to_hydra_overrides

    return {override.key_or_group: override.value() for override in to_hydra_overrides(list(texts))}


def standing(entry: Entry, overrides: Sequence[str], path: Path = Path("params.yaml")) -> dict[str, Any]:
    """The sections of params.yaml with an entry's knobs turned, and further ones (train.steps=50), which win.

    Raises:
        Refusal: a further knob cannot be read, has several values, or is one that the entry varies.
    """
    further = _split(overrides)
    [texts, *more] = expand([f"{knob}={value}" for knob, value in further.items()]) if further else [[]]
    if more:
        raise Refusal("-S: a knob has several values; what a grid varies stands in its study")
    assert entry.sweep
    varied = {knob for settings in entry.sweep.knobs for knobs in settings for knob in knobs} | {"seed"}
    if twice := [knob for knob in further if knob in varied]:
        raise Refusal(*(f"-S {knob}: is what the study varies" for knob in twice))
    sections = read_sections(path)
    back = turned_back(entry, further, sections)
    return with_knobs(sections, {**back, **entry.set, **(values_of(texts) if texts else {})})


def experiment_name(name: str, turned: Mapping[str, str]) -> str:
    """An entry's name and what was turned beside it: nanogpt-cpu-lr3e-4. DVC numbers the experiments of a grid itself."""
    parts = [name]
    for knob, value in turned.items():
        is_short = re.fullmatch(r"[\w.+-]{1,24}", value, re.ASCII)
        parts.append(knob.rpartition(".")[2] + (value.replace("+", "") if is_short else ""))
    return re.sub(r"\.{2,}", ".", "-".join(parts)).strip(".-")


# -------------------------------------------------------------------------------------------------------------- running


def typed(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return printable(f"$ {shlex.join(command)}")


def run(command: Sequence[str]) -> int:
    """Print a command of DVC's, and run it with the DVC of this environment; its exit status."""
    print(typed(command), flush=True)
    # Ctrl-C goes to DVC too, which needs its time to put things back; we would kill it after a quarter of a second.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.run([sys.executable, "-m", *command], check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
