"""Checks of the experiments in DVC's queue, before it starts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.lab.dvc.git import git, short_hash
from pipeline.lab.dvc.queue import queued_tasks
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import read_sections
from pipeline.params.parse import parse
from pipeline.params.schema import Params


def check_queue() -> None:
    """Validate the parameters of the experiments that wait, and look for two of the same name.

    Raises:
        UserError: with one line for each problem.
    """
    problems: list[str] = []
    seen: set[tuple[str, str]] = set()
    for task in queued_tasks():
        key = (task.baseline, task.name)
        if task.name and key in seen:
            problems.append(
                f"{task.name}: is in the queue twice, and only one of the two would be kept. Remove the later one "
                f"(`dvc queue remove {short_hash(task.revision)}`) and queue it again under another name"
            )
        seen.add(key)
        text = git("show", f"{task.revision}:./params.yaml") if task.waits else None
        if text is not None:
            problems += [f"{task.name or short_hash(task.revision)}: {line}" for line in _wrong_knobs(text)]
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
