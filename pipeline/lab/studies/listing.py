"""The list of all studies, and everything about one of them, as text for the terminal."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from pipeline.lab.studies.entries import FOLDER, Entry

WIDTH = 100  # of text, where the terminal is not narrower
COURSE = """\
The course: five days, with a question before every run (`rally play course` shows it)
  rally play day1: begins it, or goes on where you stopped
  rally play blind: a run that may be broken, for you to say how"""
PARTS = ("predicts", "control", "costs", "reaches", "notice", "source", "next")  # of an entry, as they are told


def listing(entries: Mapping[str, Entry], folder: Path = FOLDER) -> str:
    """The course, then every entry with its question and its cost, under the heading of its file."""
    wide = width()
    files = (
        "\n".join([heading(folder / file, wide), *(line for name, entry in some for line in _lines(name, entry, wide))])
        for file, some in groupby(entries.items(), key=lambda item: item[1].file)
    )
    return "\n\n".join([COURSE, *files])


def width() -> int:
    """That of the terminal, up to WIDTH."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if sys.stdout.isatty() else WIDTH


def heading(path: Path, wide: int = WIDTH) -> str:
    """What a file of studies is about: the first sentence of the comment that it begins with; without one its name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[2:] for line in lines[: next((at for at, line in enumerate(lines) if line[:2] != "# "), 0)])
    about = re.split(r"(?<=[.?!])\s", comment)[0].rstrip(".")
    return f"{textwrap.shorten(about, max(wide - len(str(path)) - 3, 20), placeholder=' …')} ({path})" if about else str(path)


def _lines(name: str, entry: Entry, wide: int) -> Iterator[str]:
    yield _wrapped(f"{name}: {entry.question}", wide, 2)
    yield _wrapped(entry.costs.replace(", no download", ""), wide, 6)


def _wrapped(text: str, wide: int, indent: int) -> str:
    return textwrap.fill(text, wide, initial_indent=" " * indent, subsequent_indent=" " * 6, break_on_hyphens=False)


def about(name: str, entry: Entry) -> str:
    """All texts of an entry."""
    wide = width()
    parts = [(word, text) for word in PARTS if (text := getattr(entry, word))]
    return "\n".join(
        (
            name,
            textwrap.fill(
                " ".join(entry.says.split()), wide, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
            ),
            *(
                textwrap.fill(
                    f"{word:9}{text}", wide, initial_indent="    ", subsequent_indent=" " * 13, break_on_hyphens=False
                )
                for word, text in parts
            ),
        )
    )
