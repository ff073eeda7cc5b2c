"""What `rally play` says about a study in the terminal; in a file or a pipe the same texts, without colours."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.pages.rulings import Ruling, Tone
from pipeline.lab.studies.pages.tables import StudyTable, tables

WIDTH = 100  # of text, where the terminal is not narrower
LABEL = 12  # of the column with the names of the parts
_STYLES: dict[Tone, str] = {"good": "bold green", "bad": "bold white on red", "open": "bold yellow"}


def console() -> Console:
    """Where a study is told: as wide as the terminal is, up to WIDTH."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if sys.stdout.isatty() else WIDTH
    return Console(width=width, markup=False, highlight=False)


def say_question(out: Console, name: str, entry: Entry) -> None:
    """Its question, and its setting."""
    for text in (Text(name, "bold cyan"), Text(entry.question, "bold"), Text(entry.explained)):
        say_text(out, text)
    out.print()


def say_text(out: Console, text: Text | str) -> None:
    """A paragraph; no line ends in blanks."""
    whole = Text(text) if isinstance(text, str) else text
    for line in whole.wrap(out, out.width) if whole else ():
        line.rstrip()
        out.print(line, soft_wrap=True)


def say_command(out: Console, label: str, line: str) -> None:
    """A command on one line, however long, so that it can be copied."""
    out.print(Text.assemble((label.ljust(LABEL), "dim"), line), soft_wrap=True)


def say_parts(out: Console, parts: Iterable[tuple[str, str | Text]]) -> None:
    """Named texts, one below the other; empty ones are left out."""
    for label, text in parts:
        if text:
            _say(out, label, Text(text) if isinstance(text, str) else text)


def _say(out: Console, label: str, *texts: Text) -> None:
    """Paragraphs with a label to the left of the first line; no line ends in blanks."""
    indented = out.width >= 3 * LABEL
    lines = [line for text in texts for line in text.wrap(out, out.width - LABEL if indented else out.width)]
    if not indented:
        out.print(Text(label, "dim"))
    for number, line in enumerate(lines):
        line.rstrip()
        before = Text(label if number == 0 else "", "dim") if indented else Text()
        before.pad_right(LABEL - len(before) if indented else 0)
        out.print(Text.assemble(before, line), soft_wrap=True)


def say_end(out: Console, entry: Entry, bet: str, files: Mapping[str, Path]) -> None:
    """What stands below the verdicts of a play: the bet, what to notice, its files, the next command.

    Args:
        files: what the play has written, by its ending.
    """
    out.print()
    after = [
        ("Your bet", bet),
        ("Notice", entry.notice),
        ("Picture", str(files["png"])),
        ("Page", str(files["html"])),
        ("Next", entry.next),
    ]
    say_parts(out, after)


def say_tables(out: Console, found: Mapping[str, Results]) -> None:
    """Every measure, with its meaning as the heading."""
    for one in tables(found):
        out.print()
        heading = f"{one.title}: {one.quantity}" if one.title else one.quantity
        out.print(Text.assemble((heading, "bold"), (f"  {one.measure}, {one.seeds_text}, mean and {one.level}", "dim")))
        out.print(rich_table(one))


def say_means(out: Console, found: Mapping[str, Results]) -> None:
    """A measure without its intervals, for someone who wants one number out of it."""
    for one in tables(found, means=True):
        heading = f"{one.title}: {one.quantity}" if one.title else one.quantity
        out.print()
        out.print(Text.assemble((heading, "bold"), (f"  mean of {one.seeds_text}", "dim")), soft_wrap=True)
        out.print(rich_table(one))


def rich_table(one: StudyTable) -> Table:
    """The table for a terminal; Text, because the value of a knob may look like Rich's markup."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    drawn.add_column(Text(one.across), justify="right")
    for column in one.columns:
        drawn.add_column(Text(column), justify="right")
    for label, cells in one.rows:
        drawn.add_row(Text(label), *(Text(cell.text, "bold" if cell.best else "") for cell in cells))
    return drawn


def say_rulings(out: Console, judged: Sequence[Ruling]) -> None:
    """The verdict on every claim: its status, the claim with its bound, what was found, and what to do."""
    out.print()
    for ruling in judged:
        label = "Control" if ruling.control else "Claim"
        status = Text(ruling.status, _STYLES[ruling.tone])
        text = Text.assemble(status, ": ", ruling.claimed)
        more = [Text(f"found: {ruling.found}", "dim"), *([Text(ruling.advice, "yellow")] if ruling.advice else [])]
        _say(out, label, text, *more)
    if any(ruling.control for ruling in judged):
        _say(out, "", Text(CONTROL, "dim"))


CONTROL = "A control is a claim that must fail here: it shows that the test can say no."
