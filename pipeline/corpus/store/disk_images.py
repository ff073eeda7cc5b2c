"""Images on the disk, read a block at a time, so that memory does not grow with their number."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, UInt8

BLOCK = 1 << 21  # bytes of images that are read at once


@runtime_checkable
class Images(Protocol):
    """Images of one shape: an array of them, or an object that returns an array for some of their places.

    Attributes:
        shape: (images, height, width, channels).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, places: Int[np.ndarray, " n"], /) -> UInt8[np.ndarray, "n H W C"]: ...


def blocks(images: Images, places: Int[np.ndarray, " N"]) -> Iterator[Int[np.ndarray, " n"]]:
    """Places of images in blocks, of each of which the images have about BLOCK bytes."""
    size = max(BLOCK // max(int(np.prod(images.shape[1:])), 1), 1)
    for at in range(0, len(places), size):
        yield places[at : at + size]


class DiskImages:
    """Images in an unnamed temporary file, which is gone when the process ends.

    Args:
        folder: on whose disk it lies; None = the folder of temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open as long as this object lives
        self._each: tuple[int, ...] = ()
        self._count = 0

    def append(self, image: UInt8[np.ndarray, "H W C"]) -> None:
        """Add an image at the end; all have the shape of the first."""
        self._each = self._each or image.shape
        assert image.shape == self._each, f"{image.shape} among images of {self._each}"
        self._file.write(image.tobytes())
        self._count += 1

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._count, *self._each)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: Int[np.ndarray, " n"], /) -> UInt8[np.ndarray, "n H W C"]:
        self._file.flush()
        size = int(np.prod(self._each))
        runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1) if len(places) else []  # neighbours: one read
        read = (os.pread(self._file.fileno(), len(run) * size, int(run[0]) * size) for run in runs)
        return np.frombuffer(b"".join(read), np.uint8).reshape(len(places), *self._each)


class Subset:
    """Some of the images, in the order of their places."""

    def __init__(self, images: Images, places: Int[np.ndarray, " n"]) -> None:
        self._images, self._places = images, places

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._places), *self._images.shape[1:])

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, places: Int[np.ndarray, " n"], /) -> UInt8[np.ndarray, "n H W C"]:
        return self._images[self._places[places]]


class Concatenated:
    """The images of several parts, one part after another; there is at least one, and all are of one shape."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts, self._ends = parts, np.cumsum([len(part) for part in parts])
        assert len({part.shape[1:] for part in parts}) == 1, "images of different shapes"

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._parts[0].shape[1:])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, places: Int[np.ndarray, " n"], /) -> UInt8[np.ndarray, "n H W C"]:
        images = np.empty((len(places), *self.shape[1:]), np.uint8)
        of = np.searchsorted(self._ends, places, side="right")
        for number in np.unique(of).tolist():
            part = self._parts[number]
            images[of == number] = part[places[of == number] - (self._ends[number] - len(part))]
        return images
