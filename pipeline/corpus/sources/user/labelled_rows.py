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

DELIMITERS = ",;\t|"  # those that spreadsheets and databases write
MAX_FIELD = 1 << 24  # characters of a field, which bounds the memory for a quote that is never closed
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
}  # not supported


class Row(NamedTuple):
    """The number of a line in a file, with its text and its label, not yet checked."""

    line: int
    text: object
    label: object


def find_files(path: Path) -> dict[str, Path]:
    """The files to read, by name.

    Raises:
        UserError: there are none.
    """
    kinds = " or ".join(READERS)
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise UserError(f"prepare.path: {path.name}: is not a {kinds} file; labelled texts must be one")
        return {path.name: path} if is_file(path) else {}
    if not path.is_dir():
        raise UserError(f"prepare.path: no file or folder '{path}'")
    found = files_in(path)
    files = {p.relative_to(path).as_posix(): p for p in found if p.suffix.lower() in READERS}
    if not files:
        raise UserError(f"prepare.path: no file in '{path}' is a {kinds}; put your labelled texts there")
    if other := [p.relative_to(path).as_posix() for p in found if p.suffix.lower() in OTHER_TABLES]:
        say(f"left out: {len(other):,} files in '{path}' that are not {kinds}, such as {other[0]}")
    return files


class MissingColumnError(UserError):
    """A file without the column of the text or of the label."""


def _csv_rows(name: str, lines: Iterator[str], knobs: Prepare, bad_data: BadData) -> Iterator[Row]:
    number, header = next(((number, line) for number, line in enumerate(lines, start=1) if line.strip()), (1, ""))
    separator = re.fullmatch(r"sep=(.)\s*", header)  # a first line for Excel
    if separator:
        number, header = number + 1, next(lines, "")
    delimiter, columns = _header(header, separator[1] if separator else DELIMITERS, knobs, name)
    text, label = (columns.index(column) for column in (knobs.text_column, knobs.label_column))
    csv.field_size_limit(MAX_FIELD)
    known: set[str] = set()
    for line, record, row in _records(lines, delimiter, number + 1, name, bad_data):
        if not row:
            continue
        where = f"{name}, line {line}"
        if len(row) != len(columns):
            quote = "; quote texts with a comma" if len(row) > len(columns) and delimiter == "," else ""
            bad_data.add(f"{where}: has {len(row)} fields, but the first line has {len(columns)}{quote}")
        elif row == columns:
            bad_data.add(f"{where}: repeats the names of the columns, like tables that were concatenated; remove it")
        elif (
            len(record) > 1
            and known
            and all(_looks_like_a_row(each, delimiter, len(columns), label, known) for each in record[:-1])
        ):
            bad_data.add(
                f"{where}: a quote opens here and closes {len(record) - 1} lines below, and the lines between look like rows;"
                " double a quote inside quotes"
            )
        else:
            known.add(row[label])
            yield Row(line, row[text], row[label])


def _header(header: str, delimiters: str, knobs: Prepare, name: str) -> tuple[str, list[str]]:
    """(the delimiter, the names of the columns) of a table.

    Raises:
        MissingColumnError: the column of the text or of the label is missing.
        UserError: it occurs twice.
    """
    columns = {sign: [head.strip() for head in next(csv.reader([header], delimiter=sign), [])] for sign in delimiters}
    keys = {"prepare.text_column": knobs.text_column, "prepare.label_column": knobs.label_column}
    delimiter = max(delimiters, key=lambda sign: (sum(key in columns[sign] for key in keys.values()), len(columns[sign])))
    for knob, column in keys.items():
        if column not in columns[delimiter]:
            first = "" if header.strip() else "; its first line is empty"
            raise MissingColumnError(
                f"{knob}: {name} has no column '{column}'. {suggest(column, tuple(columns[delimiter]))}{first}"
            )
        if columns[delimiter].count(column) > 1:
            places = " and ".join(str(place) for place, head in enumerate(columns[delimiter], start=1) if head == column)
            raise UserError(f"{knob}: {name}, line 1: the columns {places} are both named '{column}'; rename one of them")
    return delimiter, columns[delimiter]


def _records(
    lines: Iterator[str], delimiter: str, number: int, name: str, bad_data: BadData
) -> Iterator[tuple[int, list[str], list[str]]]:
    """(number of its first line, its lines, its fields) of each record of a table.

    After a record that is not CSV, reading continues with its second line.
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
            for row in csv.reader(source(), delimiter=delimiter, strict=True):
                yield number, record, row
                number += len(record)
                record.clear()
            return
        except csv.Error as error:
            what = f"is not CSV: {error}"
            if '"' in record[0]:
                what = f"a quote opens here that is not closed, or is inside a field and not doubled ({error})"
            bad_data.add(f"{name}, line {number}: {what}")
            again.extendleft(reversed(record[1:]))
            number += 1
            record.clear()


def _looks_like_a_row(line: str, delimiter: str, width: int, label: int, known: set[str]) -> bool:
    """Whether a line would be a row of its own, with a label that other rows have."""
    fields = line.rstrip("\n").replace('"', "").split(delimiter)
    return len(fields) == width and fields[label] in known


def _json_rows(name: str, lines: Iterator[str], knobs: Prepare, bad_data: BadData) -> Iterator[Row]:
    keys = {"prepare.text_column": knobs.text_column, "prepare.label_column": knobs.label_column}
    quoted = [f'"{key}"' for key in keys.values()]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = parse_json_line(line, where)
        except UserError as refusal:
            bad_data.add(str(refusal))
            continue
        if problem := _object_problem(row, keys, where) or _repeated_key(line, quoted, where):
            bad_data.add(problem)
        else:
            yield Row(number, row[knobs.text_column], row[knobs.label_column])


def _object_problem(row: Any, keys: Mapping[str, str], where: str) -> str:
    if not isinstance(row, dict):
        return f'{where}: is not an object of keys and values, such as {{"text": …, "label": …}}'
    for knob, key in keys.items():
        if key not in row:
            return f"{knob}: {where}: has no key '{key}'. {suggest(key, tuple(row))}"
    return ""


def _repeated_key(line: str, quoted: Sequence[str], where: str) -> str:
    """The problem of a key that occurs twice in an object, of which json.loads silently takes the last one."""
    for key in quoted:
        if line.count(key) > 1:  # perhaps in a nested object
            pairs = json.loads(line, object_pairs_hook=list)
            if sum(f'"{name}"' == key for name, _ in pairs) > 1:
                return f"{where}: the key {key} occurs twice"
    return ""


READERS: dict[str, Callable[[str, Iterator[str], Prepare, BadData], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
}
