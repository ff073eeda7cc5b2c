"""Killed experiments of the queue and of `--temp`: they no longer count as running, and their copies are removed."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_histories import dvc, repository

from pipeline.lab.dvc.queue import RUN_TASK
from pipeline.lab.repair.abandoned import clear_abandoned
from pipeline.lab.repair.repair import repair


def copy(root: Path, name: str = "tmpabc") -> Path:
    folder = root / ".dvc/tmp/exps" / name
    (folder / "models").mkdir(parents=True)
    return folder


def begun(root: Path, task: str, *, ended: bool = False) -> None:
    """A message of the queue that a worker has taken, as DVC 3.67 (kombu) leaves it."""
    queue = root / ".dvc/tmp/exps/celery"
    (queue / "broker/processed").mkdir(parents=True, exist_ok=True)
    (queue / "result").mkdir(exist_ok=True)
    body = [[{"stash_rev": task * 40, "name": f"exp-{task}"}], {}, {}]
    message = {"body": base64.b64encode(json.dumps(body).encode()).decode(), "headers": {"task": RUN_TASK, "id": task}}
    (queue / f"broker/processed/1_{task}.celery.msg").write_text(json.dumps(message))
    if ended:
        (queue / f"result/celery-task-meta-{task}").write_text("{}")


def test_copies_that_nobody_stands_in_go(tmp_path: Path) -> None:
    copies = copy(tmp_path), copy(tmp_path, "standalone/tmpdef")
    kept = tmp_path / ".dvc/tmp/exps/cache"
    kept.mkdir()
    [line] = clear_abandoned(tmp_path)
    assert "removed the copies" in line and line.endswith("(2)")
    assert not any(folder.exists() for folder in copies)
    assert kept.exists()
    assert clear_abandoned(tmp_path) == []


def test_a_copy_that_a_stage_stands_in_stays(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    with subprocess.Popen(["cat"], cwd=folder, stdin=subprocess.PIPE):
        assert clear_abandoned(tmp_path) == []
        assert folder.exists()
    assert clear_abandoned(tmp_path)


def test_tasks_that_ended_and_messages_of_another_kind_are_none_that_were_killed(tmp_path: Path) -> None:
    begun(tmp_path, "a", ended=True)
    processed = tmp_path / ".dvc/tmp/exps/celery/broker/processed"
    (processed / "2_x.reply.celery.pidbox.msg").write_text('{"body": "", "headers": {"ticket": "x"}}')
    (processed / "3_y.celery.msg").write_text('{"body": "')
    assert clear_abandoned(tmp_path) == []


def test_a_dead_task_that_dvc_does_not_end_is_named_with_the_way_out(tmp_path: Path) -> None:
    begun(tmp_path, "a")  # there is no repository of DVC's here
    [line] = clear_abandoned(tmp_path)
    assert "'exp-a'" in line and "dvc queue kill" in line


def queue_status(root: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc", "queue", "status"], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def processes_of(root: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cwd"])
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(root) and process.pid != os.getpid()
    ]


@pytest.mark.slow
def test_a_killed_experiment_of_the_queue_counts_as_failed_and_the_next_ones_run(tmp_path: Path) -> None:
    root = repository(tmp_path)
    for name, seconds in (("one", 60), ("two", 0)):
        queued = dvc(root, "exp", "run", "--queue", "-n", name, "-S", "seed=2", "-S", f"seconds={seconds}")
        assert queued.wait(timeout=120) == 0
    assert dvc(root, "queue", "start").wait(timeout=120) == 0
    deadline = time.monotonic() + 120
    while not any(process.name() == "sleep" for process in processes_of(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert repair(root) == [], "a worker is at work"
    for process in processes_of(root):
        process.send_signal(signal.SIGKILL)
    assert "Running" in queue_status(root)
    first, second = repair(root)
    assert "'one'" in first and "copies" in second
    status = queue_status(root)
    assert "Running" not in status and "Failed" in status and "Queued" in status
    assert repair(root) == []
    assert not list(root.glob(".dvc/tmp/exps/tmp*"))


@pytest.mark.slow
def test_the_copy_of_a_killed_temporary_experiment_goes_and_with_it_its_row_in_the_table(tmp_path: Path) -> None:
    root = repository(tmp_path)
    process = dvc(root, "exp", "run", "--temp", "-n", "away", "-S", "seed=2", "-S", "seconds=60")
    deadline = time.monotonic() + 120
    while not any(process.name() == "sleep" for process in processes_of(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert repair(root) == [], "it is at work"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shown = [sys.executable, "-m", "dvc", "exp", "show", "--csv"]
    assert "Running" in subprocess.run(shown, cwd=root, capture_output=True, text=True, check=True).stdout
    [line] = repair(root)
    assert "removed the copies" in line and line.endswith("(1)")
    assert "Running" not in subprocess.run(shown, cwd=root, capture_output=True, text=True, check=True).stdout
    assert repair(root) == []
