"""A killed `dvc exp` undone in git, where DVC's own traces prove that DVC did it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

from pipeline.lab.dvc.git import NOT_OF_DVC, Entry, Repository
from pipeline.lab.repair.head_moves import (
    MERGE,
    RESTORED,
    SOON,
    STASH,
    HeadMove,
    ended_run,
    head_moves,
    note_of,
    taken_off_to_apply,
    taken_off_to_run,
    taken_off_to_write_down,
)

KEPT = re.compile(r"dvc-exp:[0-9a-f]{40,}:[0-9a-f]{40,}:([^:]*)")  # DVC's name for a commit of its list


APPLY_ADVICE = (
    "what you had changed before a killed `dvc exp apply` lies in a stash of DVC's own:"
    " `git stash -u && git stash apply --index refs/exps/apply/stash` brings it back"
)


def dead_owners(lock: Path) -> set[str] | None:
    """What a lock of DVC's (rwlock) is held for by processes that are no more; None where one of them lives.

    A process that started after the lock was written has only the number of the one that wrote it.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content, written = json.loads(lock.read_text(encoding="utf-8")), lock.stat().st_mtime
        owners = {
            (name, int(owner["pid"]))
            for held in content.values()
            for name, infos in held.items()
            for owner in (infos if isinstance(infos, list) else [infos])
        }
    except FileNotFoundError:
        return set()
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{lock}: is no lock of DVC's") from error
    return None if any(is_alive(pid, written) for _, pid in owners) else {name for name, _ in owners}


def is_alive(pid: int, since: float) -> bool:
    """Whether a process with this number lives and had begun at a time (with a second for the clocks' coarseness)."""
    try:
        began: float = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return began <= since + 1


def put_back(git: Repository) -> list[str]:
    """Do what DVC would have done next; a line for each thing. Nobody else may be at work in the repository."""
    rwlock = git.root / ".dvc/tmp/exps/rwlock"
    held = dead_owners(rwlock)
    if held is None:
        return []
    written = rwlock.stat().st_mtime if held else 0.0  # when it was taken
    waiting = git.commit(STASH)
    running = _running_here(git)
    moves = head_moves(git)
    wiped = running if "refs/exps/exec" in held and _files_are_of_dvc(git, moves, running) else ""
    said = []
    if not (is_busy := git.something_is_under_way()):
        proofs: list[Callable[[], HeadMove | None]] = [
            lambda: taken_off_to_write_down(git, moves, written) if "workspace" in held else None,
            lambda: taken_off_to_run(git, moves, running) if running else None,
            lambda: ended_run(git, moves),
        ]
        if move := next((found for proof in proofs if (found := proof())), None):
            said += _head_back(git, move)
        elif move := taken_off_to_apply(git, moves):
            said += [*_head_back(git, move), APPLY_ADVICE]
    if held or running:
        git("reset", "--quiet", "--", ".dvc/tmp/repro.dat")  # DVC stages it for the commit of the experiment
    said += _out_of_the_stash(git)
    if "workspace" in held and (aside := put_aside(git, rwlock)):
        said += _changes_back(git, aside, is_busy)
    if wiped:
        said += _files_back(git, wiped, is_busy)
    if waiting:
        names = ", ".join(KEPT.findall("\n".join(entry.message for entry in git.reflog(STASH, newest=99)))) or "without a name"
        git("update-ref", "-d", STASH)
        said.append(f"mended: a killed experiment ({names}) would have run after the next one; it is off DVC's list")
    if running:
        for name in ("EXEC_BASELINE", "EXEC_MERGE", "EXEC_BRANCH"):
            git("update-ref", "--no-deref", "-d", f"refs/exps/exec/{name}")
    shutil.rmtree(git.root / ".dvc/tmp/exps/run/workspace", ignore_errors=True)
    if held:
        rwlock.unlink()
    return said


def _files_are_of_dvc(git: Repository, moves: list[Entry], running: str) -> bool:
    """Whether DVC has put the files of the commit in the place of the user's, to run an experiment.

    Where HEAD was not taken off its branch yet, or was put back on it, it has not. Where HEAD was on no branch before, its move
    leaves no trace; then the files tell: they are those of the commit, and the experiment has changes of the user's.
    """
    if not moves or not RESTORED.fullmatch(moves[0].message):
        return True
    changes = ("diff", "--quiet", "--no-ext-diff", "HEAD", running, "--", *NOT_OF_DVC, ":(exclude,top,glob)**/params.yaml")
    return bool(running) and not git.branch() and _is_untouched_since(git, running) and not git.succeeds(*changes)


def _running_here(git: Repository) -> str:
    """The commit of the experiment that has begun to run in this worktree and did not end."""
    commit = git.commit(MERGE)
    return commit if commit and note_of(git, commit).exists() else ""


def _head_back(git: Repository, move: HeadMove) -> list[str]:
    branch = f"refs/heads/{move.branch}"
    if not move.branch:
        if git.commit("HEAD") == move.commit:
            return []
        git("update-ref", "--no-deref", "-m", "rally mend", "HEAD", move.commit)
        where = f"{move.commit[:7]}, on no branch,"
    elif git.commit(branch) == move.commit and branch not in git.worktrees().values():
        git("symbolic-ref", "-m", "rally mend", "HEAD", branch)
        where = move.branch
    else:
        return [
            f"a killed experiment left HEAD off {move.branch}, which has moved on since, or is checked out in another folder:"
            f" HEAD stays where it is; `git switch {move.branch}` puts it back"
        ]
    _unstage(git)
    return [
        f"mended: HEAD is on {where} again; a killed experiment had taken it off (its knobs may still stand in params.yaml)"
    ]


def _unstage(git: Repository) -> None:
    """DVC leaves what it commits staged. Not where a file was staged with another content than it has now, by hand."""
    staged, changed = (set(git("diff", *words, "--name-only").splitlines()) for words in (["--cached"], []))
    if not {name for name in staged & changed if not name.endswith(".dvc/tmp/repro.dat")}:
        git("reset", "--quiet")


def _out_of_the_stash(git: Repository) -> list[str]:
    """For a moment DVC keeps an experiment in git's stash, from where `git stash pop` would turn its knobs."""
    newest = git.reflog("refs/stash", newest=1)
    if newest and KEPT.search(newest[0].message):
        git("stash", "drop", "--quiet")
        return ["mended: git's stash held what a killed experiment was to run with; it is out of it"]
    return []


def put_aside(git: Repository, lock: Path) -> str:
    """The entry of git's stash, as stash@{0}, into which a killed DVC had put what was changed once it had a lock.

    DVC makes it by libgit2, which ends the message with an end of line; git itself does not.
    """
    since = lock.stat().st_mtime
    for number, entry in enumerate(git.reflog("refs/stash", newest=99)):
        is_dvc = entry.message.startswith("WIP on ") and git.raw("cat-file", "commit", entry.commit).endswith("\n")
        if is_dvc and int(since) <= entry.time <= since + SOON:
            return f"stash@{{{number}}}"
    return ""


def _is_untouched_since(git: Repository, kept: str) -> bool:
    """Whether HEAD and the files are those that a commit of the stash's kind was made from, so that it can be put back."""
    return git.commit("HEAD") == git.commit(f"{kept}^") and git.has_files_of("HEAD")


def _changes_back(git: Repository, aside: str, is_busy: bool) -> list[str]:
    if not is_busy and _is_untouched_since(git, aside) and git.succeeds("stash", "pop", "--index", "--quiet", aside):
        return ["mended: what you had changed is back; a killed experiment had put it into git's stash"]
    if git.has_files_of(aside) and git.succeeds("diff", "--cached", "--quiet", f"{aside}^2", "--"):
        git("stash", "drop", "--quiet", aside)  # DVC had brought it back, and was killed before it did this
        return []
    after = f"stash@{{{int(aside[7:-1]) + 1}}}"
    return [
        f"what you had changed also lies in git's stash, where a killed experiment had put it: `git diff {aside}` says"
        f" whether something is missing here; `git stash && git stash pop --index {after}` brings exactly that back"
    ]


def _files_back(git: Repository, running: str, is_busy: bool) -> list[str]:
    """DVC takes the files as they are committed, then those of the experiment; between the two only it has what was changed."""
    if git.has_files_of(running):
        return []
    if is_busy or not _is_untouched_since(git, running):
        git("stash", "store", "--message", "what a killed experiment was to run with", running)
        return ["what a killed experiment was to run with, and what you had changed, lies in git's stash: `git stash show -p`"]
    git("restore", f"--source={running}", "--worktree", "--", *NOT_OF_DVC)
    return ["mended: what you had changed is back, with the knobs of a killed experiment"]
