"""The user's own labelled texts, .csv and .jsonl files, made into three splits."""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.disk_texts import DiskTexts
from pipeline.corpus.sources.splitting.exact_duplicates import find_duplicates, number_digests
from pipeline.corpus.sources.splitting.labelled_splits import split_by_class, write_published
from pipeline.corpus.sources.splitting.text import is_encodable, lines_of, read_utf8, with_progress
from pipeline.corpus.sources.user.bad_data import BadData
from pipeline.corpus.sources.user.classes import merge_labels, sort_classes
from pipeline.corpus.sources.user.folder_layout import describe_layout, first_few, missing_splits, splits_by_name
from pipeline.corpus.sources.user.labelled_rows import READERS, MissingColumnError, Row, find_files
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say

MAX_CLASSES = 1 << 16


class LabelledRows:
    """The labelled texts of some files in order, and the file and line of each.

    Attributes:
        stored: the texts, with their labels as they are spelled.
    """

    def __init__(self, folder: Path) -> None:
        self.stored = DiskTexts(folder)
        self._lines = array("q")
        self._begins: list[int] = []  # the place of the first text of each file
        self._files: list[tuple[str, str]] = []  # (name, published split)

    def begin(self, name: str, split: str) -> None:
        """Begin a file: the texts added from here on are of this file and split."""
        self._begins.append(len(self.stored))
        self._files.append((name, split))

    def add(self, line: int, text: str, label: str) -> None:
        """Add a text of the current file."""
        self.stored.add(text, label)
        self._lines.append(line)

    def of_split(self, split: str) -> Int[np.ndarray, " n"]:
        """The places of the texts that are published in a split."""
        bounds = itertools.pairwise([*self._begins, len(self.stored)])
        found = [np.arange(*of_file) for of_file, (_, own) in zip(bounds, self._files, strict=True) if own == split]
        return np.concatenate([np.empty(0, np.int64), *found])

    def where(self, place: int) -> str:
        """The file and the line of a text."""
        name, _ = self._files[bisect_right(self._begins, place) - 1]
        return f"{name}, line {self._lines[place]}"


def user_labelled(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """The user's own labelled texts: a .csv, .tsv or .jsonl file, or a folder of them. Published splits are kept.

    Raises:
        UserError: there are none, they cannot be read, or there are too few.
    """
    files = find_files(Path(knobs.path))
    layout = splits_by_name(files, Path(knobs.path))
    bad_data = BadData(knobs, "rows")
    rows = LabelledRows(splits.folder)
    for name, path in files.items():
        split = layout[name] if layout else "train"
        with path.open("rb") as stream, follow(f"reading {name}", path.stat().st_size) as advance:
            lines = lines_of(with_progress(read_utf8(stream, name), advance))
            rows.begin(name, split)
            try:
                for row in READERS[path.suffix.lower()](name, lines, knobs, bad_data):
                    if example := _example(name, row, bad_data):
                        rows.add(row.line, *example)
            except MissingColumnError as refusal:
                if split == "train":
                    raise
                raise UserError(f"{refusal}; if {split} has no labels, set prepare.path to the training file alone") from None
    skipped = bad_data.report()
    labels, known = _labels(rows.stored)
    given, left_out = _without_duplicates(rows, labels, known)
    classes, labels = _classes(given, labels, known, first_few(files))
    if layout:
        _report_missing_classes(given, labels, classes)
    lacking = missing_splits(given, knobs)
    for split, places in given.items():
        if split == "train":
            split_by_class(rows.stored, places, labels[places], classes, lacking, splits)
        else:
            write_published(split, rows.stored, places, labels[places], splits)
    how = "of each class its shares, drawn by a digest of the text; " if lacking else ""
    return Card(
        name="file",
        source="the user's own files",
        licence="the user's own: not known to us",
        split=f"{f'{describe_layout(given)}; ' if layout else ''}{how}a text stands in one split once",
        classes=classes,
        left_out=left_out | skipped,
    )


def _example(name: str, row: Row, bad_data: BadData) -> tuple[str, str] | None:
    """(the text, the label) of a row; None if it cannot be used."""
    problem = ""
    text = row.text.strip() if isinstance(row.text, str) else ""
    label = _label(row.label)
    if not text:
        problem = "the text is empty" if isinstance(row.text, str) or row.text is None else "the text is not text"
    elif not label:
        problem = f"the label is {'empty' if _is_missing(row.label) else 'not a word or a number'}"
    elif "\0" in text:
        problem = "the text has a zero character"
    elif not (is_encodable(text) and is_encodable(label)):
        problem = f"the {'label' if is_encodable(text) else 'text'} has half of a character (a lone surrogate)"
    if problem:
        bad_data.add(f"{name}, line {row.line}: {problem}")
        return None
    return text, label


def _label(label: object) -> str:
    """A label as a string, true and 1 as in JSON; "" if it is not a word or a number."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and not math.isfinite(label):
        return ""
    return str(label).strip() if isinstance(label, str | int | float) else ""


def _is_missing(label: object) -> bool:
    """Whether a label is missing: null, "" or NaN in JSON."""
    return label is None or (isinstance(label, str) and not label.strip()) or label != label


def _labels(stored: DiskTexts) -> tuple[Int[np.ndarray, " N"], list[str]]:
    """(the number of each text's class, the names of the classes by their numbers)."""
    class_of = merge_labels(stored.label_names)
    names = sorted(set(class_of.values()))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[class_of[label]] for label in stored.label_names], np.int64)[stored.labels], names


def _without_duplicates(
    rows: LabelledRows, labels: Int[np.ndarray, " N"], names: Sequence[str]
) -> tuple[dict[str, Int[np.ndarray, " n"]], dict[str, int]]:
    """(the places of the texts of each split that has any; how many were dropped, by the reason).

    Each text is kept once: of a text in two published splits, the one in the later split. A text with two labels in a split is
    dropped from it, and printed.
    """
    given: dict[str, Int[np.ndarray, " n"]] = {}
    left_out: Counter[str] = Counter()
    texts = number_digests(rows.stored.keys)
    later: Bool[np.ndarray, " N"] = np.zeros(len(texts), bool)  # of each distinct text, whether a later split has it
    for split in reversed(SPLITS):
        places = rows.of_split(split)
        found = find_duplicates(texts[places], labels[places])
        once = places[found.is_first & ~found.conflicting]
        own = once[~later[texts[once]]]
        two_labels = int(np.sum(found.is_first & found.conflicting))
        if found.conflict:
            one, other = places[list(found.conflict)].tolist()
            example = _describe_conflict(rows, one, other, labels, names)
            say(f"left out: {two_labels:,} texts that have two labels, such as {example}")
        left_out["copies"] += int(np.sum(~found.is_first))
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
    """(the classes that occur, numbers first; the class number of each text).

    Raises:
        UserError: there are too few or too many classes, or no texts.
    """
    held = np.unique(np.concatenate([labels[:0], *(labels[places] for places in given.values())]))
    if not len(held):
        raise UserError(f"prepare.path: {name}: no labelled text in it")
    if len(held) == 1:
        raise UserError(
            f"prepare.label_column: all texts of {name} are of the class '{known[held[0]]}'; two or more are needed"
        )
    if len(held) > MAX_CLASSES:
        raise UserError(f"prepare.label_column: {name} has {len(held):,} classes; {MAX_CLASSES:,} are allowed")
    number_of = {known[label]: label for label in held.tolist()}
    classes = sort_classes(number_of)
    numbers = np.full(len(known), -1, np.int64)
    numbers[[number_of[name] for name in classes]] = np.arange(len(classes))
    return classes, numbers[labels]


def _report_missing_classes(
    given: Mapping[str, Int[np.ndarray, " n"]], labels: Int[np.ndarray, " N"], classes: Sequence[str]
) -> None:
    """Print which classes a published held-out split lacks.

    Raises:
        UserError: training lacks one.
    """
    for split in SPLITS:
        held = np.bincount(labels[given.get(split, [])], minlength=len(classes))
        absent = [name for name, count in zip(classes, held, strict=True) if not count]
        if absent and split == "train":
            raise UserError(f"prepare.path: the class '{absent[0]}' has held-out texts, but none for training")
        if absent and split in given:
            say(f"the split {split} has no text of the class '{absent[0]}'")


def _describe_conflict(rows: LabelledRows, one: int, other: int, labels: Int[np.ndarray, " N"], names: Sequence[str]) -> str:
    """A text that has two labels, and the file and line of each."""
    (text,) = rows.stored.read(np.array([one]))
    of_one, of_other = (f"{rows.where(place)}: '{names[labels[place]]}'" for place in (one, other))
    return f"{text.decode()[:40]!r} ({of_one}; {of_other})"
