"""DVC's queue and its experiments, read from the files and references that DVC keeps: what waits, runs or was killed.

DVC itself takes a second to say it, and calls a killed experiment running for ever (treeverse/dvc 10562).
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.artifacts.paths import program_names
from pipeline.lab.dvc.git import GitRepository
from pipeline.lab.dvc.processes import is_running, processes_in

QUEUE = Path(".dvc/tmp/exps/celery")  # a message for each task, a file for each result
RUNS = Path(".dvc/tmp/exps/run")  # a folder each, with the process that runs it (.json) and what it runs (.run)
TEMPORARY_RUNS = Path(".dvc/tmp/exps/standalone/run")  # the same of `dvc exp run --temp`
ENDED_WELL = 3  # DVC's number for the state of a run; those below have not ended
RUN_TASK = "dvc.repo.experiments.queue.tasks.run_exp"  # the kind of task that runs an experiment


@dataclass(frozen=True)
class QueuedTask:
    """An experiment in DVC's queue that has not ended.

    Attributes:
        revision: the commit that holds its files.
        baseline: the commit that was checked out when it was queued.
        waits: no worker has taken it yet.
    """

    name: str
    revision: str
    baseline: str
    waits: bool


def queued_tasks(root: Path = Path()) -> Iterator[QueuedTask]:
    """The experiments that wait in DVC's queue, or that a worker has taken and not ended."""
    return (task for task, is_done in _tasks(root) if not is_done)


def failed_tasks(root: Path = Path()) -> Iterator[QueuedTask]:
    """The experiments of the queue that ended without a result: they failed, or `dvc queue kill` ended them."""
    for task, is_done in _tasks(root):
        if is_done and not _noted(root / RUNS / task.revision / f"{task.revision}.run").get("result_hash"):
            yield task


def _tasks(root: Path) -> Iterator[tuple[QueuedTask, bool]]:
    """(task, whether it ended) of all that DVC's queue holds."""
    done = {path.name.removeprefix("celery-task-meta-") for path in (root / QUEUE / "result").glob("celery-task-meta-*")}
    for folder in ("in", "processed"):
        for path in sorted((root / QUEUE / "broker" / folder).glob("*.msg"), key=lambda path: path.name):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):  # half written, or damaged
                message = json.loads(path.read_bytes())
                headers = message["headers"]
                if headers["task"] != RUN_TASK:
                    continue
                arguments, named, *_ = json.loads(base64.b64decode(message["body"]))
                entry: dict[str, Any] = named.get("entry_dict") or arguments[0]
                task = QueuedTask(entry["name"] or "", entry["stash_rev"], entry.get("baseline_rev", ""), folder == "in")
                yield task, headers["id"] in done


def runs_outside_the_queue(root: Path = Path()) -> Iterator[QueuedTask]:
    """The experiments that `dvc exp run` runs in the working tree (their revision is ""), or with --temp in a folder."""
    here = _noted(root / RUNS / "workspace/workspace.run")
    pid = _noted(root / RUNS / "workspace/workspace.json").get("pid")
    if here and here.get("status", ENDED_WELL) < ENDED_WELL and isinstance(pid, int) and psutil.pid_exists(pid):
        yield QueuedTask(here.get("name") or "", "", here.get("baseline_rev", ""), waits=False)
    for file in sorted((root / TEMPORARY_RUNS).glob("*/*.run")):
        noted = _noted(file)
        if noted.get("status", ENDED_WELL) <= ENDED_WELL and Path(noted.get("root_dir", "")).exists():
            yield QueuedTask(noted.get("name") or "", file.stem, noted.get("baseline_rev", ""), waits=False)


def _noted(file: Path) -> dict[str, Any]:
    """What DVC noted about a run; nothing where it did not, or where the file is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def was_killed(revision: str, root: Path = Path()) -> bool:
    """Whether an experiment of the queue that DVC calls running was killed: neither its process nor any DVC runs here.

    Args:
        revision: the first digits of the experiment's commit, as DVC shows it. Of "workspace" DVC knows it itself: False.
    """
    if not re.fullmatch(r"[0-9a-f]{4,}", revision):
        return False
    return not any(_is_running(file, revision) for file in (root / RUNS).glob(f"{revision}*/*.json")) and not is_dvc_running(
        root
    )


def _is_running(noted: Path, revision: str) -> bool:
    """Whether the process that DVC noted in a file still runs an experiment."""
    try:
        content = json.loads(noted.read_text(encoding="utf-8"))
        return content["returncode"] is None and is_running(content["pid"], noted.stat().st_mtime, revision)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_dvc_running(root: Path = Path()) -> bool:
    """Whether a DVC runs here: a worker of its queue, an experiment or any other command."""
    return any("dvc" in program_names(words) for words, _ in processes_in(root.resolve()))


@dataclass(frozen=True)
class Experiment:
    """An experiment of any commit."""

    commit: str
    name: str
    baseline: str  # the commit that was checked out


def experiments(root: Path = Path()) -> Iterator[Experiment]:
    """The experiments that ended well."""
    for line in GitRepository(root).raw("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        if found := re.fullmatch(r"(\w+) refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/(.+)", line):
            yield Experiment(found[1], found[4], found[2] + found[3])


def commit_of(name: str, root: Path = Path()) -> str:
    """The commit that a name stands for in git; "" where there is none."""
    return GitRepository(root)("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")
