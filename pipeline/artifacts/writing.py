"""Atomic writes, and errors of the disk that name the file."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """A block in which an error of the operating system names this file.

    When a write fails, as on a full disk, the system does not say which file it was, and numpy does not say why.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


class NewFile:
    """A file open for writing whose errors name it.

    It is not one of Python's file objects, so that numpy writes to it through `write`, and not directly to its descriptor.

    Args:
        path: is overwritten.
        shown: its name in errors, if not `path`.
    """

    def __init__(self, path: Path, shown: Path | None = None) -> None:
        self.shown = shown or path
        with errors_naming(self.shown):
            self._file = path.open("wb")

    def write(self, content: bytes | memoryview) -> int:
        with errors_naming(self.shown):
            return self._file.write(content)

    def seek(self, place: int) -> None:
        with errors_naming(self.shown):
            self._file.seek(place)

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        with errors_naming(self.shown):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with errors_naming(self.shown):
            self._file.close()

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():  # the first error is the one to report
            self.close()


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[NewFile]:
    """An open file that becomes `path` only if the block ends without an error: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with NewFile(unfinished, path) as file:
            yield file
            file.sync()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove unfinished copies of this file by killed processes."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"):
        try:
            os.kill(int(left.name.split(".")[-2]), 0)  # sends no signal, but fails if the process is gone
        except (ProcessLookupError, ValueError):
            left.unlink(missing_ok=True)
        except PermissionError:
            pass


def sync(path: Path) -> None:
    """Wait until all of a file is on the disk."""
    with errors_naming(path), path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Sorted keys, finite numbers only, one trailing newline: equal content gives equal bytes.

    Raises:
        ValueError: a number is not finite, which DVC's tables cannot contain; leave it out, and set a `diverged` flag.
    """
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # A list of plain values on one line: a map of attention is thousands of numbers, and git keeps it.
    text = re.sub(r"\[\n *([^\[\]{}]*)\n *\]", lambda found: "[" + re.sub(r"\n *", " ", found[1]) + "]", text)
    write_text(path, text + "\n")


def rounded(number: float, digits: int = 6) -> float:
    """A number with so many significant digits, for people, and for files that do not depend on the last bit."""
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, digits - 1 - math.floor(math.log10(abs(number))))
