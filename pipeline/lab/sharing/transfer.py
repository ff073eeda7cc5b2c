"""Files to a remote, whole: what it holds of each, by size or content, and sending what is wrong or missing. No torch.

DVC's own push looks at names alone: it counts a file as pushed that a server holds half of, and never sends again a file of a
folder whose list is there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from secrets import token_hex
from typing import TYPE_CHECKING, TypeVar

from fsspec.callbacks import Callback

from pipeline.lab.sharing.files import File
from pipeline.progress import Advance, Follow

if TYPE_CHECKING:
    from dvc_objects.fs.base import FileSystem

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# File systems that write to a file's final name as the bytes come in, so that an interruption leaves half of it there (WebDAV),
# or leave behind what did not fit on a full disk. All others show a file only when it is whole.
WRITE_IN_PLACE = ("webdav", "webdavs", "local")


class StoppedError(Exception):
    """Another file failed, or the user wants an end."""


class _Count(Callback):  # type: ignore[misc]
    """Hands on the bytes that were transferred; it ends a transfer that is no longer wanted."""

    def __init__(self, advance: Advance, stop: threading.Event) -> None:
        super().__init__()
        self._advance, self._stop, self._told = advance, stop, 0

    def call(self, hook_name: str | None = None, **kwargs: object) -> None:
        if self._stop.is_set():
            raise StoppedError
        self._advance(self.value - self._told)
        self._told = self.value


def each(work: Callable[[Item, threading.Event], Answer], items: Iterable[Item], jobs: int) -> dict[Item, Answer]:
    """The answer for each item, from several threads; the first error ends all, also work that has begun.

    Args:
        work: of an item; its event is set when all is to end.
    """
    stop = threading.Event()
    answers: dict[Item, Answer] = {}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(work, item, stop): item for item in items}
        try:
            for future in as_completed(futures):
                answers[futures[future]] = future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return answers


def sizes_there(files: Collection[File], jobs: int, done: Advance) -> dict[File, int | None]:
    """The size that a remote gives for each file, in bytes; None where it does not have it.

    Args:
        done: called with the bytes of each file, as it should be.
    """
    for fs in {file.place.fs.fs for file in files}:
        fs.invalidate_cache()  # S3's client would answer from a listing that it remembers

    def size(file: File, stop: threading.Event) -> int | None:
        done(file.size() or 0)
        try:
            info = file.place.fs.info(file.path)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info.get("type") != "directory" and info.get("size") is not None else None

    return each(size, files, jobs)


def wrong_there(files: Collection[File], jobs: int, by_content: bool, follow: Follow) -> set[File]:
    """The files that a remote does not have as they should be.

    Args:
        by_content: every file is downloaded and its hash computed, without being kept. Files that this clone does not hold are
            in any case, since only their hash is known.
    """
    with follow(f"asking for {len(files)} files", sum(file.size() or 0 for file in files)) as advance:
        there = sizes_there(files, jobs, advance)
    wrong = {file for file, size in there.items() if size is None or file.size() not in (None, size)}
    doubtful = [file for file in files if file not in wrong and (by_content or file.size() is None)]
    if doubtful:
        with follow("comparing contents", sum(there[file] or 0 for file in doubtful)) as advance:
            same = each(lambda file, stop: _has_content(file, _Count(advance, stop)), doubtful, jobs)
        wrong |= {file for file in doubtful if not same[file]}
    return wrong


def _has_content(file: File, callback: _Count) -> bool:
    from dvc_data.hashfile.hash import file_md5

    if file.md5:
        return bool(file_md5(file.path, file.place.fs, callback, file.hash_name) == file.md5)
    with file.place.fs.open(file.path, "rb") as there:
        return bool(there.read() == file.local.read_bytes())


def is_whole_here(file: File) -> bool:
    """Whether the cache of this clone holds what the file's name says."""
    from dvc_data.hashfile.hash import file_md5

    return not file.md5 or bool(file_md5(str(file.local), name=file.hash_name) == file.md5)


def send(files: Collection[File], jobs: int, follow: Follow) -> None:
    """Send files in the place of what is there, lists of folders last: who sees a list may take it that its files are there.

    Raises:
        Exception: what the file system of the remote raises.
    """
    for lists in (False, True):
        some = [file for file in files if file.lists_others == lists]
        with follow(
            f"sending {len(some)} {'lists of folders' if lists else 'files'}", sum(f.size() or 0 for f in some)
        ) as advance:
            each(lambda file, stop: _send_one(file, _Count(advance, stop)), some, jobs)


def remove(files: Collection[File]) -> None:
    """Take files off a remote, where it lets one: DVC would count a short one as pushed."""
    for file in files:
        with contextlib.suppress(Exception):  # it is away, or does not have the file
            file.place.fs.remove(file.path)


def _send_one(file: File, callback: _Count) -> None:
    from dvc_objects.fs.utils import copyfile

    fs: FileSystem = file.place.fs
    file.place.makedirs(fs.parent(file.path))  # type: ignore[no-untyped-call]
    with contextlib.suppress(FileNotFoundError):
        fs.remove(file.path)  # a part of it, or something else
    if fs.protocol not in WRITE_IN_PLACE:
        fs.put_file(str(file.local), file.path, callback=callback)
        return
    part = fs.join(fs.parent(file.path), f".{token_hex(8)}.tmp")  # `dvc gc -c` removes what stays
    try:
        if fs.protocol == "local":
            copyfile(str(file.local), part, callback=callback)
        else:
            fs.put_file(str(file.local), part, callback=callback)
        fs.move(part, file.path)
        file.place.protect(file.path)  # type: ignore[no-untyped-call]
    except BaseException:
        with contextlib.suppress(Exception):
            fs.remove(part)
        raise
