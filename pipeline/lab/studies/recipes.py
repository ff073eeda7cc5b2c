"""What to play: named sets of knobs from studies/, each run as an experiment of DVC."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.identity import digest
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.overrides import Knob, check, expand, hydra_text, with_overrides
from pipeline.params.errors import UserError, printable
from pipeline.params.load import load, read_sections, with_knobs
from pipeline.params.names import suggest
from pipeline.params.schema import OF_KINDS, Params
from pipeline.params.yaml12 import read_yaml

if TYPE_CHECKING:
    from pipeline.lab.studies.grid import Sweep

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


# --------------------------------------------------------------------------------------------------------------- reading


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


def bad_name(name: str) -> str:
    """What is wrong with a name that is not a good one."""
    return f"'{name}' means something else to git or DVC; take letters, digits, . and -, not only a to f"


def is_good_name(name: str) -> bool:
    """Whether git takes it as a reference, and DVC never as the beginning of a commit (`e1` breaks `dvc plots diff`)."""
    is_reference = re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*", name) and not name.endswith((".", ".lock"))
    return bool(is_reference) and not re.fullmatch(r"[0-9a-fA-F]{1,40}", name)


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


# ----------------------------------------------------------------------------------------------------- what DVC is told


def commands(
    name: str, overrides: Sequence[str] = (), *, experiment: str | None = None, queue: bool = False, standing: BaseParams
) -> list[list[str]]:
    """The `dvc exp run` that plays an entry, after its knobs were checked; for the queue, one for each experiment of a grid.

    Each experiment of a grid has a name of its own that tells its values: DVC would number them, and the next grid again.

    Args:
        name: an entry of studies/.
        overrides: further knobs, each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        experiment: what to call it; by default the entry's name and the further knobs, as nanogpt-cpu-lr0.001.
        queue: for DVC's queue.
        standing: the knobs that the entry stands on. What differs from them in params.yaml is set back by a -S.

    Raises:
        UserError: there is no such entry, or a knob or name cannot be used.
    """
    entry = find(name, read_all())
    assert entry.sweep is None, "DVC plays what is one experiment"
    grid = expand(_settings(overrides, entry, standing))
    check(grid)
    if len(grid) > 1 and not queue:
        raise UserError(f"-S: these are {len(grid)} experiments (a knob has several values); --queue takes them all")
    if experiment is not None and not is_good_name(experiment):
        raise UserError(f"-n: {bad_name(experiment)}")
    varied = {text.partition("=")[0] for texts in grid for text in set(texts) - set(grid[0])}
    made = []
    for texts in grid:
        values = {knob: value for knob, _, value in (text.partition("=") for text in texts)}
        told = varied if experiment else _split(overrides)
        words = ["-n", experiment_name(experiment or name, {knob: values[knob] for knob in told if knob in values})]
        words += ["--queue"] if queue else []
        made.append(["dvc", "exp", "run", *words, *(word for text in texts for word in ("-S", text))])
    return made


def _settings(overrides: Sequence[str], entry: Entry | None, standing: BaseParams) -> list[str]:
    """What -S is to say: what is set back, the knobs of an entry, and further ones, which win over both."""
    further = _split(overrides)
    own: dict[str, Any] = {}
    if entry:
        back = {} if standing.as_is else {knob: there for knob, (_, there) in standing.turned.items()}
        own = {**back, **reset_overrides(entry, further, standing.sections), **entry.set}
    texts = {knob: hydra_text(value) for knob, value in own.items()} | further
    return [f"{knob}={value}" for knob, value in texts.items()]


def reset_overrides(entry: Entry, further: Mapping[str, str], sections: Mapping[str, Any]) -> dict[str, Any]:
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
            raise UserError(f"-S {text}: is not KNOB=VALUE, such as train.lr=0.01")
    return {knob: value for knob, _, value in (text.partition("=") for text in overrides)}


def knobs_with(overrides: Sequence[str], name: str | None = None) -> Params:
    """The knobs of params.yaml with some turned; or those that an entry of studies/ is played with.

    Args:
        overrides: each "train.lr=0.001" as `dvc exp run -S` takes it; they win over the entry's.
        name: of the entry.

    Raises:
        UserError: there is no such entry, or a knob cannot be used or has several values.
    """
    if not overrides and name is None:
        return load()  # in half of the time, for DVC's grammar of -S is not needed
    standing = base_params() if name else BaseParams(read_sections(Path("params.yaml")))
    checked = check(expand(_settings(overrides, find(name, read_all()) if name else None, standing)))
    if len(checked) > 1:
        raise UserError(f"-S: these are {len(checked)} experiments (a knob has several values); one at a time")
    return checked[0]


def with_entry(standing: BaseParams, entry: Entry, overrides: Sequence[str] = ()) -> BaseParams:
    """What a grid stands on, with an entry's knobs turned, and further ones (train.steps=50), which win.

    Raises:
        UserError: a further knob cannot be read, has several values, or is one that the entry varies.
    """
    further = _split(overrides)
    [texts, *more] = expand([f"{knob}={value}" for knob, value in further.items()]) if further else [[]]
    if more:
        raise UserError("-S: a knob has several values; what a grid varies stands in its study")
    assert entry.sweep
    varied = {knob for settings in entry.sweep.knobs for knobs in settings for knob in knobs} | {"seed"}
    if twice := [knob for knob in further if knob in varied]:
        raise UserError(*(f"-S {knob}: is what the study varies" for knob in twice))
    back = reset_overrides(entry, further, standing.sections)
    return replace(standing, sections=with_overrides(with_knobs(standing.sections, {**back, **entry.set}), texts))


def own_knobs(entry: Entry, overrides: Sequence[str]) -> set[str]:
    """The knobs that are turned by playing an entry with further ones."""
    varied = entry.sweep.knobs if entry.sweep else ()
    return {*entry.set, *_split(overrides), *(knob for settings in varied for knobs in settings for knob in knobs)}


def experiment_name(name: str, turned: Mapping[str, str]) -> str:
    """A name and what was turned: nanogpt-cpu-lr3e-4. Other values are another name: of a long one stands a digest."""
    parts = [name]
    for knob, value in turned.items():
        is_short = re.fullmatch(r"[\w.+-]{1,24}", value, re.ASCII)
        parts.append(knob.rpartition(".")[2] + (value.replace("+", "") if is_short else f"-{digest(value)[:6]}"))
    return re.sub(r"\.{2,}", ".", "-".join(parts)).strip(".-")


# -------------------------------------------------------------------------------------------------------------- running


def typed(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return printable(f"$ {shlex.join(command)}")


def run(*commands: Sequence[str]) -> int:
    """Print commands of DVC's, and run one after another with the DVC of this environment; the status of the last that ran.

    After one that fails none is run.
    """
    # Ctrl-C goes to DVC too, which needs its time to put things back; we would kill it after a quarter of a second.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    status = 0
    try:
        for command in commands:
            print(typed(command), flush=True)
            if status := subprocess.run([sys.executable, "-m", *command], check=False).returncode:
                break
    finally:
        signal.signal(signal.SIGINT, before)
    return status
