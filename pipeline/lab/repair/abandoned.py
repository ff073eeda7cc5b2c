"""What did killed experiments of DVC's queue, and of `dvc exp run --temp`, leave behind? Cleared away.

DVC goes on to call them running, and their copies of the repository stay. Both lie in .dvc/tmp/exps: `tmp…` and
`standalone/tmp…` are the copies, celery/ is the queue: a message of a task that was begun, a file with its result.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.lab.dvc.processes import processes_in

RUN = "dvc.repo.experiments.queue.tasks.run_exp"  # the kind of task that an experiment of the queue is


@dataclass(frozen=True)
class Task:
    """An experiment of the queue that was begun."""

    name: str
    commit: str


def clear(root: Path) -> list[str]:
    """Mark dead tasks as failed and remove the copies that nobody stands in; a line for each thing that was.

    Nothing is touched while a worker of this queue, or a `--temp` run, is at work.
    """
    exps = root.resolve() / ".dvc/tmp/exps"
    copies = [folder for pattern in ("tmp*", "standalone/tmp*") for folder in sorted(exps.glob(pattern)) if folder.is_dir()]
    tasks = _begun(exps / "celery")
    if not (copies or tasks) or _somebody_works_in(root.resolve()):
        return []
    said = []
    if tasks:
        command = [sys.executable, "-m", "dvc", "queue", "kill", *(task.commit for task in tasks)]
        if subprocess.run(command, cwd=root, capture_output=True, check=False).returncode:
            return [f"the queue's {_named(tasks)} was killed and counts as running; `dvc queue kill NAME` ends it"]
        said.append(
            f"mended: the queue's {_named(tasks)} had been killed and counted as running; it counts as failed now"
            " (`dvc queue remove NAME` takes it off the list; queued anew it goes on from its last checkpoint)"
        )
    for folder in copies:
        shutil.rmtree(folder, ignore_errors=True)
    for note in exps.glob("standalone/run/*"):
        shutil.rmtree(note, ignore_errors=True)
    if copies:
        said.append(f"mended: copies of the repository that killed experiments had worked in are gone ({len(copies)})")
    return said


def _begun(queue: Path) -> list[Task]:
    """The experiments that a worker has taken from the queue and of which there is no result: DVC calls them running."""
    found = []
    for path in sorted(queue.glob("broker/processed/*.msg")):
        try:
            message = json.loads(path.read_bytes())
            headers = message["headers"]
            if headers.get("task") != RUN or (queue / f"result/celery-task-meta-{headers['id']}").exists():
                continue
            entry = json.loads(base64.b64decode(message["body"]))[0][0]
            found.append(Task(entry["name"] or entry["stash_rev"][:7], entry["stash_rev"]))
        except (ValueError, KeyError, IndexError, TypeError):
            continue  # a message that was being written, or of another DVC
    return found


def _somebody_works_in(root: Path) -> bool:
    """Whether a DVC works for this clone, or any process stands in a copy."""
    copies = root / ".dvc/tmp/exps"
    return any({"queue-worker", "exec-run"} & set(words) or place.is_relative_to(copies) for words, place in processes_in(root))


def _named(tasks: list[Task]) -> str:
    return ", ".join(f"'{task.name}'" for task in tasks)
