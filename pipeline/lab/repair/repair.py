"""What did a kill leave half done in git's and DVC's own files? Put right, so that the same command goes on.

Rally's files are written whole or not at all. DVC writes its own in place (params.yaml for -S, dvc.lock, its lists of what is
read and written), git's lock outlives a killed git, and a killed `dvc exp run` leaves HEAD off its branch. All of that wants a
person who knows. ./run looks for the traces and calls this. What is undone is only what DVC's traces prove a kill left.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.artifacts.paths import private_folder, program_names
from pipeline.artifacts.writing import write_bytes, write_text
from pipeline.lab.dvc.git import Repository
from pipeline.lab.dvc.processes import processes_in
from pipeline.lab.repair import abandoned, interrupted
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.yaml12 import read_yaml

HELD = 10  # seconds; a git that lives has given the index free by then, or is seen at work


def mend(root: Path) -> list[str]:
    """Put right what was left in the clone at `root`; a line for each thing that was.

    Nothing is touched while a git or DVC is at work there or in another worktree of it, for then nothing was left.
    """
    git = Repository(root)
    if not git.holds_root() or any(_somebody_works_in(tree) for tree in {root.resolve(), *git.worktrees()}):
        return []
    with _without_dvc(root) as is_alone:
        if not is_alone:
            return []
        mended = [*_index_lock(git), *_rwlocks(root)]
        mended += _params(git)  # before the lock is gone that proves who was writing it
        mended += interrupted.put_back(git)
        mended += _dvc_lock(git)
    return [*mended, *abandoned.clear(root)]  # this one asks DVC, which wants its lock


@contextlib.contextmanager
def _without_dvc(root: Path) -> Iterator[bool]:
    """Hold the lock that a DVC holds while it works, also one of another user or container, which psutil cannot see."""
    lock = root / ".dvc/tmp/lock"
    if not lock.exists():
        yield True
        return
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _somebody_works_in(root: Path) -> bool:
    """Whether a git or DVC stands in a folder; not one that works through DVC's queue, in copies of its own."""
    return any(
        program_names(words) & {"git", "dvc"} and not {"queue-worker", "exec-run"} & set(words)
        for words, _ in processes_in(root)
    )


def _index_lock(git: Repository) -> list[str]:
    lock = git.path("index.lock")
    try:
        first = lock.stat()
        time.sleep(max(0.0, min(HELD, first.st_mtime + HELD - time.time())))  # of a git that is nowhere to be seen
        if (first.st_ino, first.st_mtime) != ((now := lock.stat()).st_ino, now.st_mtime):
            return []
        lock.unlink()
    except FileNotFoundError:
        return []
    return ["mended: git's index was locked by a git that is no more"]


def _rwlocks(root: Path) -> list[str]:
    """DVC's lists of what is read and written: a damaged one stops it; so does one that names a process's number anew."""
    said = []
    for name in (".dvc/tmp/rwlock", ".dvc/tmp/exps/rwlock"):
        lock = root / name
        try:
            dead = interrupted.dead_owners(lock)
        except ValueError:
            lock.unlink()  # it named processes that are no more
            said.append("mended: DVC's list of what is read and written was damaged")
            continue
        if dead and name == ".dvc/tmp/rwlock":
            lock.unlink()
            said.append("mended: DVC's list of what is read and written named a process that is no more")
    return said


def _params(git: Repository) -> list[str]:
    """A params.yaml that DVC was writing, as it was before; what was there is kept in .rally/mended.

    DVC holds a lock while it turns knobs. Without that proof a file that ends in the middle of a line is somebody's own.
    """
    path = git.root / "params.yaml"
    lock = git.root / ".dvc/tmp/exps/rwlock"
    if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or _holds_all_knobs(path):
        return []
    if "workspace" not in (interrupted.dead_owners(lock) or ()):
        return []
    before = git.raw("show", f"{interrupted.put_aside(git, lock) or 'HEAD'}:./params.yaml")
    if not before:
        return []  # there is nothing to put in its place, and it cannot be done without
    write_bytes(private_folder("mended") / path.name, content)
    write_text(path, before)
    return ["mended: params.yaml was cut short while DVC wrote it; it is as before (what was there: .rally/mended/params.yaml)"]


def _dvc_lock(git: Repository) -> list[str]:
    """A dvc.lock that was cut short, as it is in the last commit; one that is in none goes, and DVC makes it anew."""
    path = git.root / "dvc.lock"
    if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or _is_a_whole_lock(path):
        return []
    write_bytes(private_folder("mended") / path.name, content)
    if committed := git.raw("show", "HEAD:./dvc.lock"):
        write_text(path, committed)
        return ["mended: dvc.lock was cut short while DVC wrote it; it is as in the last commit"]
    path.unlink()
    return ["mended: dvc.lock was cut short while DVC wrote it; the next `dvc repro` makes it anew"]


def _holds_all_knobs(path: Path) -> bool:
    try:
        load(path)
    except UserError:
        return False
    return True


def _is_a_whole_lock(path: Path) -> bool:
    """Whether a dvc.lock says of each stage what DVC writes last, with checksums of full length."""
    try:
        stages = read_yaml(path)["stages"].values()
        sums = [str(file["md5"]) for stage in stages for file in [*stage.get("deps", []), *stage["outs"]] if "md5" in file]
    except (UserError, KeyError, TypeError, AttributeError):
        return False
    return bool(sums) and all(re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5) for md5 in sums)
