"""The list of all studies, and everything about one of them, as text for the terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from pipeline.lab.studies.entries import FOLDER, Entry

WIDTH = 100
PARTS = ("predicts", "control", "costs", "reaches", "notice", "source", "next")  # of an entry, as they are told


def listing(entries: Mapping[str, Entry], folder: Path = FOLDER) -> str:
    """Every entry in two lines, its question and its cost, under the heading of its file."""
    return "\n\n".join(
        "\n".join([heading(folder / file), *(line for name, entry in some for line in _lines(name, entry))])
        for file, some in groupby(entries.items(), key=lambda item: item[1].file)
    )


def heading(path: Path) -> str:
    """What a file of studies is about: the first sentence of the comment that it begins with; without one its name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[2:] for line in lines[: next((at for at, line in enumerate(lines) if line[:2] != "# "), 0)])
    about = re.split(r"(?<=[.?!])\s", comment)[0].rstrip(".")
    return f"{_shortened(about, WIDTH - len(str(path)) - 3)} ({path})" if about else str(path)


def _lines(name: str, entry: Entry) -> Iterator[str]:
    yield _shortened(f"  {name}: {entry.question}", WIDTH)
    yield f"      {_shortened(entry.costs.replace(', no download', ''), WIDTH - 6)}"


def _shortened(text: str, width: int) -> str:
    """The text up to the last word that fits, with its own indentation."""
    if len(text) <= width:
        return text
    return text[: width - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + " …"


def about(name: str, entry: Entry) -> str:
    """All texts of an entry."""
    parts = [(word, text) for word in PARTS if (text := getattr(entry, word))]
    return "\n".join(
        (
            name,
            textwrap.fill(
                " ".join(entry.says.split()), WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
            ),
            *(
                textwrap.fill(
                    f"{word:9}{text}", WIDTH, initial_indent="    ", subsequent_indent=" " * 13, break_on_hyphens=False
                )
                for word, text in parts
            ),
        )
    )
