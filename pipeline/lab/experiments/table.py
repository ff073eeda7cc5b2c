"""`rally show`: all experiments in one table, grouped by task, with comparable scores and the knobs that differ.

A row shows only numbers that were measured with the knobs of that row (lab/provenance/origin.py).
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
from pipeline.lab.dvc import queue
from pipeline.lab.dvc.run_dvc import run_dvc, shell_line
from pipeline.lab.provenance.check import matches_of_commits
from pipeline.lab.provenance.match import Match
from pipeline.lab.provenance.origin import Origin, flatten
from pipeline.lab.provenance.workspace import Workspace
from pipeline.params.yaml12 import read_yaml

SHOW = ["dvc", "exp", "show", "--csv", "--drop", ".*/.*|models|metrics|Executor"]  # without what stages depend on
OTHER_FORMATS = {"--csv", "--json", "--md", "--pcp", "-h", "--help"}  # these are for DVC itself
ALL_COMMITS = {"-A", "--all-commits"}
LEADING = ("task.kind", "prepare.dataset")
# What is compared, in this order; `dvc metrics diff` has all metrics.
MEASURED = ("accuracy", "loss", "bits_per_byte", "margin", "macro_f1", "calibration_error", "above_entropy", "finding")
FILE_OF = {name: DIAGNOSIS if name == "finding" else EVALUATION for name in MEASURED}
PER_TOKEN = ("accuracy", "loss", "above_entropy")  # of a language model
TOKENIZER_TOLERANCE = 1e-4  # relative; bytes per token, from numbers of six digits, that differ by less are of one tokenizer
DROPPED_FIRST = ("above_entropy", "calibration_error", "macro_f1", "Created", "margin")
FILE_WIDTH = 10_000  # characters of a line in a file
MAX_VALUE = 60  # characters of a value
MAX_NAMES = 4  # experiments named in a line below the table
TRIES, PAUSE = 4, 0.5  # seconds
HEADINGS = {"task.kind": "task", "prepare.dataset": "data"}
KILLED = "was killed, and DVC still calls it running: end it with `dvc queue kill NAME`, remove it with `dvc queue remove NAME`"
EMPTY = {"", "-", "!"}  # DVC's marks for no value and for no file

Row = dict[str, str]


def show(options: Sequence[str]) -> int:
    """Print the table, made from a `dvc exp show`.

    Args:
        options: passed on to it; with one that asks for another format its own output is printed.

    Returns:
        Its exit status.
    """
    if OTHER_FORMATS & set(options):
        return run_dvc(["dvc", "exp", "show", *options])
    command = [*SHOW, *(_with_experiments(options) if ALL_COMMITS & set(options) else options)]
    print(shell_line(command), flush=True)
    status, output = dvc_output(command)
    if status == 0:
        rows = list(csv.DictReader(io.StringIO(output)))
        experiments = list(queue.experiments())
        use_full_hashes(rows, experiments)
        notes = [*remove_stale_numbers(rows), *remove_per_token(rows), *note_on_hidden(rows, experiments)]
        knobs, console = read_yaml(Path("params.yaml")), Console()
        texts = {name for name, value in flatten(knobs).items() if isinstance(value, str)}
        print_table(rows, tuple(knobs), console.width if console.is_terminal else FILE_WIDTH, texts)
        print(*notes, sep="\n", end="\n" if notes else "")
    return status


def dvc_output(command: Sequence[str]) -> tuple[int, str]:
    """(exit status, output) of a DVC command. It is repeated where it fails while a worker of the queue changes its files."""
    for left in reversed(range(TRIES)):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        if done.returncode == 0 or not left or not queue.is_dvc_running():
            break
        time.sleep(PAUSE)
    sys.stderr.write(done.stderr)
    if done.returncode and (names := queue.lost_experiments(done.stderr)):
        print(_line(names, KILLED), file=sys.stderr)
    return done.returncode, done.stdout


def _with_experiments(options: Sequence[str]) -> list[str]:
    """The options for all commits, replaced by those for the commits that have experiments: most have none."""
    commits = dict.fromkeys([queue.commit_of("HEAD"), *(one.baseline for one in queue.experiments())])
    revisions = [word for commit in commits if commit for word in ("--rev", commit[:12])]
    return [*revisions, *(option for option in options if option not in ALL_COMMITS)]


def use_full_hashes(rows: Sequence[Row], experiments: Sequence[queue.Experiment]) -> None:
    """Replace the first seven digits of each experiment's commit, which may be those of another one, by all of them."""
    commits = {(one.name, one.commit[:7]): one.commit for one in experiments}
    for row in rows:
        row["rev"] = commits.get((row["Experiment"], row["rev"]), row["rev"])


# ----------------------------------------------------------------------------------------------------- numbers that belong


def remove_stale_numbers(rows: Sequence[Row]) -> list[str]:
    """Remove the numbers of each row that were measured with other knobs, code or data; lines with names, reason and remedy."""
    ended = [row for row in rows if _commit(row) and row.get("State", "") in ("", "-", "Success")]
    commits = matches_of_commits([_commit(row) for row in ended], [EVALUATION, DIAGNOSIS])
    origin, reasons = Origin(Workspace()), dict[str, list[str]]()
    here = {path: origin.match(path) for path in (EVALUATION, DIAGNOSIS)}
    for row in rows:
        name, state = _name(row), row.get("State", "")
        if state == "Running" and queue.was_killed(row["rev"]):
            row["State"] = "Killed"
            _remove(row, MEASURED)
            reasons.setdefault(KILLED, []).append(name)
        elif state in ("Failed", "Queued", "Running"):
            if _remove(row, MEASURED):  # DVC shows those of its baseline commit
                why = "failed, so it has no scores: `dvc queue logs NAME` says why, `dvc queue remove NAME` removes it"
                reasons.setdefault(why if state == "Failed" else "has no scores before it ends", []).append(name)
        else:
            for why in _remove_mismatched(row, commits[_commit(row)] if _commit(row) else here):
                reasons.setdefault(why, []).append(name)
    return [_line(names, why) for why, names in reasons.items()]


def _remove_mismatched(row: Row, matches: Mapping[Path, Match]) -> Iterator[str]:
    """Remove the numbers of an ended run that do not belong to its row; the reasons."""
    whys = {
        path: match.mismatch
        for path, match in matches.items()
        if not match and _remove(row, [name for name in MEASURED if FILE_OF[name] == path])
    }
    for why in dict.fromkeys(whys.values()):
        what = "scores" if whys.get(EVALUATION) == why else "finding"
        yield f"no {what}: {why}; {_remedy(row)}"


def _remedy(row: Row) -> str:
    if not _commit(row):
        return "`dvc repro` makes new ones"
    return "`dvc exp apply NAME`, then `dvc repro`" if row["Experiment"] else "`dvc repro` where it is checked out"


def _remove(row: Row, names: Sequence[str]) -> bool:
    """Remove these numbers; whether there were any."""
    there = [name for name in names if row.get(name, "") not in EMPTY]
    row.update(dict.fromkeys(there, "-"))
    return bool(there)


def _line(names: Sequence[str], why: str) -> str:
    """Such as `a, b and 3 more: failed …`."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{', '.join(names[:MAX_NAMES])}{more}: {why.replace('NAME', names[0])}"


def _commit(row: Row) -> str:
    """The commit of a row; "" of the workspace."""
    return "" if row["rev"] == "workspace" else row["rev"]


def _name(row: Row) -> str:
    return row["Experiment"] or row["rev"]


def remove_per_token(rows: Sequence[Row]) -> list[str]:
    """Remove numbers per token where tokenizers differ: they do not compare, as prices in two currencies do not.

    Loss and bits per byte are one number in two units, so their ratio is the mean number of bytes per token.
    """
    texts = [row for row in rows if row.get("task.kind", "language") == "language"]
    sizes = [size for row in texts if (size := _bytes_per_token(row))]
    if not sizes or max(sizes) <= min(sizes) * (1 + TOKENIZER_TOLERANCE):
        return []
    for row in texts:
        _remove(row, PER_TOKEN)
    return [
        f"language: accuracy and loss are per token and not shown, because a token is {min(sizes):.3g} to {max(sizes):.3g}"
        " bytes here; compare bits_per_byte (`dvc exp show` has all of them)"
    ]


def _bytes_per_token(row: Row) -> float | None:
    loss, bits = (float(row[name]) if _is_number(row.get(name, "")) else 0.0 for name in ("loss", "bits_per_byte"))
    return loss / bits / math.log(2) if loss > 0 and bits > 0 else None


def note_on_hidden(rows: Sequence[Row], experiments: Sequence[queue.Experiment]) -> list[str]:
    """A line with the number of experiments of other commits that the table does not show."""
    shown = {row["rev"] for row in rows}
    head = queue.commit_of("HEAD")
    hidden = [one for one in experiments if one.commit not in shown and one.baseline != head]
    return [f"{len(hidden)} experiment{'s' * (len(hidden) > 1)} of other commits: `rally show -A`"] if hidden else []


# ------------------------------------------------------------------------------------------------------------------ the table


def print_table(rows: Sequence[Row], sections: Sequence[str], width: int, texts: Collection[str] | None = None) -> None:
    """Print the experiments; where the width does not suffice, the least important columns are left out.

    Args:
        sections: of params.yaml; a column of one of them is a knob.
        width: characters.
        texts: the knobs of which "" is a value; in others it means that the commit has no such knob. None = all.
    """
    names, console = columns(rows, sections, texts), Console(width=FILE_WIDTH)
    for spare in DROPPED_FIRST:
        if console.measure(table(rows, names)).maximum > width and spare in names:
            names.remove(spare)
    console.print(table(rows, names), soft_wrap=True)


def table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The experiments in these columns, with a section for each kind of task."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        number = name != "Experiment" and all(_is_number(row[name]) for row in rows if row[name] not in EMPTY)
        drawn.add_column(Text(_heading(name, names)), justify="right" if number else "left", no_wrap=True)
    for some in by_task(rows):
        for row in some:
            drawn.add_row(*(Text(_cell(name, row)) for name in names))  # Text: a value may look like Rich's markup
        drawn.add_section()
    return drawn


def columns(rows: Sequence[Row], sections: Sequence[str], texts: Collection[str] | None = None) -> list[str]:
    """The columns to show: task and data, name, time, state, the scores that there are, and the knobs that differ."""
    there = [name for name in (rows[0] if rows else ()) if any(row[name] not in EMPTY for row in rows)]
    knobs = [name for name in there if name.partition(".")[0] in sections and name not in LEADING]
    values = {name: {row[name] for row in rows if row[name] or texts is None or name in texts} for name in knobs}
    differ = [name for name in knobs if len(values[name]) > 1]
    leading = [
        name for name in (*LEADING, "Experiment", "Created", "State", *MEASURED) if name in there or name == "Experiment"
    ]
    return leading + differ


def by_task(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The experiments of one kind of task after another, in DVC's order."""
    kinds = dict.fromkeys(row.get("task.kind", "") for row in rows)
    for kind in kinds:
        yield [row for row in rows if row.get("task.kind", "") == kind]


def _heading(name: str, names: Sequence[str]) -> str:
    """The name of a knob, with its section where another shown knob has the same name."""
    short = HEADINGS.get(name, name.rpartition(".")[2])
    return short if sum(short == HEADINGS.get(other, other.rpartition(".")[2]) for other in names) == 1 else name


def _cell(name: str, row: Row) -> str:
    value = row[name]
    if name == "Experiment":
        return value or row["rev"]
    if value in EMPTY:
        return "–"
    if name == "Created":
        return f"{datetime.fromisoformat(value):%d %b %H:%M}"
    if name in MEASURED and _is_number(value):
        return f"{float(value):.4g}"
    value = "".join(letter if letter.isprintable() else "�" for letter in value)  # no control sequences
    return value if len(value) <= MAX_VALUE else f"{value[: MAX_VALUE - 1]}…"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
