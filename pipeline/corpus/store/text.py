"""In what form does text wait to be learned? The files of data/raw: written as a stream, read as a stream, whole or not at all.

{split}.txt holds the documents of a split one after another in UTF-8, {split}.ends.npy the byte offset at which each ends.
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
    """Where a text came from and what is known about it.

    Attributes:
        sha256: of each file that was fetched.
        split: how the documents were dealt out, in words.
        members: the names of the documents of each split, where they have names.
        entropy_nats_per_byte: what no model can beat, where the text was generated; `entropy_says` what is exact about it.
        test_is_validation: the text is published with one held-out part only, so that both splits are that part.
        grammar: the rule that every document keeps, as corpus/grammars.py calls it; "" where there is none.
        sources: of a mixture, its data sets in the order in which they lie, with the number of training documents of each.
        classes: what the labels 0, 1, … stand for; empty where there are none.
        left_out: how many documents of the source stand in no split, by the reason.
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


class Array:
    """A flat .npy file that grows: its length is written into its header when it is closed."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.dtype, self.length = np.dtype(dtype), 0
        self._file = NewFile(path)
        self._header()

    def extend(self, values: npt.ArrayLike) -> None:
        array = np.asarray(values).astype(self.dtype, copy=False)
        self._file.write(array.tobytes())
        self.length += array.size

    def close(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        # numpy pads headers so that a flat array may grow in place: the header has one size, whatever the length.
        shape = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, shape)


class Splits:
    """The three splits while they are being written. Use it as a block; its end checks that no split is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = dict.fromkeys(SPLITS, 0)
        self.bytes = dict.fromkeys(SPLITS, 0)

    def __enter__(self) -> Splits:
        self._texts = {split: NewFile(text_of(self.folder, split)) for split in SPLITS}
        self._ends = {split: Array(ends_of(self.folder, split), np.int64) for split in SPLITS}
        self._difficulty: Array | None = None
        self._labels: dict[str, Array] = {}
        self._kept, self._labelled = frozenset(SPLITS), True
        return self

    @contextlib.contextmanager
    def only(self, split: str) -> Iterator[None]:
        """A block in which what is written to another split falls away."""
        self._kept = frozenset([split])
        try:
            yield
        finally:
            self._kept = frozenset(SPLITS)

    @contextlib.contextmanager
    def unlabelled(self) -> Iterator[None]:
        """A block in which labels fall away."""
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
            difficulty: of each document that ends here, where its maker knows it; the larger, the harder.
            labels: the number of the class of each document that ends here: of all documents, or of none.
        """
        if split not in self._kept:
            return
        ends = np.asarray(ends, np.int64)
        if split == "train":
            self._rate(ends.size, difficulty)
        if labels is not None and self._labelled:
            if split not in self._labels:
                self._labels[split] = Array(labels_of(self.folder, split), np.uint16)
            self._labels[split].extend(labels)
        self._texts[split].write(text)
        self._ends[split].extend(ends + self.bytes[split])
        self.documents[split] += ends.size
        self.bytes[split] += len(text)

    def add(self, split: str, document: bytes, label: int | None = None, difficulty: float | None = None) -> None:
        """Append a whole document to a split, with its label and how hard it is, where it has one and that is known."""
        hard = None if difficulty is None else [difficulty]
        self.write(split, document, [len(document)], hard, None if label is None else [label])

    def _rate(self, documents: int, difficulty: npt.ArrayLike | None) -> None:
        if self._difficulty is None and difficulty is not None:
            self._difficulty = Array(difficulty_of(self.folder), np.float32)
            self._difficulty.extend(np.full(self.documents["train"], np.nan))
        if self._difficulty is not None:
            self._difficulty.extend(np.full(documents, np.nan) if difficulty is None else difficulty)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        written: list[NewFile | Array] = [*self._texts.values(), *self._ends.values(), *self._labels.values()]
        written += [self._difficulty] if self._difficulty is not None else []
        for file in written:
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():  # the first error is the one to be told
                file.close()
        empty = [split for split in SPLITS if not self.bytes[split]]
        if kind is None and empty:
            raise UserError(
                f"prepare: {sum(self.bytes.values()):,} bytes of text leave nothing for {' and '.join(empty)};"
                " more text or larger shares would do"
            )


Dataset = Callable[[Prepare, Splits, Follow], Card]
"""Writes its text into the splits as a stream and says where it came from; whoever waits can follow the work."""


def chunks(folder: Path, split: str, size: int) -> Iterator[tuple[bytes, bool]]:
    """The text of a split in order: (at most `size` bytes of one document, whether the document ends with them)."""
    with open_verified(text_of(folder, split)) as file:
        start = 0
        for end in map(int, document_ends(folder, split)):
            for at in range(start, end, size):
                chunk = file.read(min(size, end - at))
                yield chunk, at + len(chunk) == end
            start = end


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """An empty folder to fill that takes the place of `folder` only when the block ends well and its files are on the disk.

    What stood there goes last. A process that is killed between the two renames leaves it under another name, from which the
    next one brings it back. One process at a time fills a folder: a stage may still be at work whose DVC was killed.
    """
    unfinished, replaced = (folder.with_name(f".{folder.name}.{what}unfinished") for what in ("", "replaced."))
    others = f"another process fills {folder}; waiting for it"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder.parent, lambda: say(others)):
        if replaced.exists() and not folder.exists():
            replaced.replace(folder)
        for left in (unfinished, replaced):  # by a killed run
            shutil.rmtree(left, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield unfinished
            for path in unfinished.iterdir():
                sync(path)
            if folder.exists():
                folder.replace(replaced)
            try:
                unfinished.replace(folder)
            except OSError:
                with contextlib.suppress(OSError):  # if that fails too, the next run brings it back
                    replaced.replace(folder)
                raise
            shutil.rmtree(replaced, ignore_errors=True)
        except OSError as error:
            error.filename = str(error.filename).replace(str(unfinished), str(folder), 1) if error.filename else str(folder)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
