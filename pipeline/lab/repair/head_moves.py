"""Moves of git's HEAD that DVC made for an experiment, read from the reflog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab.dvc.git import Entry, Repository

SOON = 60  # seconds within which DVC does the next thing, also on a busy machine


STASH = "refs/exps/stash"  # the list of what is to run: filled and emptied by one and the same `dvc exp run`


MERGE = "refs/exps/exec/EXEC_MERGE"  # the files and knobs of the experiment that runs in the workspace


DETACHED = re.compile(r"checkout: moving from (\S+) to ([0-9a-f]{40,})")


RESTORED = re.compile(r"\w+: Restore HEAD to '(.+)'")


APPLIED = re.compile(r"dvc-exp-apply:([0-9a-f]{40,}):([0-9a-f]{40,}):")  # and for what `dvc exp apply` has put aside


@dataclass(frozen=True)
class HeadMove:
    """Where HEAD was before DVC took it off: a branch, or (`branch` is empty) a commit; and when."""

    branch: str
    commit: str
    time: int


def _move(entries: list[Entry]) -> HeadMove | None:
    """The move of DVC's that a reflog (the newest first) ends with, if HEAD can go back to where it was."""
    if not entries:
        return None
    if found := DETACHED.fullmatch(entries[0].message):
        return HeadMove(found[1], found[2], entries[0].time) if entries[0].commit == found[2] else None
    # It was on no branch before either; then DVC's move to the same commit is not in the reflog.
    found = RESTORED.fullmatch(entries[0].message)
    return HeadMove("", found[1], entries[0].time) if found and found[1] == entries[0].commit else None


def head_moves(git: Repository) -> list[Entry]:
    """The reflog of HEAD without `git reset` and `git stash`, which are in it and move nothing."""
    return [entry for entry in git.reflog() if entry.message != "reset: moving to HEAD"]


def taken_off_to_write_down(git: Repository, moves: list[Entry], since: float) -> HeadMove | None:
    move = _move(moves)
    if not move or not move.branch or not since - 1 <= move.time <= since + SOON:
        return None
    # The reflog knows whole seconds; in the very second in which DVC began it may have been somebody else.
    is_after = move.time > since or (moves[0] == git.reflog(newest=1)[0] and git.path("logs/HEAD").stat().st_mtime >= since)
    return move if is_after else None


def taken_off_to_run(git: Repository, moves: list[Entry], running: str) -> HeadMove | None:
    entries = moves[1:] if moves and is_of_dvc(git, moves[0]) else moves
    move = _move(entries)
    begun = note_of(git, running).stat().st_mtime
    if not move or (move.branch and not (_is_restored_to(entries[1:], move.branch) and move.time <= begun + SOON)):
        return None
    return move if git.commit("refs/exps/exec/EXEC_HEAD") == move.commit else None


def ended_run(git: Repository, moves: list[Entry]) -> HeadMove | None:
    """DVC has committed the experiment and taken its marks away, all but the last."""
    if not moves or not is_of_dvc(git, moves[0]) or git.branch():
        return None
    move = _move(moves[1:])
    return move if move and (not move.branch or _is_restored_to(moves[2:], move.branch)) else None


def taken_off_to_apply(git: Repository, moves: list[Entry]) -> HeadMove | None:
    """To bring an experiment into the workspace, what was changed first put aside into refs/exps/apply/stash."""
    if not (move := _move(moves)) or not move.branch:
        return None
    aside = APPLIED.search(git("log", "-1", "--format=%B", "refs/exps/apply/stash"))
    if not aside or aside[2] != move.commit:
        return None
    began = int(git("log", "-1", "--format=%ct", "refs/exps/apply/stash"))
    ended = [entry for entry in moves[1:] if entry.message.startswith("scm: Restore HEAD") and entry.time >= began]
    if ended or not began <= move.time <= began + SOON or git.commit("refs/exps/exec/EXEC_APPLY") == move.commit:
        return None
    return HeadMove(move.branch, aside[1], move.time)


def _is_restored_to(entries: list[Entry], branch: str) -> bool:
    found = RESTORED.fullmatch(entries[0].message) if entries else None
    return found is not None and found[1] == branch


def is_of_dvc(git: Repository, entry: Entry) -> bool:
    """Whether a line of the reflog is DVC's commit of an experiment: by its words, or as what an experiment points at."""
    if not entry.message.startswith("commit: "):
        return False
    named = git("for-each-ref", "--format=%(refname)", f"--points-at={entry.commit}", "refs/exps").splitlines()
    return entry.message.startswith("commit: dvc: commit experiment ") or any(
        re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,}/.+", name) for name in named
    )


def note_of(git: Repository, commit: str) -> Path:
    return git.root / f".dvc/tmp/exps/run/{commit}/{commit}.run"
