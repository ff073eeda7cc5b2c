"""The table of experiments, or of groups of them: tasks apart, what compares in one column, and the knobs that differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.experiments.records import METRICS, Experiment, Knob, State

LEADING = ("task.kind", "prepare.dataset")
COLUMNS = (*LEADING, "Experiment", "seeds", "Created", "State", *METRICS, "sick", "finding", "code")  # before the knobs
DROPPED_FIRST = ("above_entropy", "calibration_error", "macro_f1", "Created", "margin", "sick")
FILE_WIDTH = 10_000  # characters of a line in a file
MAX_VALUE = 60  # characters of a value
HEADINGS = {"task.kind": "task", "prepare.dataset": "data", "State": "state"}

Row = dict[str, str]


def row_of(one: Experiment) -> Row:
    """The row of a single experiment."""
    row = {"Experiment": one.name, "Created": one.created.isoformat() if one.created else ""}
    row |= {"State": "" if one.state is State.DONE else one.state.value.capitalize()}
    row |= {metric: repr(one.scores[metric]) if metric in one.scores else "" for metric in METRICS}
    row |= {"finding": "diverged" if one.diverged else one.finding}
    return row | {name: text_of(value) for name, value in one.knobs.items()}


def text_of(value: Knob) -> str:
    """The value of a knob as params.yaml has it."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def uniform(rows: Iterable[Row]) -> list[Row]:
    """The rows with all columns that any of them has."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, "") for name in names} for row in rows]


def print_table(rows: Sequence[Row], sections: Sequence[str], width: int, texts: Collection[str] | None = None) -> None:
    """Print the experiments; where the width does not suffice, the least important columns are left out.

    Args:
        sections: of params.yaml; a column of one of them is a knob.
        width: characters.
        texts: the knobs of which "" is a value; in others it means that the commit has no such knob. None = all.
    """
    names, console = columns(rows, sections, texts), Console(width=FILE_WIDTH)
    # Of a classifier the accuracy says more, of a language model the loss and the bits per byte.
    last: tuple[str, ...] = ("accuracy",) if all(row.get("task.kind", "") == "language" for row in rows) else ("loss",)
    if "seeds" in names:  # which says how many are done; loss is bits per byte in another unit
        last += ("State", "loss", "finding") if "bits_per_byte" in names else ("State", "finding")
    for spare in (*DROPPED_FIRST, *last):
        if console.measure(table(rows, names)).maximum > width and spare in names:
            names.remove(spare)
    console.print(table(rows, names), soft_wrap=True)


def table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The experiments in these columns, with a section for each kind of task."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        number = name in METRICS or (name != "Experiment" and all(_is_number(row[name]) for row in rows if row[name]))
        drawn.add_column(Text(_heading(name, names)), justify="right" if number else "left", no_wrap=True)
    for some in by_task(rows):
        for row in some:
            drawn.add_row(*(Text(_cell(name, row)) for name in names))  # Text: a value may look like Rich's markup
        drawn.add_section()
    return drawn


def columns(rows: Sequence[Row], sections: Sequence[str], texts: Collection[str] | None = None) -> list[str]:
    """The columns to show: task and data, name, time, state, the scores that there are, and the knobs that differ."""
    there = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    knobs = [name for name in there if name.partition(".")[0] in sections and name not in LEADING]
    values = {name: {row[name] for row in rows if row[name] or texts is None or name in texts} for name in knobs}
    differ = [name for name in knobs if len(values[name]) > 1]
    leading = [name for name in COLUMNS if name in there or name == "Experiment"]
    if any("seeds" in row for row in rows):  # groups need the room, and one task and one data set need no column
        leading = [name for name in leading if name not in LEADING or len({row[name] for row in rows}) > 1]
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
        return value
    if not value:
        return "–"
    if name == "Created":
        return f"{datetime.fromisoformat(value):%d %b %H:%M}"
    if name in METRICS and _is_number(value):
        return f"{float(value):.4g}"
    value = "".join(letter if letter.isprintable() else "�" for letter in value)  # no control sequences
    return value if len(value) <= MAX_VALUE else f"{value[: MAX_VALUE - 1]}…"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
