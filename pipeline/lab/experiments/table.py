"""All experiments in one table: tasks apart, what compares in the same columns, and of the knobs those that differ.

A number stands in a row only if it is of the knobs in that row: `origin.py` says so.
"""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.paths import DIAGNOSIS, EVALUATION
from pipeline.lab.dvc import queue as queued
from pipeline.lab.dvc.launch import run, typed
from pipeline.lab.provenance.answers import of_commits
from pipeline.lab.provenance.origin import Origin, flat
from pipeline.lab.provenance.verdict import Verdict
from pipeline.lab.provenance.workspace import Workspace
from pipeline.params.yaml12 import read_yaml

SHOW = ["dvc", "exp", "show", "--csv", "--drop", ".*/.*|models|metrics|Executor"]  # without what stages depend on
OTHERWISE = {"--csv", "--json", "--md", "--pcp", "-h", "--help"}  # what is asked of DVC itself
EVERYWHERE = {"-A", "--all-commits"}
FIRST = ("task.kind", "prepare.dataset")
# What is compared, in this order; what else was measured stands in `dvc metrics diff`.
MEASURED = ("accuracy", "loss", "bits_per_byte", "margin", "macro_f1", "calibration_error", "above_entropy", "finding")
FOUND_IN = {name: DIAGNOSIS if name == "finding" else EVALUATION for name in MEASURED}
PER_TOKEN = ("accuracy", "loss", "above_entropy")  # of a language model
ALIKE = 1e-4  # by which share the bytes in a token may differ, written with six digits, and be of one tokenizer
SPARE = ("above_entropy", "calibration_error", "macro_f1", "Created", "margin")
WIDE = 10_000  # characters of a line in a file
LONGEST = 60  # characters of a value
NAMED = 4  # experiments that a line below the table names
TRIES, PAUSE = 4, 0.5  # seconds
WRITTEN = {"task.kind": "task", "prepare.dataset": "data"}
GONE = "was killed, which DVC does not see: `dvc queue kill NAME` tells it, `dvc queue remove NAME` takes it away"
NOTHING = {"", "-", "!"}  # as DVC writes that there is no value, or no file

Row = dict[str, str]


def show(options: Sequence[str]) -> int:
    """Print the table; the exit status of the `dvc exp show` that it is made of.

    Args:
        options: passed on to it; those that ask for another form than a table leave it as it is.
    """
    if OTHERWISE & set(options):
        return run(["dvc", "exp", "show", *options])
    command = [*SHOW, *(_with_experiments(options) if EVERYWHERE & set(options) else options)]
    print(typed(command), flush=True)
    status, said = asked(command)
    if status == 0:
        rows = list(csv.DictReader(io.StringIO(said)))
        made = list(queued.experiments())
        name_in_full(rows, made)
        notes = [*judge(rows), *set_apart(rows), *elsewhere(rows, made)]
        knobs, console = read_yaml(Path("params.yaml")), Console()
        texts = {name for name, value in flat(knobs).items() if isinstance(value, str)}
        print_table(rows, tuple(knobs), console.width if console.is_terminal else WIDE, texts)
        print(*notes, sep="\n", end="\n" if notes else "")
    return status


def asked(command: Sequence[str]) -> tuple[int, str]:
    """(exit status, what DVC says): asked again where it fails beside a worker of its queue, whose files come and go."""
    for left in reversed(range(TRIES)):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        if done.returncode == 0 or not left or not queued.dvc_works():
            break
        time.sleep(PAUSE)
    sys.stderr.write(done.stderr)
    if done.returncode and (names := queued.lost(done.stderr)):
        print(_line(names, GONE), file=sys.stderr)
    return done.returncode, done.stdout


def _with_experiments(options: Sequence[str]) -> list[str]:
    """The options, with the commits that experiments were made of in place of all there are, of which most have none."""
    commits = dict.fromkeys([queued.commit_of("HEAD"), *(one.made_of for one in queued.experiments())])
    revisions = [word for commit in commits if commit for word in ("--rev", commit[:12])]
    return [*revisions, *(option for option in options if option not in EVERYWHERE)]


def name_in_full(rows: Sequence[Row], made: Sequence[queued.Experiment]) -> None:
    """The whole name of each experiment's commit in place of its first seven digits, which may be those of another."""
    commits = {(one.name, one.commit[:7]): one.commit for one in made}
    for row in rows:
        row["rev"] = commits.get((row["Experiment"], row["rev"]), row["rev"])


# ------------------------------------------------------------------------------------------------------ what may stand there


def judge(rows: Sequence[Row]) -> list[str]:
    """Take out of each row the numbers that are of other knobs than it shows; lines that say of which, why, what to type."""
    ended = [row for row in rows if _commit(row) and row.get("State", "") in ("", "-", "Success")]
    commits = of_commits([_commit(row) for row in ended], [EVALUATION, DIAGNOSIS])
    origin, reasons = Origin(Workspace()), dict[str, list[str]]()
    here = {path: origin.verdict(path) for path in (EVALUATION, DIAGNOSIS)}
    for row in rows:
        name, state = _name(row), row.get("State", "")
        if state == "Running" and queued.is_gone(row["rev"]):
            row["State"] = "Killed"
            _strike(row, MEASURED)
            reasons.setdefault(GONE, []).append(name)
        elif state in ("Failed", "Queued", "Running"):
            if _strike(row, MEASURED):  # DVC has those of the commit that it was made of
                why = "failed, so it has no scores: `dvc queue logs NAME` says why, `dvc queue remove NAME` takes it away"
                reasons.setdefault(why if state == "Failed" else "has no scores before it ends", []).append(name)
        else:
            for why in _doubted(row, commits[_commit(row)] if _commit(row) else here):
                reasons.setdefault(why, []).append(name)
    return [_line(names, why) for why, names in reasons.items()]


def _doubted(row: Row, verdicts: Mapping[Path, Verdict]) -> Iterator[str]:
    """Why numbers of an ended run were taken out, those that there were."""
    whys = {
        path: verdict.says
        for path, verdict in verdicts.items()
        if not verdict and _strike(row, [name for name in MEASURED if FOUND_IN[name] == path])
    }
    for why in dict.fromkeys(whys.values()):
        what = "scores" if whys.get(EVALUATION) == why else "finding"
        yield f"no {what}: {why}; {_remedy(row)}"


def _remedy(row: Row) -> str:
    if not _commit(row):
        return "`dvc repro` makes them anew"
    return "`dvc exp apply NAME`, then `dvc repro`" if row["Experiment"] else "`dvc repro` where it is checked out"


def _strike(row: Row, names: Sequence[str]) -> bool:
    """Take these numbers out; whether there were any."""
    there = [name for name in names if row.get(name, "") not in NOTHING]
    row.update(dict.fromkeys(there, "-"))
    return bool(there)


def _line(names: Sequence[str], why: str) -> str:
    """Such as `a, b and 3 more: failed …`."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}: {why.replace('NAME', names[0])}"


def _commit(row: Row) -> str:
    """What git knows a row by; "" of the workspace."""
    return "" if row["rev"] == "workspace" else row["rev"]


def _name(row: Row) -> str:
    return row["Experiment"] or row["rev"]


def set_apart(rows: Sequence[Row]) -> list[str]:
    """Take out what is told per token where tokens differ, which compares no better than prices in two currencies.

    Loss and bits a byte are one number in two units, so their ratio says how many bytes a token of that text has.
    """
    texts = [row for row in rows if row.get("task.kind", "language") == "language"]
    sizes = [size for row in texts if (size := _bytes_per_token(row))]
    if not sizes or max(sizes) <= min(sizes) * (1 + ALIKE):
        return []
    for row in texts:
        _strike(row, PER_TOKEN)
    return [
        f"language: no accuracy and no loss, which are per token, and a token is {min(sizes):.3g} to {max(sizes):.3g} bytes"
        " here: bits_per_byte compares (`dvc exp show` has all of them)"
    ]


def _bytes_per_token(row: Row) -> float | None:
    loss, bits = (float(row[name]) if _is_number(row.get(name, "")) else 0.0 for name in ("loss", "bits_per_byte"))
    return loss / bits / math.log(2) if loss > 0 and bits > 0 else None


def elsewhere(rows: Sequence[Row], made: Sequence[queued.Experiment]) -> list[str]:
    """A line that says how many experiments of other commits are not in the table."""
    shown = {row["rev"] for row in rows}
    head = queued.commit_of("HEAD")
    hidden = [one for one in made if one.commit not in shown and one.made_of != head]
    return [f"{len(hidden)} experiment{'s' * (len(hidden) > 1)} of other commits: `rally show -A`"] if hidden else []


# ------------------------------------------------------------------------------------------------------------------ the table


def print_table(rows: Sequence[Row], sections: Sequence[str], width: int, texts: Collection[str] | None = None) -> None:
    """Print the experiments; of what there is no room for, the least important is left out.

    Args:
        sections: of params.yaml, by which a column is known to be a knob.
        width: characters.
        texts: the knobs of which "" is a value; of others it says that the commit has no such knob. Without it: all.
    """
    names, console = columns(rows, sections, texts), Console(width=WIDE)
    for spare in SPARE:
        if console.measure(table(rows, names)).maximum > width and spare in names:
            names.remove(spare)
    console.print(table(rows, names), soft_wrap=True)


def table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The experiments in these columns, a part for each kind of task."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        number = name != "Experiment" and all(_is_number(row[name]) for row in rows if row[name] not in NOTHING)
        drawn.add_column(Text(_heading(name, names)), justify="right" if number else "left", no_wrap=True)
    for some in by_task(rows):
        for row in some:
            drawn.add_row(*(Text(_cell(name, row)) for name in names))  # Text: a value may look like Rich's markup
        drawn.add_section()
    return drawn


def columns(rows: Sequence[Row], sections: Sequence[str], texts: Collection[str] | None = None) -> list[str]:
    """Which columns are shown: task and data, who and when, what was measured of any, and the knobs that differ."""
    there = [name for name in (rows[0] if rows else ()) if any(row[name] not in NOTHING for row in rows)]
    knobs = [name for name in there if name.partition(".")[0] in sections and name not in FIRST]
    values = {name: {row[name] for row in rows if row[name] or texts is None or name in texts} for name in knobs}
    differ = [name for name in knobs if len(values[name]) > 1]
    leading = [name for name in (*FIRST, "Experiment", "Created", "State", *MEASURED) if name in there or name == "Experiment"]
    return leading + differ


def by_task(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The experiments of one kind of task after another, in the order in which DVC has them."""
    kinds = dict.fromkeys(row.get("task.kind", "") for row in rows)
    for kind in kinds:
        yield [row for row in rows if row.get("task.kind", "") == kind]


def _heading(name: str, names: Sequence[str]) -> str:
    """A knob by its own name, where no other that is shown has it."""
    short = WRITTEN.get(name, name.rpartition(".")[2])
    return short if sum(short == WRITTEN.get(other, other.rpartition(".")[2]) for other in names) == 1 else name


def _cell(name: str, row: Row) -> str:
    value = row[name]
    if name == "Experiment":
        return value or row["rev"]
    if value in NOTHING:
        return "–"
    if name == "Created":
        return f"{datetime.fromisoformat(value):%d %b %H:%M}"
    if name in MEASURED and _is_number(value):
        return f"{float(value):.4g}"
    value = "".join(letter if letter.isprintable() else "�" for letter in value)  # nothing that a terminal obeys
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
