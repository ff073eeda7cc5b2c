"""What did a kill leave half done in git's and DVC's own files? Put right, so that the same command goes on.

Rally's files are written whole or not at all. DVC writes its own in place (params.yaml for -S, dvc.lock, its list of
what is read and written), git's lock outlives a killed git, and a killed `dvc exp run` leaves HEAD off its branch. All of
that wants a person who knows. ./run looks for the traces and calls this.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import psutil

from pipeline.artifacts import private, programs, write_bytes, write_text
from pipeline.params import Refusal, load

EXPERIMENT = "refs/exps/exec/EXEC_HEAD"  # there while an experiment runs in the workspace, and after it was killed
FIRST_MOMENTS = 5  # seconds in which DVC has put aside what was changed, and taken HEAD off its branch


def mend(root: Path) -> list[str]:
    """Put right what was left in the clone at `root`; a line for each thing that was.

    Nothing is touched while a git or DVC is at work there, for then nothing was left.
    """
    if not (root / ".git").exists() or _somebody_works_in(root):
        return []
    return [*_index_lock(root), *_rwlock(root), *_head(root), *_cut_short(root)]


def _somebody_works_in(root: Path) -> bool:
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, place = process.info["cmdline"] or [], process.info["cwd"]  # None: somebody else's
        if programs(words) & {"git", "dvc"} and place and Path(place).is_relative_to(root):
            return True
    return False


def _index_lock(root: Path) -> list[str]:
    lock = root / _git(root, "rev-parse", "--git-path", "index.lock")
    if not lock.exists():
        return []
    lock.unlink()
    return ["mended: git's index was locked by a git that is no more"]


def _rwlock(root: Path) -> list[str]:
    lock = root / ".dvc/tmp/rwlock"
    try:
        json.loads(lock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        lock.unlink()  # it named processes that are no more
        return ["mended: DVC's list of what is read and written was damaged"]
    return []


def _head(root: Path) -> list[str]:
    """HEAD back on the branch that `dvc exp run` took it from, as DVC itself does when it comes to its end."""
    if _git(root, "symbolic-ref", "--quiet", "HEAD") or not (commit := _commit_of(root, EXPERIMENT) or _just_taken_off(root)):
        return []
    moves = re.findall(rf"^checkout: moving from (\S+) to {commit}$", _git(root, "reflog", "--format=%gs"), re.MULTILINE)
    branch = next((name for name in moves if _commit_of(root, f"refs/heads/{name}") == commit), "")
    if not branch:
        return ["a killed experiment left HEAD off its branch; `git switch BRANCH` puts it back"]
    stashed = _git(root, "stash", "list", "-1", "--format=%ct")
    _git(root, "symbolic-ref", "-m", "rally mend", "HEAD", f"refs/heads/{branch}")
    _git(root, "reset", "--quiet")
    for reference in _git(root, "for-each-ref", "--format=%(refname)", "refs/exps/exec").splitlines():
        _git(root, "update-ref", "-d", reference)
    said = [
        f"mended: HEAD is on {branch} again; a killed experiment had taken it off (its knobs may still stand in params.yaml)"
    ]
    if stashed and _at_the_start_of_dvc(root, int(stashed)):
        said.append("what you had changed before lies in git's stash: `git checkout . && git stash pop` brings it back")
    return said


def _cut_short(root: Path) -> list[str]:
    """A file that DVC was writing, as it is in the last commit; a dvc.lock that is in none goes, and DVC makes it anew.

    What was there is kept in .rally/mended, for it might be somebody's after all.
    """
    said = []
    for name, is_whole in (("params.yaml", _holds_all_knobs), ("dvc.lock", lambda path: False)):
        path = root / name
        if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or is_whole(path):
            continue
        committed = _git(root, "show", f"HEAD:{name}")
        if not committed and name == "params.yaml":
            continue  # there is nothing to put in its place, and it cannot be done without
        write_bytes(private("mended") / name, content)
        if committed:
            write_text(path, committed + "\n")
        else:
            path.unlink()
        said.append(f"mended: {name} was cut short while DVC wrote it; it is as in the last commit")
    return said


def _holds_all_knobs(path: Path) -> bool:
    try:
        load(path)
    except Refusal:
        return False
    return True


def _just_taken_off(root: Path) -> str:
    """The commit that HEAD stands at, if DVC took it there in its first moments, in which it leaves no mark of its own."""
    newest = _git(root, "reflog", "-1", "--date=unix", "--format=%gd %gs")
    move = re.fullmatch(r"HEAD@\{(\d+)\} checkout: moving from \S+ to ([0-9a-f]{40,})", newest)
    return move[2] if move and _at_the_start_of_dvc(root, int(move[1])) else ""


def _at_the_start_of_dvc(root: Path, time: int) -> bool:
    """Whether something happened in the seconds after the last DVC took its lock."""
    lock = root / ".dvc/tmp/lock"
    return lock.exists() and -1 <= time - lock.stat().st_mtime <= FIRST_MOMENTS


def _commit_of(root: Path, reference: str) -> str:
    return _git(root, "rev-parse", "--quiet", "--verify", reference)


def _git(root: Path, *words: str) -> str:
    """What git says; nothing where it fails."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
