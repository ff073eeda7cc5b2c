"""Trainings handed to other processes and machines: by each engine, with kills, failures, and clones that are not as they were."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from small import TOP
from test_journey import BIN, clone, commit

from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.fleet import begin
from pipeline.lab.fleet.base import Engine, Needs
from pipeline.lab.fleet.environment import check_environment
from pipeline.lab.fleet.fleet import RETRIES, Commit, Fleet, TasksFailedError
from pipeline.lab.fleet.opening import opened_fleet
from pipeline.lab.fleet.table import ENGINES
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml

pytestmark = pytest.mark.slow  # each task is a process

needs_submitit = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="the extra slurm is not installed")

SQUARES = """
import json, os, signal, sys, time
from pathlib import Path

task = json.load(sys.stdin)
number, folder = task["number"], Path(task["folder"])
(folder / f"began-{number}-{os.getpid()}").touch()
if (kills := folder / f"kills-{number}").exists() and (content := kills.read_bytes()):
    kills.write_bytes(content[1:])
    os.kill(os.getpid() if content[:1] == b"." else os.getppid(), signal.SIGKILL)
    time.sleep(60)
if task.get("waits"):
    time.sleep(600)
print("to nobody", file=sys.stderr)
print(json.dumps({"problems": [f"{number} is odd"]} if number in task["odd"] else {"square": number**2, "at": os.getcwd()}))
"""


# ---------------------------------------------------------------------------------------------------------------- engines


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """A cluster of Ray on this machine, ended with all its processes."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra ray is not installed")
    ports = [_free_port() for _ in range(2)]
    folder = Path("/tmp") / f"rally-ray-{os.getpid()}"  # noqa: S108 (a socket's path has 107 letters at most)
    words = [str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=2", "--disable-usage-stats"]
    words += [f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}", "--include-dashboard=false", f"--temp-dir={folder}"]
    head = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""})
    try:
        while subprocess.run(["true"]).returncode or not _listens(ports[1]):
            assert head.poll() is None
            time.sleep(0.2)
        yield f"//127.0.0.1:{ports[1]}"
    finally:
        trees = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        head.wait()
        _, alive = psutil.wait_procs(trees, timeout=10)
        for process in alive:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Fleet]]:
    """Opens a fleet of an engine, with clones of a repository that has one program, `squares`."""
    repository = tmp_path / "repository"
    (repository / "inside").mkdir(parents=True)
    (repository / "inside/squares.py").write_text(SQUARES)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "squares"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository, text=True).strip()
    at = Commit(head, str(repository), "inside/", str(tmp_path / "private"))
    engines: list[Engine] = []

    def open_(name: str, **changed: str) -> Fleet:
        address = request.getfixturevalue("ray_address") if name == "ray" else ""
        if name == "slurm" and shutil.which("sbatch") is None:
            pytest.skip("there is no Slurm here")
        if name != "ray" and importlib.util.find_spec("submitit") is None:
            pytest.skip("the extra slurm is not installed")
        engines.append(ENGINES[name](address, Needs(at_once=2), tmp_path / "jobs"))
        return Fleet(name, engines[-1], at._replace(**changed))

    yield open_
    for engine in engines:
        engine.close()


def tasks(folder: Path, numbers: range, *odd: int, **more: Any) -> dict[str, dict[str, Any]]:
    return {f"run {number}": {"number": number, "folder": str(folder), "odd": odd, **more} for number in numbers}


def children() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process.status() != psutil.STATUS_ZOMBIE]


def test_a_process_killed_twice_is_started_again_and_one_killed_thrice_is_told(
    name: str, opened: Callable[..., Fleet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet, before = opened(name), children()
    (tmp_path / "kills-1").write_bytes(b".^")  # itself, then the process of the engine that started it
    (tmp_path / "kills-3").write_bytes(b"." * 9)
    found = {}
    with pytest.raises(TasksFailedError) as caught:
        for run, answer in fleet.run("squares", tasks(tmp_path, range(5), 4)):
            found[run] = answer
    assert {run: answer["square"] for run, answer in found.items()} == {f"run {n}": n * n for n in (0, 1, 2)}
    assert {Path(answer["at"]).name for answer in found.values()} == {"inside"}
    problems = caught.value.problems
    assert problems[-1] == "3 of 5 are kept, and the same command tries the rest again"
    assert f"run 3: its process was killed (signal 9), {RETRIES + 1} times" in "\n".join(problems)
    assert "run 4: 4 is odd" in problems
    assert capsys.readouterr().err.count("; it is tried again") == 2 + RETRIES
    assert len(list(tmp_path.glob("began-1-*"))) == 3
    assert len(list(tmp_path.glob("began-4-*"))) == 1, "what fails by itself is not tried again"
    fleet.engine.close()
    gone(before)


test_a_process_killed_twice_is_started_again_and_one_killed_thrice_is_told = pytest.mark.parametrize("name", ENGINES)(
    test_a_process_killed_twice_is_started_again_and_one_killed_thrice_is_told
)


def gone(before: list[psutil.Process]) -> None:
    """Assert that no process is left but those that were there before."""
    until = time.monotonic() + 30
    while (left := [process for process in children() if process not in before]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left
