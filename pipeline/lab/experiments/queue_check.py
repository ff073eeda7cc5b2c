"""Checks of what waits in DVC's queue, before it starts."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lab.dvc.git import git
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import read_sections
from pipeline.params.parse import parse
from pipeline.params.schema import Params

QUEUE = Path(".dvc/tmp/exps/celery")


@dataclass(frozen=True)
class QueuedTask:
    """An experiment in DVC's queue that has not ended."""

    name: str
    revision: str  # the commit that holds its files
    baseline: str
    waits: bool


def waiting_tasks() -> Iterator[QueuedTask]:
    """Whatever waits or runs in DVC's queue, as its files say; reading them takes DVC itself a second."""
    done = {path.name.removeprefix("celery-task-meta-") for path in (QUEUE / "result").glob("celery-task-meta-*")}
    for folder in ("in", "processed"):
        for path in sorted((QUEUE / "broker" / folder).glob("*.celery.msg"), key=lambda path: path.name):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # being written, or of another kind
                message = json.loads(path.read_bytes())
                if message["headers"]["id"] in done:
                    continue
                arguments, named, *_ = json.loads(base64.b64decode(message["body"]))
                entry: dict[str, Any] = named.get("entry_dict") or arguments[0]
                yield QueuedTask(entry["name"] or "", entry["stash_rev"], entry["baseline_rev"], folder == "in")


def check_queue() -> None:
    """Hold what waits in the queue against params.py, and look for two of one name."""
    problems: list[str] = []
    seen: dict[tuple[str, str], str] = {}
    for task in waiting_tasks():
        key = (task.baseline, task.name)
        if task.name and key in seen:
            problems.append(
                f"{task.name}: is in the queue twice, and only one of the two would be kept; "
                f"`dvc queue remove {task.revision[:7]}` removes the later one, which can be queued again under another name"
            )
        seen[key] = task.revision
        text = git("show", f"{task.revision}:./params.yaml") if task.waits else None
        if text is not None:
            problems += [f"{task.name or task.revision[:7]}: {line}" for line in _wrong_knobs(text)]
    if problems:
        raise UserError(*problems, "`dvc queue remove NAME` takes an experiment out of the queue")


def _wrong_knobs(text: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        (copy := Path(folder) / "params.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            parse(Params, read_sections(copy))
        except ParamsError as error:
            return list(error.problems)
    return []
