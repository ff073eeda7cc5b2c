"""Labelled texts on the disk while they are being split; in memory are only a digest, an offset and a label of each."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt64

from pipeline.corpus.sources.splitting.text import text_digest

BLOCK = 1 << 22  # bytes of text that are read at once


class DiskTexts:
    """Texts and their labels in the order in which they were added, in an unnamed temporary file.

    Args:
        folder: on whose disk it lies; None = the folder of temporary files.

    Attributes:
        label_names: the number of each label, in the order in which they were first added.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.label_names: dict[str, int] = {}
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open as long as this object lives
        self._ends, self._labels, self._keys = array("q"), array("q"), bytearray()
        self._size = 0

    def add(self, text: str, label: str) -> None:
        """Add a text at the end."""
        written = text.encode()
        self._file.write(written)
        self._size += len(written)
        self._ends.append(self._size)
        self._labels.append(self.label_names.setdefault(label, len(self.label_names)))
        self._keys += text_digest(written)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def labels(self) -> Int[np.ndarray, " N"]:
        """The number of each text's label in `label_names`."""
        return np.array(self._labels, np.int64)

    @property
    def keys(self) -> UInt64[np.ndarray, "N 2"]:
        """A digest of each text, as two integers that sort as it does."""
        return np.frombuffer(bytes(self._keys), ">u8").reshape(-1, 2).astype(np.uint64)

    def blocks(self, places: Int[np.ndarray, " n"]) -> Iterator[slice]:
        """Places in blocks, of each of which the texts have about BLOCK bytes."""
        written = np.cumsum(np.diff(np.array(self._ends, np.int64), prepend=0)[places])
        cuts = np.flatnonzero(np.diff(written // BLOCK)) + 1
        yield from map(slice, [0, *cuts.tolist()], [*cuts.tolist(), len(places)])

    def read(self, places: Int[np.ndarray, " n"]) -> Iterator[bytes]:
        """The texts at these places."""
        self._file.flush()
        for place in places.tolist():
            start = self._ends[place - 1] if place else 0
            yield os.pread(self._file.fileno(), self._ends[place] - start, start)
