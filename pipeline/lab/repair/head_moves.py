"""How a killed `dvc exp` detached git's HEAD, read from the reflog and DVC's references.

DVC detaches HEAD to save an experiment, to run it and to apply one. For each of these moments a function here gives the move to
undo, or None where the traces do not prove that DVC made it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab.dvc.git import GitRepository, ReflogEntry

MAX_DELAY = 60  # seconds within which DVC does its next step, also on a busy machine
TO_RUN = "refs/exps/stash"  # DVC's list of what to run: filled and emptied by one and the same `dvc exp run`
RUNNING = "refs/exps/exec/EXEC_MERGE"  # the files and parameters of the experiment that runs in the workspace
DETACHED = re.compile(r"checkout: moving from (\S+) to ([0-9a-f]{40,})")
RESTORED = re.compile(r"\w+: Restore HEAD to '(.+)'")
APPLIED = re.compile(r"dvc-exp-apply:([0-9a-f]{40,}):([0-9a-f]{40,}):")  # of the stash that `dvc exp apply` makes


@dataclass(frozen=True)
class HeadMove:
    """Where HEAD was before DVC detached it: a branch, or (`branch` is empty) a commit; and when."""

    branch: str
    commit: str
    time: int


def head_moves(git: GitRepository) -> list[ReflogEntry]:
    """The reflog of HEAD, newest first, without `git reset` and `git stash`, which are in it and move nothing."""
    return [entry for entry in git.reflog() if entry.message != "reset: moving to HEAD"]


def detached_to_save(git: GitRepository, moves: list[ReflogEntry], since: float) -> HeadMove | None:
    """Detached to write down what is to run.

    Args:
        since: when DVC took its lock.
    """
    move = _last_move(moves)
    if not move or not move.branch or not since - 1 <= move.time <= since + MAX_DELAY:
        return None
    # The reflog has whole seconds; in the very second in which DVC began, the user may have moved HEAD.
    is_after = move.time > since or (moves[0] == git.reflog(newest=1)[0] and git.path("logs/HEAD").stat().st_mtime >= since)
    return move if is_after else None


def detached_to_run(git: GitRepository, moves: list[ReflogEntry], running: str) -> HeadMove | None:
    """Detached while an experiment runs.

    Args:
        running: its commit.
    """
    entries = moves[1:] if moves and is_experiment_commit(git, moves[0]) else moves
    move = _last_move(entries)
    begun = run_file(git, running).stat().st_mtime
    if not move or (move.branch and not (_is_restored_to(entries[1:], move.branch) and move.time <= begun + MAX_DELAY)):
        return None
    return move if git.commit("refs/exps/exec/EXEC_HEAD") == move.commit else None


def detached_after_run(git: GitRepository, moves: list[ReflogEntry]) -> HeadMove | None:
    """Still detached after DVC has committed the experiment and removed all its marks but the last."""
    if not moves or not is_experiment_commit(git, moves[0]) or git.branch():
        return None
    move = _last_move(moves[1:])
    return move if move and (not move.branch or _is_restored_to(moves[2:], move.branch)) else None


def detached_to_apply(git: GitRepository, moves: list[ReflogEntry]) -> HeadMove | None:
    """Detached to apply an experiment, after the user's changes were put into refs/exps/apply/stash."""
    if not (move := _last_move(moves)) or not move.branch:
        return None
    stash = APPLIED.search(git("log", "-1", "--format=%B", "refs/exps/apply/stash"))
    if not stash or stash[2] != move.commit:
        return None
    began = int(git("log", "-1", "--format=%ct", "refs/exps/apply/stash"))
    ended = [entry for entry in moves[1:] if entry.message.startswith("scm: Restore HEAD") and entry.time >= began]
    if ended or not began <= move.time <= began + MAX_DELAY or git.commit("refs/exps/exec/EXEC_APPLY") == move.commit:
        return None
    return HeadMove(move.branch, stash[1], move.time)


def is_experiment_commit(git: GitRepository, entry: ReflogEntry) -> bool:
    """Whether a line of the reflog is DVC's commit of an experiment: by its message, or because an experiment points to it."""
    if not entry.message.startswith("commit: "):
        return False
    names = git("for-each-ref", "--format=%(refname)", f"--points-at={entry.commit}", "refs/exps").splitlines()
    return entry.message.startswith("commit: dvc: commit experiment ") or any(
        re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,}/.+", name) for name in names
    )


def run_file(git: GitRepository, commit: str) -> Path:
    """DVC's note of an experiment that runs in the workspace."""
    return git.root / f".dvc/tmp/exps/run/{commit}/{commit}.run"


def _last_move(entries: list[ReflogEntry]) -> HeadMove | None:
    """DVC's move at the end of a reflog (newest first), if HEAD can go back to where it was."""
    if not entries:
        return None
    if found := DETACHED.fullmatch(entries[0].message):
        return HeadMove(found[1], found[2], entries[0].time) if entries[0].commit == found[2] else None
    # HEAD was detached before too; then DVC's move to the same commit is not in the reflog.
    found = RESTORED.fullmatch(entries[0].message)
    return HeadMove("", found[1], entries[0].time) if found and found[1] == entries[0].commit else None


def _is_restored_to(entries: list[ReflogEntry], branch: str) -> bool:
    found = RESTORED.fullmatch(entries[0].message) if entries else None
    return found is not None and found[1] == branch
