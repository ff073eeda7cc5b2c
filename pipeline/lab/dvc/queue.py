"""Which experiments are there besides those of this commit, and which of those that DVC calls running still run?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.artifacts.paths import program_names
from pipeline.lab.dvc.git import Repository
from pipeline.lab.dvc.processes import processes_in

RUNS = Path(".dvc/tmp/exps/run")  # a folder each, with the process that runs it (.json) and what it runs (.run)


def is_gone(revision: str, root: Path = Path()) -> bool:
    """Whether an experiment of the queue that DVC calls running does so no longer: neither it nor any DVC is at work here.

    DVC believes what the worker said last, so what was killed is running for ever (treeverse/dvc 10562).

    Args:
        revision: the first digits of the experiment's commit, as DVC shows it; "workspace" is for DVC to know.
    """
    if not re.fullmatch(r"[0-9a-f]{4,}", revision):
        return False
    return not any(_lives(file, revision) for file in (root / RUNS).glob(f"{revision}*/*.json")) and not dvc_works(root)


def _lives(noted: Path, revision: str) -> bool:
    """Whether the process that DVC noted in a file is there, and is not another that was given its number since."""
    try:
        told = json.loads(noted.read_text(encoding="utf-8"))
        words = psutil.Process(told["pid"]).cmdline() if told["returncode"] is None else []
    except psutil.AccessDenied:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
    return any(revision in word for word in words)


def dvc_works(root: Path = Path()) -> bool:
    """Whether a DVC is at work here: a worker of its queue, an experiment or any other command."""
    return any("dvc" in program_names(words) for words, _ in processes_in(root.resolve()))


def lost(said: str, root: Path = Path()) -> list[str]:
    """Names of the killed experiments whose folder is gone, for which DVC fails to show any.

    Args:
        said: what DVC said when it failed, which names the folder.
    """
    names = []
    for file in sorted((root / RUNS).glob("*/*.run")):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            is_lost = told["root_dir"] in said and not Path(told["root_dir"]).exists()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_lost and is_gone(file.stem, root):
            names.append(told.get("name") or file.stem[:7])
    return names


@dataclass(frozen=True)
class Experiment:
    """An experiment, whatever commit it was made of."""

    commit: str
    name: str
    made_of: str  # the commit that was checked out


def experiments(root: Path = Path()) -> Iterator[Experiment]:
    """Those that ended well, that wait, and that failed."""
    git = Repository(root)
    for line in git.raw("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        if found := re.fullmatch(r"(\w+) refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/(.+)", line):
            yield Experiment(found[1], found[4], found[2] + found[3])
    for stash in ("stash", "failed"):  # DVC keeps each in the reflog
        for line in git.raw("log", "-g", "--format=%H %gs", f"refs/exps/celery/{stash}", "--").splitlines():
            if found := re.fullmatch(r"(\w+) .*dvc-exp:\w*:(\w+):(.*)", line):
                yield Experiment(found[1], found[3], found[2])


def commit_of(name: str, root: Path = Path()) -> str:
    """The commit that a name of git's stands for; "" where there is none."""
    return Repository(root)("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")
