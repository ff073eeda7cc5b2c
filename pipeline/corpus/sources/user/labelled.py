"""What has the user labelled? The rows of a .csv or the lines of a .jsonl, each a text and its class."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.disk_texts import DiskTexts
from pipeline.corpus.sources.splitting.exact_duplicates import numbered, repeats
from pipeline.corpus.sources.splitting.labelled_splits import as_given, by_class
from pipeline.corpus.sources.splitting.text import checked, is_whole, json_value, lines_of, told
from pipeline.corpus.sources.user.bad_data import Unusable
from pipeline.corpus.sources.user.classes import classes_of, in_order
from pipeline.corpus.sources.user.folder_layout import files_in, kept, missing, published_files, some_of, usable
from pipeline.corpus.store.text import Card, Splits
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.progress import Follow, say

DELIMITERS = ",;\t|"  # as spreadsheets and databases write them, here and there
LONGEST = 1 << 24  # characters of one field: as far as a quote that is never closed is followed, in memory
MOST = 1 << 16  # classes
TABLES = {".json", ".ndjson", ".parquet", ".arrow", ".feather", ".xlsx", ".xls", ".ods", ".gz", ".zip"}  # that are not read


class Row(NamedTuple):
    """A line of a file, its text and its label, not yet looked at."""

    line: int
    text: object
    label: object


class Rows:
    """The labelled texts of some files in order, and where each stands.

    Attributes:
        shelf: with the texts and their labels as they are spelt.
    """

    def __init__(self, folder: Path) -> None:
        self.shelf = DiskTexts(folder)
        self._lines = array("q")
        self._begins: list[int] = []  # at which of the texts each file begins
        self._files: list[tuple[str, str]] = []  # (its name, the split that it is published in)

    def begin(self, name: str, split: str) -> None:
        """What is added from here on is of this file, which is of this split."""
        self._begins.append(len(self.shelf))
        self._files.append((name, split))

    def add(self, line: int, text: str, label: str) -> None:
        self.shelf.add(text, label)
        self._lines.append(line)

    def of_split(self, split: str) -> Int[np.ndarray, " n"]:
        """The places of the texts that are published in a split."""
        bounds = itertools.pairwise([*self._begins, len(self.shelf)])
        found = [np.arange(*of_file) for of_file, (_, own) in zip(bounds, self._files, strict=True) if own == split]
        return np.concatenate([np.empty(0, np.int64), *found])

    def where(self, place: int) -> str:
        """The file and the line of a text."""
        name, _ = self._files[bisect_right(self._begins, place) - 1]
        return f"{name}, line {self._lines[place]}"


def labelled_file(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """The user's own labelled texts: a .csv or .jsonl file, or a folder of them. A published split is kept.

    Raises:
        UserError: they are not there, hold something else, or too little to learn from.
    """
    files = _files(Path(knobs.path))
    layout = published_files(files, Path(knobs.path))
    unusable = Unusable(knobs, "rows")
    rows = Rows(splits.folder)
    for name, path in files.items():
        split = layout[name] if layout else "train"
        with path.open("rb") as stream, follow(f"reading {name}", path.stat().st_size) as advance:
            lines = lines_of(told(checked(stream, name), advance))
            rows.begin(name, split)
            try:
                for row in KINDS[path.suffix.lower()](name, lines, knobs, unusable):
                    if example := _example(name, row, unusable):
                        rows.add(row.line, *example)
            except MissingColumnError as refusal:
                if split == "train":
                    raise
                raise UserError(f"{refusal}; if {split} has no labels, name the training file alone in prepare.path") from None
    faulty = unusable.told()
    labels, known = _labels(rows.shelf)
    given, left_out = _apart(rows, labels, known)
    classes, labels = _classes(given, labels, known, some_of(files))
    if layout:
        _of_known_classes(given, labels, classes)
    lacking = missing(given, knobs)
    for split, places in given.items():
        if split == "train":
            by_class(rows.shelf, places, labels[places], classes, lacking, splits)
        else:
            as_given(split, rows.shelf, places, labels[places], splits)
    how = "of each class its shares, drawn by a digest of the text; " if lacking else ""
    return Card(
        name="file",
        source="the user's own files",
        licence="the user's own: not known to us",
        split=f"{f'{kept(given)}; ' if layout else ''}{how}a text stands in one split once",
        classes=classes,
        left_out=left_out | faulty,
    )


# ---------------------------------------------------------------------------------------------------------------- reading


def _files(path: Path) -> dict[str, Path]:
    """The files to read, by name."""
    kinds = " or ".join(KINDS)
    if path.is_file():
        if path.suffix.lower() not in KINDS:
            raise UserError(f"prepare.path: {path.name}: is not a {kinds} file, which labelled texts come in")
        return {path.name: path} if usable(path) else {}
    if not path.is_dir():
        raise UserError(f"prepare.path: there is no file or folder '{path}' here")
    found = files_in(path)
    files = {p.relative_to(path).as_posix(): p for p in found if p.suffix.lower() in KINDS}
    if not files:
        raise UserError(f"prepare.path: no file in '{path}' is a {kinds}; put your labelled texts there")
    if other := [p.relative_to(path).as_posix() for p in found if p.suffix.lower() in TABLES]:
        say(f"left out: {len(other):,} files in '{path}' that are not {kinds}, such as {other[0]}")
    return files


class MissingColumnError(UserError):
    """A file lacks the column of the text or of the label."""


def _csv_rows(name: str, lines: Iterator[str], knobs: Prepare, unusable: Unusable) -> Iterator[Row]:
    number, header = next(((number, line) for number, line in enumerate(lines, start=1) if line.strip()), (1, ""))
    said = re.fullmatch(r"sep=(.)\s*", header)  # the first line that Excel writes or wants
    if said:
        number, header = number + 1, next(lines, "")
    sign, heads = _header(header, said[1] if said else DELIMITERS, knobs, name)
    text, label = (heads.index(column) for column in (knobs.text_column, knobs.label_column))
    csv.field_size_limit(LONGEST)
    known: set[str] = set()
    for line, record, row in _records(lines, sign, number + 1, name, unusable):
        if not row:
            continue
        where = f"{name}, line {line}"
        if len(row) != len(heads):
            quote = "; does a text with a comma in it lack its quotes?" if len(row) > len(heads) and sign == "," else ""
            unusable.add(f"{where}: has {len(row)} fields where the first line has {len(heads)}{quote}")
        elif row == heads:
            unusable.add(f"{where}: repeats the names of the columns, as tables do that were joined")
        elif len(record) > 1 and known and all(_like_a_row(each, sign, len(heads), label, known) for each in record[:-1]):
            unusable.add(
                f"{where}: a quote opens here and closes {len(record) - 1} lines below, and the lines between look like rows;"
                " a quote inside quotes is written twice"
            )
        else:
            known.add(row[label])
            yield Row(line, row[text], row[label])


def _header(header: str, delimiters: str, knobs: Prepare, name: str) -> tuple[str, list[str]]:
    """(the delimiter, the names of the columns) of a table.

    Raises:
        NoColumn: it lacks the column of the text or of the label.
        UserError: it has one of them twice.
    """
    heads = {sign: [head.strip() for head in next(csv.reader([header], delimiter=sign), [])] for sign in delimiters}
    wanted = {"prepare.text_column": knobs.text_column, "prepare.label_column": knobs.label_column}
    sign = max(delimiters, key=lambda sign: (sum(column in heads[sign] for column in wanted.values()), len(heads[sign])))
    for knob, column in wanted.items():
        if column not in heads[sign]:
            first = "" if header.strip() else "; its first line is empty"
            raise MissingColumnError(f"{knob}: {name} has no column '{column}'. {suggest(column, tuple(heads[sign]))}{first}")
        if heads[sign].count(column) > 1:
            places = " and ".join(str(place) for place, head in enumerate(heads[sign], start=1) if head == column)
            raise UserError(f"{knob}: {name}, line 1: the columns {places} are both named '{column}'; rename one of them")
    return sign, heads[sign]


def _records(
    lines: Iterator[str], sign: str, number: int, name: str, unusable: Unusable
) -> Iterator[tuple[int, list[str], list[str]]]:
    """(number of its first line, its lines, its fields) of each record of a table.

    A record that is not CSV costs its first line alone: reading goes on with the next one.
    """
    again: deque[str] = deque()
    record: list[str] = []

    def source() -> Iterator[str]:
        while True:
            if (line := again.popleft() if again else next(lines, None)) is None:
                return
            record.append(line)
            yield line

    while True:
        try:
            for row in csv.reader(source(), delimiter=sign, strict=True):
                yield number, record, row
                number += len(record)
                record.clear()
            return
        except csv.Error as error:
            what = f"is not CSV: {error}"
            if '"' in record[0]:
                what = f"a quote opens here that is not closed, or stands inside a field and is not written twice ({error})"
            unusable.add(f"{name}, line {number}: {what}")
            again.extendleft(reversed(record[1:]))
            number += 1
            record.clear()


def _like_a_row(line: str, sign: str, width: int, label: int, known: set[str]) -> bool:
    """Whether a line would be a row by itself, with a label that others have."""
    fields = line.rstrip("\n").replace('"', "").split(sign)
    return len(fields) == width and fields[label] in known


def _json_rows(name: str, lines: Iterator[str], knobs: Prepare, unusable: Unusable) -> Iterator[Row]:
    wanted = {"prepare.text_column": knobs.text_column, "prepare.label_column": knobs.label_column}
    quoted = [f'"{key}"' for key in wanted.values()]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json_value(line, where)
        except UserError as refusal:
            unusable.add(str(refusal))
            continue
        if problem := _unlike_an_object(row, wanted, where) or _key_twice(line, quoted, where):
            unusable.add(problem)
        else:
            yield Row(number, row[knobs.text_column], row[knobs.label_column])


def _unlike_an_object(row: Any, wanted: Mapping[str, str], where: str) -> str:
    if not isinstance(row, dict):
        return f'{where}: is not an object of keys and values, such as {{"text": …, "label": …}}'
    for knob, key in wanted.items():
        if key not in row:
            return f"{knob}: {where}: has no key '{key}'. {suggest(key, tuple(row))}"
    return ""


def _key_twice(line: str, quoted: Sequence[str], where: str) -> str:
    """Which key stands in an object twice: JSON's reader takes the last one in silence."""
    for key in quoted:
        if line.count(key) > 1:  # perhaps in an object within this one
            pairs = json.loads(line, object_pairs_hook=list)
            if sum(f'"{name}"' == key for name, _ in pairs) > 1:
                return f"{where}: the key {key} stands there twice"
    return ""


def _example(name: str, row: Row, unusable: Unusable) -> tuple[str, str] | None:
    """(the text, the label) of a row; None where it cannot be used."""
    problem = ""
    text = row.text.strip() if isinstance(row.text, str) else ""
    label = _label(row.label)
    if not text:
        problem = "the text is empty" if isinstance(row.text, str) or row.text is None else "the text is not text"
    elif not label:
        problem = f"the label is {'empty' if _is_gap(row.label) else 'not a word or a number'}"
    elif "\0" in text:
        problem = "the text holds a character of 0"
    elif not (is_whole(text) and is_whole(label)):
        problem = f"the {'label' if is_whole(text) else 'text'} holds half of a character (a lone surrogate)"
    if problem:
        unusable.add(f"{name}, line {row.line}: {problem}")
        return None
    return text, label


def _label(label: object) -> str:
    """A label as a word: true and 1 as JSON writes them; "" where it is none."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and not math.isfinite(label):
        return ""
    return str(label).strip() if isinstance(label, str | int | float) else ""


def _is_gap(label: object) -> bool:
    """Whether a label is missing, as null, "" and NaN say in JSON."""
    return label is None or (isinstance(label, str) and not label.strip()) or label != label


# --------------------------------------------------------------------------------------------------------------- dealing


def _labels(shelf: DiskTexts) -> tuple[Int[np.ndarray, " N"], list[str]]:
    """(the number of each text's class, the names of the classes by their numbers)."""
    class_of = classes_of(shelf.names)
    names = sorted(set(class_of.values()))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[class_of[label]] for label in shelf.names], np.int64)[shelf.labels], names


def _apart(
    rows: Rows, labels: Int[np.ndarray, " N"], names: Sequence[str]
) -> tuple[dict[str, Int[np.ndarray, " n"]], dict[str, int]]:
    """(the places of each split's texts if it has any, each text once and in one split; how many were left out and why).

    Of a text in two published splits the one that is looked at later counts. One that stands in a split with two labels is
    left out of it, and it is said where.
    """
    given: dict[str, Int[np.ndarray, " n"]] = {}
    left_out: Counter[str] = Counter()
    texts = numbered(rows.shelf.keys)
    later: Bool[np.ndarray, " N"] = np.zeros(len(texts), bool)  # of each different text, whether it is held out
    for split in reversed(SPLITS):
        places = rows.of_split(split)
        found = repeats(texts[places], labels[places])
        once = places[found.different & ~found.doubtful]
        own = once[~later[texts[once]]]
        two_labels = int(np.sum(found.different & found.doubtful))
        if found.contradiction:
            one, other = places[list(found.contradiction)].tolist()
            told = _contradiction(rows, one, other, labels, names)
            say(f"left out: {two_labels:,} texts that have two labels, such as {told}")
        left_out["copies"] += int(np.sum(~found.different))
        left_out["texts_with_two_labels"] += two_labels
        left_out["texts_that_are_held_out_too"] += len(once) - len(own)
        if split != "train":
            later[texts[places]] = True
        if len(own):
            given[split] = own
    return given, {why: number for why, number in left_out.items() if number}


def _classes(
    given: Mapping[str, Int[np.ndarray, " n"]], labels: Int[np.ndarray, " N"], known: Sequence[str], name: str
) -> tuple[list[str], Int[np.ndarray, " N"]]:
    """(the classes of what is given, in order, by number where they are numbers; the number of each text's class among them).

    Raises:
        UserError: there are too few or too many of them, or nothing to train on.
    """
    held = np.unique(np.concatenate([labels[:0], *(labels[places] for places in given.values())]))
    if not len(held):
        raise UserError(f"prepare.path: {name}: there is no labelled text in there")
    if len(held) == 1:
        raise UserError(
            f"prepare.label_column: all texts of {name} are of the class '{known[held[0]]}'; two or more are wanted"
        )
    if len(held) > MOST:
        raise UserError(f"prepare.label_column: {name} has {len(held):,} classes; {MOST:,} is the most")
    number_of = {known[label]: label for label in held.tolist()}
    classes = in_order(number_of)
    numbers = np.full(len(known), -1, np.int64)
    numbers[[number_of[name] for name in classes]] = np.arange(len(classes))
    return classes, numbers[labels]


def _of_known_classes(
    given: Mapping[str, Int[np.ndarray, " n"]], labels: Int[np.ndarray, " N"], classes: Sequence[str]
) -> None:
    """Say which classes a published held-out split lacks.

    Raises:
        UserError: training lacks one.
    """
    for split in SPLITS:
        held = np.bincount(labels[given.get(split, [])], minlength=len(classes))
        absent = [name for name, count in zip(classes, held, strict=True) if not count]
        if absent and split == "train":
            raise UserError(f"prepare.path: the class '{absent[0]}' is held out and has no text for training")
        if absent and split in given:
            say(f"the split {split} has no text of the class '{absent[0]}'")


def _contradiction(rows: Rows, one: int, other: int, labels: Int[np.ndarray, " N"], names: Sequence[str]) -> str:
    """A text that has two labels, and where it stands with each."""
    (text,) = rows.shelf.texts(np.array([one]))
    of_one, of_other = (f"{rows.where(place)}: '{names[labels[place]]}'" for place in (one, other))
    return f"{text.decode()[:40]!r} ({of_one}; {of_other})"


KINDS: dict[str, Callable[[str, Iterator[str], Prepare, Unusable], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
}
