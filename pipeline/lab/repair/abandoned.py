"""What killed experiments of DVC's queue and of `dvc exp run --temp` left behind: tasks to mark as failed, copies to remove.

DVC goes on to call such tasks running, and their copies of the repository stay. Both lie in .dvc/tmp/exps: the copies in `tmp…`
and `standalone/tmp…`, the queue in celery/.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.lab.dvc.processes import processes_in
from pipeline.lab.dvc.queue import QueuedTask, queued_tasks


def clear_abandoned(root: Path) -> list[str]:
    """Mark killed tasks as failed and remove copies that no process works in; a line for each thing that was repaired.

    Nothing is touched while a worker of this queue, or a `--temp` run, is at work.
    """
    exps = root.resolve() / ".dvc/tmp/exps"
    copies = [folder for pattern in ("tmp*", "standalone/tmp*") for folder in sorted(exps.glob(pattern)) if folder.is_dir()]
    tasks = [task for task in queued_tasks(root) if not task.waits]  # begun and without a result: DVC calls them running
    if not (copies or tasks) or _is_in_use(root.resolve()):
        return []
    lines = []
    if tasks:
        command = [sys.executable, "-m", "dvc", "queue", "kill", *(task.revision for task in tasks)]
        if subprocess.run(command, cwd=root, capture_output=True, check=False).returncode:
            return [f"the queue's {_names(tasks)} was killed, and DVC calls it running; `dvc queue kill NAME` ends it"]
        lines.append(
            f"repaired: the queue's {_names(tasks)} was killed, and DVC called it running; now DVC calls it failed"
            " (`dvc queue remove NAME` removes it; queued again, it resumes from its last checkpoint)"
        )
    for folder in copies:
        shutil.rmtree(folder, ignore_errors=True)
    for note in exps.glob("standalone/run/*"):
        shutil.rmtree(note, ignore_errors=True)
    if copies:
        lines.append(f"repaired: removed the copies of the repository that killed experiments had left ({len(copies)})")
    return lines


def _is_in_use(root: Path) -> bool:
    """Whether a DVC works for this clone, or any process works in a copy."""
    copies = root / ".dvc/tmp/exps"
    return any({"queue-worker", "exec-run"} & set(words) or place.is_relative_to(copies) for words, place in processes_in(root))


def _names(tasks: list[QueuedTask]) -> str:
    return ", ".join(f"'{task.name or task.revision[:7]}'" for task in tasks)
