"""What has the user labelled? The rows of a .csv or the lines of a .jsonl, each a text and its class."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.corpus.documents import Card, Splits
from pipeline.corpus.labelled import by_class
from pipeline.corpus.progress import Follow, say
from pipeline.corpus.shelf import Distinct, Shelf, distinct
from pipeline.corpus.text import checked, json_lines, lines_of, told
from pipeline.params import Prepare, Refusal, suggest

DELIMITERS = ",;\t"  # as spreadsheets write them, here and there
LONGEST = 1 << 30  # characters of one field
MOST = 1 << 16  # classes


class Row(NamedTuple):
    """A line of a file, its text and its label, not yet looked at."""

    line: int
    text: object
    label: object


def labelled_file(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """The user's own labelled texts: a .csv or .jsonl file, or a folder of them.

    Raises:
        Refusal: they are not there, hold something else, or too little to learn from.
    """
    shelf = Shelf(splits.folder)
    files = _files(Path(knobs.path))
    for name, path in files.items():
        with path.open("rb") as stream, follow(f"reading {name}", path.stat().st_size) as advance:
            lines = lines_of(told(checked(stream, name), advance))
            for row in KINDS[path.suffix.lower()](name, lines, knobs):
                shelf.add(*_example(name, row))
    found = distinct(shelf)
    classes = _classes(shelf, found, ", ".join(files))
    by_class(shelf, found.places, classes, knobs, splits)
    if found.contradiction:
        say(f"{found.with_two_labels} texts stand there with two labels, such as {_contradiction(shelf, found)}; left out")
    left_out = {"copies": found.copies, "texts_with_two_labels": found.with_two_labels}
    return Card(
        name="file",
        source="the user's own files",
        licence="the user's own: not known to us",
        split="of each class its shares, drawn by a digest of the text; a text stands in one split once",
        classes=classes,
        left_out={why: number for why, number in left_out.items() if number},
    )


def _files(path: Path) -> dict[str, Path]:
    """The files to read, by name."""
    if path.is_file() and path.suffix.lower() not in KINDS:
        raise Refusal(f"prepare.path: {path.name}: is no {' or '.join(KINDS)} file, which labelled texts come in")
    if path.is_file():
        return {path.name: path}
    if not path.is_dir():
        raise Refusal(f"prepare.path: there is no file or folder '{path}' here")
    files = {p.name: p for p in sorted(path.iterdir()) if p.is_file() and p.suffix.lower() in KINDS}
    if not files:
        raise Refusal(f"prepare.path: no file in '{path}' is a {' or '.join(KINDS)}; put your labelled texts there")
    return files


def _csv_rows(name: str, lines: Iterator[str], knobs: Prepare) -> Iterator[Row]:
    header = next(lines, "")
    heads = {sign: [head.strip() for head in next(csv.reader([header], delimiter=sign), [])] for sign in DELIMITERS}
    wanted = {"prepare.text_column": knobs.text_column, "prepare.label_column": knobs.label_column}
    sign = max(DELIMITERS, key=lambda sign: (sum(column in heads[sign] for column in wanted.values()), len(heads[sign])))
    for knob, column in wanted.items():
        if column not in heads[sign]:
            raise Refusal(f"{knob}: {name} has no column '{column}'. {suggest(column, tuple(heads[sign]))}")
    text, label = (heads[sign].index(column) for column in wanted.values())
    csv.field_size_limit(LONGEST)
    reader = csv.reader(lines, delimiter=sign, strict=True)
    try:
        for row in reader:
            if row and len(row) != len(heads[sign]):
                raise Refusal(
                    f"{name}, line {reader.line_num + 1}: has {len(row)} fields where the first line has {len(heads[sign])}"
                )
            if row:
                yield Row(reader.line_num + 1, row[text], row[label])
    except csv.Error as error:
        raise Refusal(f"{name}, line {reader.line_num + 1}: is no CSV: {error}") from None


def _json_rows(name: str, lines: Iterator[str], knobs: Prepare) -> Iterator[Row]:
    for number, row in json_lines(lines, name):
        if not isinstance(row, dict):
            raise Refusal(f'{name}, line {number}: is no object of keys and values, such as {{"text": …, "label": …}}')
        for knob, key in (("prepare.text_column", knobs.text_column), ("prepare.label_column", knobs.label_column)):
            if key not in row:
                raise Refusal(f"{knob}: {name}, line {number}: has no key '{key}'. {suggest(key, tuple(row))}")
        yield Row(number, row[knobs.text_column], row[knobs.label_column])


def _example(name: str, row: Row) -> tuple[str, str]:
    """(the text, the label) of a row."""
    if not isinstance(row.text, str) or not (text := row.text.strip()):
        raise Refusal(f"{name}, line {row.line}: {'the text is empty' if isinstance(row.text, str) else 'the text is no text'}")
    try:
        text.encode()
    except UnicodeEncodeError:  # "\ud83d" in JSON
        raise Refusal(f"{name}, line {row.line}: the text holds half of a character (a lone surrogate)") from None
    label = str(row.label).strip() if isinstance(row.label, str | int | float) else ""
    if not label:
        raise Refusal(f"{name}, line {row.line}: the label is {'empty' if row.label in ('', None) else 'no word or number'}")
    return text, label


def _classes(shelf: Shelf, found: Distinct, name: str) -> list[str]:
    """The classes in order, by number where all are numbers."""
    names = list(shelf.names)
    counts = [names[label] for label in np.unique(shelf.labels[found.places]).tolist()]
    if not counts:
        raise Refusal(f"prepare.path: {name}: there is no labelled text in there")
    if len(counts) == 1:
        raise Refusal(f"prepare.label_column: all texts of {name} are of the class '{counts[0]}'; two or more are wanted")
    if len(counts) > MOST:
        raise Refusal(f"prepare.label_column: {name} has {len(counts):,} classes; {MOST:,} at most would do")
    return sorted(counts, key=(lambda label: (int(label), label)) if all(map(str.isdecimal, counts)) else None)


def _contradiction(shelf: Shelf, found: Distinct) -> str:
    assert found.contradiction is not None
    names, labels = list(shelf.names), shelf.labels
    one, other = (names[labels[place]] for place in found.contradiction)
    (text,) = shelf.texts(np.array(found.contradiction[:1]))
    return f"{text.decode()[:40]!r} ('{one}', '{other}')"


KINDS: dict[str, Callable[[str, Iterator[str], Prepare], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
}
