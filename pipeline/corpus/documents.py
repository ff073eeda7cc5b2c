"""In what form does text wait to be learned? The files of data/raw: written as a stream, read as a stream, whole or not at all.

{split}.txt holds the documents of a split one after another in UTF-8, {split}.ends.npy the byte offset at which each ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import SPLITS, alone, ends_of, memory_mapped, text_of
from pipeline.corpus.progress import say
from pipeline.params import Refusal


@dataclass(frozen=True)
class Card:
    """Where a text came from and what is known about it.

    Attributes:
        sha256: of each file that was fetched.
        split: how the documents were dealt out, in words.
        members: the names of the documents of each split, where they have names.
        entropy_nats_per_byte: what no model can beat, where the text was generated; `entropy_says` what is exact about it.
        test_is_validation: the text is published with one held-out part only, so that both splits are that part.
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

    def with_counts(self, splits: Splits) -> dict[str, Any]:
        """The card as it is written, with what the splits hold."""
        return asdict(self) | {"documents": splits.documents, "bytes": splits.bytes}


class Array:
    """A flat .npy file that grows: its length is written into its header when it is closed."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.dtype, self.length = np.dtype(dtype), 0
        self._file: BinaryIO = path.open("wb")
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
        self._texts = {split: text_of(self.folder, split).open("wb") for split in SPLITS}
        self._ends = {split: Array(ends_of(self.folder, split), np.int64) for split in SPLITS}
        return self

    def write(self, split: str, text: bytes, ends: npt.ArrayLike = ()) -> None:
        """Append text to a split; `ends` are the offsets in this text at which a document ends."""
        ends = np.asarray(ends, np.int64)
        self._texts[split].write(text)
        self._ends[split].extend(ends + self.bytes[split])
        self.documents[split] += ends.size
        self.bytes[split] += len(text)

    def add(self, split: str, document: bytes) -> None:
        """Append a whole document to a split."""
        self.write(split, document, [len(document)])

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for split in SPLITS:
            self._texts[split].close()
            self._ends[split].close()
        empty = [split for split in SPLITS if not self.bytes[split]]
        if kind is None and empty:
            raise Refusal(
                f"prepare: {sum(self.bytes.values()):,} bytes of text leave nothing for {' and '.join(empty)};"
                " more text or larger shares would do"
            )


def chunks(folder: Path, split: str, size: int) -> Iterator[tuple[bytes, bool]]:
    """The text of a split in order: (at most `size` bytes of one document, whether the document ends with them)."""
    with text_of(folder, split).open("rb") as file:
        start = 0
        for end in map(int, memory_mapped(ends_of(folder, split))):
            for at in range(start, end, size):
                chunk = file.read(min(size, end - at))
                yield chunk, at + len(chunk) == end
            start = end


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """An empty folder to fill that takes the place of `folder` only when the block ends well and its files are on the disk.

    One process at a time fills it: a stage may still be at work whose DVC was killed.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    others = f"another process fills {folder}; waiting for it"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.parent, lambda: say(others)):
        shutil.rmtree(unfinished, ignore_errors=True)  # what a killed run left
        unfinished.mkdir()
        try:
            yield unfinished
            for path in unfinished.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
