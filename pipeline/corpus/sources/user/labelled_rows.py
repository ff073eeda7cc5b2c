"""The rows of .csv, .tsv and .jsonl files, as texts and labels that are not yet checked."""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.corpus.sources.splitting.text import parse_json_line
from pipeline.corpus.sources.user.bad_data import BadData
from pipeline.corpus.sources.user.folder_layout import files_in, is_file
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.params.names import suggest
from pipeline.progress import say

DELIMITERS = ",;\t|"  # as spreadsheets and databases write them, here and there
MAX_FIELD = 1 << 24  # characters of one field: as far as a quote that is never closed is followed, in memory
OTHER_TABLES = {
    ".json",
    ".ndjson",
    ".parquet",
    ".arrow",
    ".feather",
    ".xlsx",
    ".xls",
    ".ods",
    ".gz",
    ".zip",
}  # that are not read


class Row(NamedTuple):
    """A line of a file, its text and its label, not yet looked at."""

    line: int
    text: object
    label: object


def find_files(path: Path) -> dict[str, Path]:
    """The files to read, by name."""
    kinds = " or ".join(READERS)
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise UserError(f"prepare.path: {path.name}: is not a {kinds} file, which labelled texts come in")
        return {path.name: path} if is_file(path) else {}
    if not path.is_dir():
        raise UserError(f"prepare.path: there is no file or folder '{path}' here")
    found = files_in(path)
    files = {p.relative_to(path).as_posix(): p for p in found if p.suffix.lower() in READERS}
    if not files:
        raise UserError(f"prepare.path: no file in '{path}' is a {kinds}; put your labelled texts there")
    if other := [p.relative_to(path).as_posix() for p in found if p.suffix.lower() in OTHER_TABLES]:
        say(f"left out: {len(other):,} files in '{path}' that are not {kinds}, such as {other[0]}")
    return files


class MissingColumnError(UserError):
    """A file lacks the column of the text or of the label."""


def _csv_rows(name: str, lines: Iterator[str], knobs: Prepare, bad_data: BadData) -> Iterator[Row]:
    number, header = next(((number, line) for number, line in enumerate(lines, start=1) if line.strip()), (1, ""))
    said = re.fullmatch(r"sep=(.)\s*", header)  # the first line that Excel writes or wants
    if said:
        number, header = number + 1, next(lines, "")
    sign, heads = _header(header, said[1] if said else DELIMITERS, knobs, name)
    text, label = (heads.index(column) for column in (knobs.text_column, knobs.label_column))
    csv.field_size_limit(MAX_FIELD)
    known: set[str] = set()
    for line, record, row in _records(lines, sign, number + 1, name, bad_data):
        if not row:
            continue
        where = f"{name}, line {line}"
        if len(row) != len(heads):
            quote = "; does a text with a comma in it lack its quotes?" if len(row) > len(heads) and sign == "," else ""
            bad_data.add(f"{where}: has {len(row)} fields where the first line has {len(heads)}{quote}")
        elif row == heads:
            bad_data.add(f"{where}: repeats the names of the columns, as tables do that were joined")
        elif len(record) > 1 and known and all(_looks_like_a_row(each, sign, len(heads), label, known) for each in record[:-1]):
            bad_data.add(
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
    lines: Iterator[str], sign: str, number: int, name: str, bad_data: BadData
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
            bad_data.add(f"{name}, line {number}: {what}")
            again.extendleft(reversed(record[1:]))
            number += 1
            record.clear()


def _looks_like_a_row(line: str, sign: str, width: int, label: int, known: set[str]) -> bool:
    """Whether a line would be a row by itself, with a label that others have."""
    fields = line.rstrip("\n").replace('"', "").split(sign)
    return len(fields) == width and fields[label] in known


def _json_rows(name: str, lines: Iterator[str], knobs: Prepare, bad_data: BadData) -> Iterator[Row]:
    wanted = {"prepare.text_column": knobs.text_column, "prepare.label_column": knobs.label_column}
    quoted = [f'"{key}"' for key in wanted.values()]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = parse_json_line(line, where)
        except UserError as refusal:
            bad_data.add(str(refusal))
            continue
        if problem := _object_problem(row, wanted, where) or _repeated_key(line, quoted, where):
            bad_data.add(problem)
        else:
            yield Row(number, row[knobs.text_column], row[knobs.label_column])


def _object_problem(row: Any, wanted: Mapping[str, str], where: str) -> str:
    if not isinstance(row, dict):
        return f'{where}: is not an object of keys and values, such as {{"text": …, "label": …}}'
    for knob, key in wanted.items():
        if key not in row:
            return f"{knob}: {where}: has no key '{key}'. {suggest(key, tuple(row))}"
    return ""


def _repeated_key(line: str, quoted: Sequence[str], where: str) -> str:
    """Which key stands in an object twice: JSON's reader takes the last one in silence."""
    for key in quoted:
        if line.count(key) > 1:  # perhaps in an object within this one
            pairs = json.loads(line, object_pairs_hook=list)
            if sum(f'"{name}"' == key for name, _ in pairs) > 1:
                return f"{where}: the key {key} stands there twice"
    return ""


READERS: dict[str, Callable[[str, Iterator[str], Prepare, BadData], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
}
