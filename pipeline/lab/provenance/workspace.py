"""Files of the working tree, as DVC would hash them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.lab.provenance.hashing import DVCIGNORE, ignore_patterns, is_ignored, md5, md5_of_folder

SMALL = 2**26  # bytes, a tenth of a second: of larger files and folders only the size and the number of files are compared
LARGE = 2**29  # the same where importing torch takes seconds anyway


@runtime_checkable
class FileTree(Protocol):
    """The files of a run: the working tree, or a commit."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def matches(self, path: str, recorded: Mapping[str, Any]) -> bool | None:
        """Whether a file or folder is the one that DVC recorded (md5, size, nfiles); None where that is not known.

        A folder's md5 is DVC's: of the JSON that lists its files, each by its md5.
        """


class Workspace:
    """The working tree.

    Args:
        small: bytes up to which the content of a file or folder is compared, not only its size.
    """

    def __init__(self, root: Path = Path(), small: int = SMALL) -> None:
        self.root, self.small = root, small
        self.ignored = ignore_patterns(self.read(DVCIGNORE))

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (OSError, ValueError):  # a ValueError: a path that no file can have
            return None

    def matches(self, path: str, recorded: Mapping[str, Any]) -> bool | None:
        try:
            return self._matches(self.root / path, recorded)
        except OSError:  # it cannot be read, or was removed meanwhile
            return False

    def _matches(self, place: Path, recorded: Mapping[str, Any]) -> bool:
        is_folder = place.is_dir()
        files = dict(self._files(place)) if is_folder else {"": place}
        size = sum(file.stat().st_size for file in files.values())
        if size != recorded.get("size", size) or (is_folder and len(files) != recorded.get("nfiles", len(files))):
            return False
        if size > self.small:
            return True
        sums = {name: md5(file.read_bytes()) for name, file in files.items()}
        return (md5_of_folder(sums) if is_folder else sums[""]) == recorded.get("md5")

    def _files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """(name, path) of every file of a folder that DVC counts."""
        for top, below, names in os.walk(folder, followlinks=True):
            below[:] = [name for name in below if not is_ignored(name, self.ignored)]
            for name in names:
                if not is_ignored(name, self.ignored):
                    path = Path(top, name)
                    yield path.relative_to(folder).as_posix(), path
