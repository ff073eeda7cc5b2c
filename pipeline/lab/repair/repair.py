"""`rally repair`: undoes what a killed git or DVC left half done, so that the same command can run again.

Rally's files are written whole or not at all. But DVC writes params.yaml (for -S), dvc.lock and its rwlock files in place,
git's index.lock outlives a killed git, and a killed `dvc exp run` leaves HEAD detached. ./run looks for such traces and calls
this. Only what these traces prove to come from a kill is undone.
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
from pipeline.lab.dvc.git import GitRepository
from pipeline.lab.dvc.processes import processes_in
from pipeline.lab.repair.abandoned import clear_abandoned
from pipeline.lab.repair.interrupted import dead_owners, dvc_stash_entry, undo_interrupted
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.yaml12 import read_yaml

NEEDED = ("params.yaml", "dvc.yaml")  # without which no command finds the project
EXPERIMENT_LOCK = ".dvc/tmp/exps/rwlock"
LOCK_WAIT = 10  # seconds; by then a running git has released the index, or is found among the processes


def root_in_commit(start: Path) -> Path | None:
    """The nearest folder, from `start` upward, that git's last commit has as a project; its files may be missing here."""
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir() and all(GitRepository(folder).raw("show", f"HEAD:./{name}") for name in NEEDED):
            return folder
    return None


def repair(root: Path) -> list[str]:
    """Repair the clone at `root`; a line for each thing that was repaired.

    Nothing is touched while a git or DVC is at work there or in another worktree of it: then the traces are its own.
    """
    git = GitRepository(root)
    if not git.holds_root() or any(_is_in_use(tree) for tree in {root.resolve(), *git.worktrees()}):
        return []
    with _without_dvc(root) as is_alone:
        if not is_alone:
            return []
        lines = [*_index_lock(git), *_rwlocks(root)]
        lines += [*_removed(git), *_params(git)]  # while the lock is there that proves that DVC was writing them
        lines += undo_interrupted(git)
        lines += _dvc_lock(git)
    return [*lines, *clear_abandoned(root)]  # which runs DVC, and DVC needs its lock


@contextlib.contextmanager
def _without_dvc(root: Path) -> Iterator[bool]:
    """Hold DVC's lock, also against a DVC of another user or container, which psutil cannot see; False where it is taken."""
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


def _is_in_use(root: Path) -> bool:
    """Whether a git or DVC runs in a folder; workers of DVC's queue do not count, which run in their own copies."""
    return any(
        program_names(words) & {"git", "dvc"} and not {"queue-worker", "exec-run"} & set(words)
        for words, _ in processes_in(root)
    )


def _index_lock(git: GitRepository) -> list[str]:
    lock = git.path("index.lock")
    try:
        first = lock.stat()
        time.sleep(max(0.0, min(LOCK_WAIT, first.st_mtime + LOCK_WAIT - time.time())))  # a git of another user
        if (first.st_ino, first.st_mtime) != ((now := lock.stat()).st_ino, now.st_mtime):
            return []
        lock.unlink()
    except FileNotFoundError:
        return []
    return ["repaired: git's index was locked by a git that has ended"]


def _rwlocks(root: Path) -> list[str]:
    """DVC's lists of the files in use: one that is damaged stops DVC, and so does one whose process has ended."""
    lines = []
    for name in (".dvc/tmp/rwlock", EXPERIMENT_LOCK):
        lock = root / name
        try:
            dead = dead_owners(lock)
        except ValueError:
            lock.unlink()  # no DVC runs here, so the processes that it named have ended
            lines.append(f"repaired: DVC's list of the files in use ({name}) was damaged")
            continue
        if dead and name == ".dvc/tmp/rwlock":
            lock.unlink()
            lines.append(f"repaired: DVC's list of the files in use ({name}) named a process that has ended")
    return lines


def _removed(git: GitRepository) -> list[str]:
    """Restore params.yaml and dvc.yaml where they are missing: git removes a file before it writes another version of it.

    Without the lock of a killed experiment nothing is restored: the user may have removed them.
    """
    lines = []
    for name in NEEDED:
        if not (git.root / name).exists() and (before := _before_experiment(git, name)):
            write_text(git.root / name, before)
            lines.append(f"repaired: {name} was missing, removed by a git that was killed before it wrote it again; restored")
    return lines


def _before_experiment(git: GitRepository, name: str) -> str:
    """A file as it was before the experiment that was killed; "" without the lock that proves one, or where there was none."""
    lock = git.root / EXPERIMENT_LOCK
    if "workspace" not in (dead_owners(lock) or ()):
        return ""
    return git.raw("show", f"{dvc_stash_entry(git, lock) or 'HEAD'}:./{name}")


def _params(git: GitRepository) -> list[str]:
    """Restore a params.yaml that DVC was writing; the half-written one is kept in .rally/repaired.

    DVC holds a lock while it overrides knobs. Without that proof, a file that ends in the middle of a line is the user's own.
    """
    path = git.root / "params.yaml"
    if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or _holds_all_knobs(path):
        return []
    if not (before := _before_experiment(git, path.name)):
        return []
    write_bytes(private_folder("repaired") / path.name, content)
    write_text(path, before)
    return ["repaired: params.yaml was cut short while DVC wrote it; restored (the cut version: .rally/repaired/params.yaml)"]


def _dvc_lock(git: GitRepository) -> list[str]:
    """Restore a dvc.lock that was cut short from the last commit, or remove it where there is none: DVC makes it again."""
    path = git.root / "dvc.lock"
    if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or _is_complete_lock(path):
        return []
    write_bytes(private_folder("repaired") / path.name, content)
    if committed := git.raw("show", "HEAD:./dvc.lock"):
        write_text(path, committed)
        return ["repaired: dvc.lock was cut short while DVC wrote it; restored from the last commit"]
    path.unlink()
    return ["repaired: dvc.lock was cut short while DVC wrote it; removed, and the next `dvc repro` makes it again"]


def _holds_all_knobs(path: Path) -> bool:
    try:
        load(path)
    except UserError:
        return False
    return True


def _is_complete_lock(path: Path) -> bool:
    """Whether a dvc.lock has of each stage what DVC writes last, with checksums of full length."""
    try:
        stages = read_yaml(path)["stages"].values()
        sums = [str(file["md5"]) for stage in stages for file in [*stage.get("deps", []), *stage["outs"]] if "md5" in file]
    except (UserError, KeyError, TypeError, AttributeError):
        return False
    return bool(sums) and all(re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5) for md5 in sums)
