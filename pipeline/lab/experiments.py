"""All experiments in one table: tasks apart, what compares in the same columns, and of the knobs those that differ."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.lab.study import run, typed
from pipeline.params import read_yaml

SHOW = ["dvc", "exp", "show", "--csv", "--drop", ".*/.*|models|metrics|Executor"]  # without what stages depend on
OTHERWISE = {"--csv", "--json", "--md", "--pcp", "-h", "--help"}  # what is asked of DVC itself
FIRST = ("task.kind", "prepare.dataset")
# What is compared, in this order; what else was measured stands in `dvc metrics diff`.
MEASURED = ("accuracy", "loss", "bits_per_byte", "margin", "macro_f1", "calibration_error", "above_entropy", "finding")
SPARE = ("above_entropy", "calibration_error", "macro_f1", "Created", "margin")
WIDE = 10_000  # characters of a line in a file
WRITTEN = {"task.kind": "task", "prepare.dataset": "data"}
NOTHING = {"", "-", "!"}  # as DVC writes that there is no value, or no file

Row = dict[str, str]


def show(options: Sequence[str]) -> int:
    """Print the table; the exit status of the `dvc exp show` that it is made of.

    Args:
        options: passed on to it; those that ask for another form than a table leave it as it is.
    """
    if OTHERWISE & set(options):
        return run(["dvc", "exp", "show", *options])
    print(typed([*SHOW, *options]), flush=True)
    done = subprocess.run([sys.executable, "-m", *SHOW, *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        sections, console = tuple(read_yaml(Path("params.yaml"))), Console()
        print_table(rows, sections, console.width if console.is_terminal else WIDE)
    return done.returncode


def print_table(rows: Sequence[Row], sections: Sequence[str], width: int) -> None:
    """Print the experiments; of what there is no room for, the least important is left out.

    Args:
        sections: of params.yaml, by which a column is known to be a knob.
        width: characters.
    """
    names, console = columns(rows, sections), Console(width=WIDE)
    for spare in SPARE:
        if console.measure(table(rows, names)).maximum > width and spare in names:
            names.remove(spare)
    console.print(table(rows, names), soft_wrap=True)


def table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The experiments in these columns, a part for each kind of task."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        number = all(_is_number(row[name]) for row in rows if row[name] not in NOTHING)
        drawn.add_column(_heading(name, names), justify="right" if number else "left", no_wrap=True)
    for some in by_task(rows):
        for row in some:
            drawn.add_row(*(_cell(name, row) for name in names))
        drawn.add_section()
    return drawn


def columns(rows: Sequence[Row], sections: Sequence[str]) -> list[str]:
    """Which columns are shown: task and data, who and when, what was measured of any, and the knobs that differ."""
    there = [name for name in (rows[0] if rows else ()) if any(row[name] not in NOTHING for row in rows)]
    knobs = [name for name in there if name.partition(".")[0] in sections and name not in FIRST]
    differ = [name for name in knobs if len({row[name] for row in rows}) > 1]
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
    return f"{float(value):.4g}" if name in MEASURED and _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
