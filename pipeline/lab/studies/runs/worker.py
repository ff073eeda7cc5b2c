"""A run of a grid on some machine, in a clone of its commit: the task on standard input, its record on standard output."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from pipeline.artifacts.paths import exclusive_lock, private_folder
from pipeline.identity import read_cached
from pipeline.lab.fleet.environment import check_environment
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.runs import sweep
from pipeline.lab.studies.runs.handover import precision_of, variant_of
from pipeline.params.errors import UserError


def main() -> None:
    """Answer {"record": …} with exit status 0, or {"problems": lines} with 1; all else that is printed goes to the log."""
    end_with(os.getppid())
    task = json.load(sys.stdin)
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        check_environment(Path())
        answer: dict[str, Any] = {"record": record_of(task)}
    except UserError as error:
        answer = {"problems": error.problems}
    except Exception as error:
        traceback.print_exc()
        answer = {"problems": [f"{type(error).__name__}: {error}".splitlines()[0]]}
    with os.fdopen(out, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    sys.exit("problems" in answer)


def record_of(task: dict[str, Any]) -> dict[str, Any]:
    """The record of the run, as it is kept.

    Raises:
        UserError: what would run here is not what was asked for.
    """
    variant, metrics = variant_of(task), tuple(task["metrics"])
    if variant.bench is not None:
        return asdict(variant.bench.run(variant.params))
    tokens = Path(task["tokens"])
    if not tokens.is_dir():
        with exclusive_lock(private_folder("sweeps") / "data.lock"):  # others of this machine may make the same
            tokens = sweep.tokens_folder(variant.params)
    path = sweep.record_path(variant, tokens, metrics)
    assert path is not None
    if path.stem != task["identity"]:
        raise UserError(_other_run(variant, task))
    sweep.run_or_read(variant, tokens, metrics, path)
    kept = read_cached(path)
    assert kept is not None
    return kept


def _other_run(variant: Variant, task: dict[str, Any]) -> str:
    machine, here = os.uname().nodename, precision_of(variant)
    if here != task["precision"]:
        return (
            f"train.precision: is {here} on {machine} and {task['precision']} where the grid was started; say which: "
            f"-S train.precision={here}"
        )
    return f"{machine}: its data differ from those where the grid was started; use a folder that all machines can read"


def end_with(parent: int) -> None:
    """End, with all that was started from here, when the process that started this one has ended."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        for process in psutil.Process().children(recursive=True):
            process.kill()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
