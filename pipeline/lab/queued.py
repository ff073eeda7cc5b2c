"""Which experiments are there besides those of this commit, and which of those that DVC calls running still run?"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

RUNS, WORKERS = Path(".dvc/tmp/exps/run"), Path(".dvc/tmp/exps/celery")


def is_gone(revision: str, root: Path = Path()) -> bool:
    """Whether an experiment of the queue that DVC calls running does so no longer: neither it nor any worker is there.

    DVC believes what the worker said last, so what was killed is running for ever (treeverse/dvc 10562).

    Args:
        revision: the first digits of the experiment's commit, as DVC shows it; "workspace" is for DVC to know.
    """
    if not re.fullmatch(r"[0-9a-f]{4,}", revision):
        return False
    return not any(_lives(file, revision) for file in (root / RUNS).glob(f"{revision}*/*.json")) and not any(
        _lives(file, "queue-worker") for file in (root / WORKERS).glob("dvc-exp-worker-*.json")
    )


def _lives(noted: Path, word: str) -> bool:
    """Whether the process that DVC noted in a file is there, and is not another that was given its number since."""
    try:
        told = json.loads(noted.read_text(encoding="utf-8"))
        words = psutil.Process(told["pid"]).cmdline() if told["returncode"] is None else []
    except psutil.AccessDenied:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
    return any(word in each for each in words)


def somebody_works(root: Path = Path()) -> bool:
    """Whether an experiment of the queue, or a worker of it, is at work here."""
    return any(_lives(file, "exp") for file in [*(root / RUNS).glob("*/*.json"), *(root / WORKERS).glob("*.json")])


@dataclass(frozen=True)
class Experiment:
    """An experiment, whatever commit it was made of."""

    commit: str
    name: str
    made_of: str  # the commit that was checked out


def experiments(root: Path = Path()) -> Iterator[Experiment]:
    """Those that ended well, that wait, and that failed."""
    for line in _git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        if found := re.fullmatch(r"(\w+) refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/(.+)", line):
            yield Experiment(found[1], found[4], found[2] + found[3])
    for stash in ("stash", "failed"):  # DVC keeps each in the reflog
        for line in _git(root, "log", "-g", "--format=%H %gs", f"refs/exps/celery/{stash}", "--").splitlines():
            if found := re.fullmatch(r"(\w+) .*dvc-exp:\w*:(\w+):(.*)", line):
                yield Experiment(found[1], found[3], found[2])


def commit_of(name: str, root: Path = Path()) -> str:
    """The commit that a name of git's stands for; "" where there is none."""
    return _git(root, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
