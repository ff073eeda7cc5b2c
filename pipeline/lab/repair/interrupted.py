"""A killed `dvc exp` undone in git: HEAD, the stash and the files, where DVC's own traces prove that DVC changed them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.artifacts.paths import private_folder
from pipeline.artifacts.writing import write_bytes
from pipeline.lab.dvc.git import EXCEPT_DVC_TMP, GitRepository, ReflogEntry
from pipeline.lab.dvc.processes import is_running
from pipeline.lab.repair.head_moves import (
    MAX_DELAY,
    RESTORED,
    RUNNING,
    TO_RUN,
    HeadMove,
    detached_after_run,
    detached_to_apply,
    detached_to_run,
    detached_to_save,
    head_moves,
    run_file,
)

STASH_MESSAGE = re.compile(r"dvc-exp:[0-9a-f]{40,}:[0-9a-f]{40,}:([^:]*)")  # of a commit in DVC's list of what to run
APPLY_ADVICE = (
    "your changes from before a killed `dvc exp apply` are in one of DVC's stashes:"
    " `git stash -u && git stash apply --index refs/exps/apply/stash` restores them"
)


def dead_owners(lock: Path) -> set[str] | None:
    """What one of DVC's locks (rwlock) is held for by processes that have ended; None where one of them still runs.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content, written_at = json.loads(lock.read_text(encoding="utf-8")), lock.stat().st_mtime
        owners = {
            (name, int(owner["pid"]))
            for held in content.values()
            for name, infos in held.items()
            for owner in (infos if isinstance(infos, list) else [infos])
        }
    except FileNotFoundError:
        return set()
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{lock}: is not one of DVC's locks") from error
    return None if any(is_running(pid, written_at) for _, pid in owners) else {name for name, _ in owners}


def undo_interrupted(git: GitRepository) -> list[str]:
    """Do what DVC would have done next; a line for each thing. No other process may be at work in the repository."""
    rwlock = git.root / ".dvc/tmp/exps/rwlock"
    held = dead_owners(rwlock)
    if held is None:
        return []
    taken_at = rwlock.stat().st_mtime if held else 0.0
    waiting = git.commit(TO_RUN)
    running = _running_here(git)
    moves, is_busy = head_moves(git), git.is_operation_in_progress()
    entry = dvc_stash_entry(git, rwlock) if held else ""
    lines = [] if is_busy or not held else _complete_files(git, git.commit(entry) if entry else running)
    replaced_by = running if "refs/exps/exec" in held and _has_replaced_files(git, moves, running) else ""
    if not is_busy:
        proofs: list[Callable[[], HeadMove | None]] = [
            lambda: detached_to_save(git, moves, taken_at) if "workspace" in held else None,
            lambda: detached_to_run(git, moves, running) if running else None,
            lambda: detached_after_run(git, moves),
        ]
        if move := next((found for proof in proofs if (found := proof())), None):
            lines += _restore_head(git, move)
        elif move := detached_to_apply(git, moves):
            lines += [*_restore_head(git, move), APPLY_ADVICE]
    if held or running:
        git("reset", "--quiet", "--", ".dvc/tmp/repro.dat")  # DVC stages it for the commit of the experiment
    lines += _drop_experiment_stash(git)
    if "workspace" in held and (stash := dvc_stash_entry(git, rwlock)):
        lines += _restore_stash(git, stash, is_busy)
    if replaced_by:
        lines += _restore_files(git, replaced_by, is_busy)
    if waiting:
        names = (
            ", ".join(STASH_MESSAGE.findall("\n".join(entry.message for entry in git.reflog(TO_RUN, newest=99))))
            or "without a name"
        )
        git("update-ref", "-d", TO_RUN)
        lines.append(f"repaired: a killed experiment ({names}) would have run after the next one; DVC's list is empty now")
    if running:
        for name in ("EXEC_BASELINE", "EXEC_MERGE", "EXEC_BRANCH"):
            git("update-ref", "--no-deref", "-d", f"refs/exps/exec/{name}")
    shutil.rmtree(git.root / ".dvc/tmp/exps/run/workspace", ignore_errors=True)
    if held:
        rwlock.unlink()
    return lines


def _has_replaced_files(git: GitRepository, moves: list[ReflogEntry], running: str) -> bool:
    """Whether DVC has replaced the user's files by those of the commit, to run an experiment.

    It has not where HEAD was not yet detached, or is back on its branch. Where HEAD was detached before, DVC's move leaves no
    trace; then it has if the files are those of the commit and the experiment contains the user's changes.
    """
    if not moves or not RESTORED.fullmatch(moves[0].message):
        return True
    changes = ("diff", "--quiet", "--no-ext-diff", "HEAD", running, "--", *EXCEPT_DVC_TMP, ":(exclude,top,glob)**/params.yaml")
    return bool(running) and not git.branch() and _is_untouched_since(git, running) and not git.succeeds(*changes)


def _running_here(git: GitRepository) -> str:
    """The commit of the experiment that began to run in this worktree and did not end."""
    commit = git.commit(RUNNING)
    return commit if commit and run_file(git, commit).exists() else ""


def _restore_head(git: GitRepository, move: HeadMove) -> list[str]:
    branch = f"refs/heads/{move.branch}"
    if not move.branch:
        if git.commit("HEAD") == move.commit:
            return []
        git("update-ref", "--no-deref", "-m", "rally repair", "HEAD", move.commit)
        where = f"{move.commit[:7]} (detached)"
    elif git.commit(branch) == move.commit and branch not in git.worktrees().values():
        git("symbolic-ref", "-m", "rally repair", "HEAD", branch)
        where = move.branch
    else:
        return [
            f"a killed experiment detached HEAD from {move.branch}, which has moved since or is checked out in another folder:"
            f" HEAD stays where it is; `git switch {move.branch}` puts it back"
        ]
    _unstage(git)
    return [
        f"repaired: HEAD is on {where} again; a killed experiment had detached it (params.yaml may still have its overrides)"
    ]


def _unstage(git: GitRepository) -> None:
    """Unstage what DVC leaves staged, unless a file is staged with other content than it has now: that was done by hand."""
    staged, changed = (set(git("diff", *words, "--name-only").splitlines()) for words in (["--cached"], []))
    if not {name for name in staged & changed if not name.endswith(".dvc/tmp/repro.dat")}:
        git("reset", "--quiet")


def _drop_experiment_stash(git: GitRepository) -> list[str]:
    """Drop an experiment that DVC keeps in git's stash for a moment; `git stash pop` would apply its overrides."""
    newest = git.reflog("refs/stash", newest=1)
    if newest and STASH_MESSAGE.search(newest[0].message):
        git("stash", "drop", "--quiet")
        return ["repaired: dropped the files of a killed experiment from git's stash"]
    return []


def dvc_stash_entry(git: GitRepository, lock: Path) -> str:
    """The entry of git's stash (`stash@{0}`) with the user's changes, which a killed DVC made after it had taken a lock.

    DVC makes it by libgit2, which ends the message with an end of line; git itself does not.
    """
    since = lock.stat().st_mtime
    for number, entry in enumerate(git.reflog("refs/stash", newest=99)):
        is_dvc = entry.message.startswith("WIP on ") and git.raw("cat-file", "commit", entry.commit).endswith("\n")
        if is_dvc and int(since) <= entry.time <= since + MAX_DELAY:
            return f"stash@{{{number}}}"
    return ""


def _is_untouched_since(git: GitRepository, stash: str) -> bool:
    """Whether HEAD and the files are those that a stash was made from, so that it can be applied."""
    return git.commit("HEAD") == git.commit(f"{stash}^") and git.has_files_of("HEAD")


def _complete_files(git: GitRepository, kept: str) -> list[str]:
    """Write again what DVC's git was writing when it was killed: it empties or removes a file before it writes another version.

    Only a file that HEAD and `kept` have: one that is missing, or the beginning of one of the two. A part is kept in .rally.

    Args:
        kept: the commit that has the user's changes; "" where there is none, then nothing is proven.
    """
    lines = []
    changed = git.raw("diff", "--name-only", "--relative", "-z", "HEAD", "--", *EXCEPT_DVC_TMP) if kept else ""
    for name in filter(None, changed.split("\0")):
        path, versions = git.root / name, [git.run("show", f"{commit}:./{name}") for commit in ("HEAD", kept)]
        if path.is_symlink() or path.is_dir() or any(version.returncode for version in versions):
            continue
        part = path.read_bytes() if path.exists() else b""
        whole = [version.stdout.encode(errors="surrogateescape") for version in versions]
        source = next((commit for commit, text in zip(("HEAD", kept), whole, strict=True) if text.startswith(part)), "")
        if not source or part in whole:
            continue
        if part:
            write_bytes(private_folder("repaired") / name, part)
        git("restore", f"--source={source}", "--worktree", "--", f":(literal){name}")
        lines.append(f"repaired: {name} was cut short or missing, since git was killed while it wrote it; written again")
    return lines


def _restore_stash(git: GitRepository, stash: str, is_busy: bool) -> list[str]:
    if not is_busy and _is_untouched_since(git, stash) and git.succeeds("stash", "pop", "--index", "--quiet", stash):
        return ["repaired: your changes are back; a killed experiment had put them into git's stash"]
    if git.has_files_of(stash) and git.succeeds("diff", "--cached", "--quiet", f"{stash}^2", "--"):
        git("stash", "drop", "--quiet", stash)  # DVC had applied it, and was killed before it dropped it
        return []
    after = f"stash@{{{int(stash[7:-1]) + 1}}}"
    return [
        f"your changes are also in git's stash, where a killed experiment had put them: `git diff {stash}` shows whether"
        f" something is missing here; `git stash && git stash pop --index {after}` restores exactly those"
    ]


def _restore_files(git: GitRepository, running: str, is_busy: bool) -> list[str]:
    """DVC checks out the committed files, then those of the experiment; in between, only the latter has the user's changes."""
    if git.has_files_of(running):
        return []
    if is_busy or not _is_untouched_since(git, running):
        git("stash", "store", "--message", "files of a killed experiment", running)
        return ["your changes and the overrides of a killed experiment are in git's stash: `git stash show -p`"]
    git("restore", f"--source={running}", "--worktree", "--", *EXCEPT_DVC_TMP)
    return ["repaired: your changes are back, together with the overrides of a killed experiment"]
