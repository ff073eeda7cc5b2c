"""The texts of data/raw and their card: written and read as a stream, and in place only when complete.

{split}.txt has the documents of a split one after another in UTF-8, {split}.ends.npy the byte offset at which each ends.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.arrays import document_ends
from pipeline.artifacts.paths import SPLITS, difficulty_of, ends_of, exclusive_lock, labels_of, text_of
from pipeline.artifacts.reading import open_verified
from pipeline.artifacts.writing import NewFile, sync
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say


@dataclass(frozen=True)
class Card:
    """Where a data set came from and what is known about it; written to card.json.

    Attributes:
        sha256: of each downloaded file.
        split: how documents were assigned to splits, in words.
        members: the names of the documents of each split, if they have names.
        entropy_nats_per_byte: the lowest possible loss, if the text was generated; `entropy_says`: how exact that is.
        test_is_validation: the text is published with only one held-out part, which is both splits.
        grammar: the rule that every document follows, by its name in corpus/grammars.py; "" = none.
        sources: of a mixture, its data sets in their order, with the number of training documents of each.
        classes: the names of the labels 0, 1, …; empty if there are none.
        left_out: how many documents of the source are in no split, by the reason.
    """

    name: str
    source: str
    licence: str
    split: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    entropy_nats_per_byte: float | None = None
    entropy_says: str = "not known: nobody knows the entropy of what people write"
    test_is_validation: bool = False
    grammar: str = ""
    sources: Sequence[tuple[str, int]] = ()
    classes: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


class GrowingArray:
    """A flat .npy file that grows; its length is written into its header when it is closed."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.dtype, self.length = np.dtype(dtype), 0
        self._file = NewFile(path)
        self._header()

    def extend(self, values: npt.ArrayLike) -> None:
        """Append values."""
        array = np.asarray(values).astype(self.dtype, copy=False)
        self._file.write(array.tobytes())
        self.length += array.size

    def close(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        # numpy pads headers so that a flat array may grow in place: the header has the same size for any length.
        shape = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, shape)


class SplitWriter:
    """Writes the three splits. A context manager: leaving it checks that no split is empty.

    Attributes:
        documents, bytes: of each split, so far.

    Raises:
        UserError: on leaving, a split has no text.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = dict.fromkeys(SPLITS, 0)
        self.bytes = dict.fromkeys(SPLITS, 0)

    def __enter__(self) -> SplitWriter:
        self._texts = {split: NewFile(text_of(self.folder, split)) for split in SPLITS}
        self._ends = {split: GrowingArray(ends_of(self.folder, split), np.int64) for split in SPLITS}
        self._difficulty: GrowingArray | None = None
        self._labels: dict[str, GrowingArray] = {}
        self._kept, self._labelled = frozenset(SPLITS), True
        return self

    @contextlib.contextmanager
    def only(self, split: str) -> Iterator[None]:
        """A context in which text for other splits is dropped."""
        self._kept = frozenset([split])
        try:
            yield
        finally:
            self._kept = frozenset(SPLITS)

    @contextlib.contextmanager
    def without_labels(self) -> Iterator[None]:
        """A context in which labels are dropped."""
        self._labelled = False
        try:
            yield
        finally:
            self._labelled = True

    def write(
        self,
        split: str,
        text: bytes,
        ends: npt.ArrayLike = (),
        difficulty: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
    ) -> None:
        """Append text to a split.

        Args:
            ends: the offsets in this text at which a document ends.
            difficulty: of each document that ends here, if it is known; larger is harder.
            labels: the class number of each document that ends here: of all documents, or of none.
        """
        if split not in self._kept:
            return
        ends = np.asarray(ends, np.int64)
        if split == "train":
            self._write_difficulty(ends.size, difficulty)
        if labels is not None and self._labelled:
            if split not in self._labels:
                self._labels[split] = GrowingArray(labels_of(self.folder, split), np.uint16)
            self._labels[split].extend(labels)
        self._texts[split].write(text)
        self._ends[split].extend(ends + self.bytes[split])
        self.documents[split] += ends.size
        self.bytes[split] += len(text)

    def add(self, split: str, document: bytes, label: int | None = None, difficulty: float | None = None) -> None:
        """Append a whole document to a split, with its label and its difficulty, if it has them."""
        difficulties = None if difficulty is None else [difficulty]
        self.write(split, document, [len(document)], difficulties, None if label is None else [label])

    def _write_difficulty(self, documents: int, difficulty: npt.ArrayLike | None) -> None:
        if self._difficulty is None and difficulty is not None:
            self._difficulty = GrowingArray(difficulty_of(self.folder), np.float32)
            self._difficulty.extend(np.full(self.documents["train"], np.nan))
        if self._difficulty is not None:
            self._difficulty.extend(np.full(documents, np.nan) if difficulty is None else difficulty)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        written: list[NewFile | GrowingArray] = [*self._texts.values(), *self._ends.values(), *self._labels.values()]
        written += [self._difficulty] if self._difficulty is not None else []
        for file in written:
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():  # the first error is the one to report
                file.close()
        empty = [split for split in SPLITS if not self.bytes[split]]
        if kind is None and empty:
            raise UserError(
                f"prepare: {sum(self.bytes.values()):,} bytes of text leave nothing for {' and '.join(empty)};"
                " use more text, or larger prepare.validation_share and prepare.test_share"
            )


PrepareTexts = Callable[[Prepare, SplitWriter, Follow], Card]
"""Writes the texts of a data set into the splits as a stream, reports its progress, and returns its card."""


def document_chunks(folder: Path, split: str, size: int) -> Iterator[tuple[bytes, bool]]:
    """The text of a split in order, as (at most `size` bytes of one document, whether the document ends with them)."""
    with open_verified(text_of(folder, split)) as file:
        start = 0
        for end in map(int, document_ends(folder, split)):
            for at in range(start, end, size):
                chunk = file.read(min(size, end - at))
                yield chunk, at + len(chunk) == end
            start = end


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that replaces `folder` only when the block ends without an error and all files are on the disk.

    The old folder is removed last. A process killed between the two renames leaves it under another name, and the next one
    restores it. One process at a time fills a folder: a stage may still run although its DVC was killed.
    """
    unfinished, replaced = (folder.with_name(f".{folder.name}.{what}unfinished") for what in ("", "replaced."))
    others = f"another process is writing {folder}; waiting for it"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder.parent, lambda: say(others)):
        if replaced.exists() and not folder.exists():
            replaced.replace(folder)
        for left in (unfinished, replaced):  # by a killed run
            shutil.rmtree(left, ignore_errors=True)
        try:
            unfinished.mkdir()
            yield unfinished
            for path in unfinished.iterdir():
                sync(path)
            if folder.exists():
                folder.replace(replaced)
            try:
                unfinished.replace(folder)
            except OSError:
                with contextlib.suppress(OSError):  # if that fails too, the next run restores it
                    replaced.replace(folder)
                raise
            shutil.rmtree(replaced, ignore_errors=True)
        except OSError as error:
            error.filename = str(error.filename).replace(str(unfinished), str(folder), 1) if error.filename else str(folder)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
