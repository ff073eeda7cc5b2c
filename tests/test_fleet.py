"""Trainings handed to other processes and machines: by each engine, with kills, failures, Ctrl-C and clones."""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from small import TOP, knobs
from test_journey import clone

from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.fleet import begin
from pipeline.lab.fleet.base import LAUNCH, Engine, Needs
from pipeline.lab.fleet.environment import check_environment
from pipeline.lab.fleet.fleet import RETRIES, Commit, Fleet, TasksFailedError
from pipeline.lab.fleet.opening import opened_fleet
from pipeline.lab.fleet.table import ENGINES
from pipeline.lab.studies.benches.table import BENCHES
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.runs.handover import PROGRAM, task_of, variant_of
from pipeline.params.errors import UserError
from pipeline.params.parse import parse
from pipeline.params.yaml12 import read_yaml

SQUARES = """
import json, os, signal, sys, threading, time
from pathlib import Path


def end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
task = json.load(sys.stdin)
number, folder = task["number"], Path(task["folder"])
began, answer = time.time(), {"square": number**2, "at": os.getcwd(), "card": os.environ.get("CUDA_VISIBLE_DEVICES")}
(folder / f"began-{number}-{os.getpid()}").touch()
if (kills := folder / f"kills-{number}").exists() and (content := kills.read_bytes()):
    kills.write_bytes(content[1:])
    os.kill(os.getpid() if content[:1] == b"." else os.getppid(), signal.SIGKILL)
    time.sleep(60)
if task.get("waits"):
    time.sleep(600)
print("to nobody", file=sys.stderr)
time.sleep(0.3)
print(json.dumps({"problems": [f"{number} is odd"]} if number in task["odd"] else answer | {"span": [began, time.time()]}))
"""

TINY = {
    "says": "Which learning rate is best for a tiny model? A grid for tests.",
    "predicts": "One of them.",
    "control": "Nothing is learned at the lowest rate.",
    "reaches": "nothing",
    "source": "none",
    "costs": "seconds",
    "notice": "Nothing. The trap: it is tiny.",
    "next": "rally play",
    "set": {
        "prepare.dataset": "markov",
        "prepare.generated_chars": 4000,
        "tokenize.kind": "char",
        "model.width": 16,
        "model.heads": 2,
        "model.depth": 1,
        "model.context_length": 12,
        "train.optimizer": "sgd",
        "train.precision": "float32",
        "train.steps": 8,
        "train.batch_size": 4,
        "train.validation_points": 1,
        "train.validation_examples": 8,
        "runtime.threads": 1,
        "runtime.device": "cpu",
    },
    "vary": {"train.lr": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]},
    "seeds": [1, 2],
    "draws": "one",
    "measure": "validation_loss",
    "check": [{"at_most": {"value": 9.0}}],
}
SMALL_GRID = TINY | {"vary": {"train.lr": [0.01, 0.1]}}


# ---------------------------------------------------------------------------------------------------------------- engines


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """A cluster of Ray on this machine, ended with all its processes."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra ray is not installed")
    ports = [_free_port() for _ in range(2)]
    folder = Path("/tmp") / f"rally-ray-{os.getpid()}"  # the path of a socket has 107 letters at most
    words = [
        str(Path(sys.executable).parent / "ray"),
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        "--num-cpus=2",
        "--disable-usage-stats",
    ]
    words += [f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}", "--include-dashboard=false", f"--temp-dir={folder}"]
    head = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""})
    try:
        while not _listens(ports[1]):
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
def at(tmp_path: Path) -> Commit:
    """The commit of a repository that has one program, `squares`."""
    repository = tmp_path / "repository"
    (repository / "inside").mkdir(parents=True)
    (repository / "inside/squares.py").write_text(SQUARES)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "squares"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository, text=True).strip()
    return Commit(head, str(repository), "inside/", str(tmp_path / "private"))


@pytest.fixture
def opened(at: Commit, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Fleet]]:
    """Opens a fleet of an engine, with clones of that commit."""
    engines: list[Engine] = []

    def open_(name: str, *, card: bool = False) -> Fleet:
        address = request.getfixturevalue("ray_address") if name == "ray" else ""
        if name == "slurm" and shutil.which("sbatch") is None:
            pytest.skip("there is no Slurm here")
        if name != "ray" and importlib.util.find_spec("submitit") is None:
            pytest.skip("the extra slurm is not installed")
        engines.append(ENGINES[name](address, Needs(card=card, at_once=0 if card else 2), tmp_path / "jobs"))
        return Fleet(name, engines[-1], at)

    yield open_
    for engine in engines:
        engine.close()


def tasks(folder: Path, numbers: range, *odd: int, **more: Any) -> dict[str, dict[str, Any]]:
    return {f"run {number}": {"number": number, "folder": str(folder), "odd": odd, **more} for number in numbers}


def children() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_a_process_killed_twice_is_started_again_and_one_killed_thrice_is_told(
    name: str, opened: Callable[..., Fleet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet, before = opened(name), children()
    (tmp_path / "kills-1").write_bytes(b".^")  # itself, then the process of the engine that started it
    (tmp_path / "kills-3").write_bytes(b"." * 9)
    found = dict[str, dict[str, Any]]()
    with pytest.raises(TasksFailedError) as caught:
        found.update(fleet.run("squares", tasks(tmp_path, range(5), 4)))
    assert {run: answer["square"] for run, answer in found.items()} == {f"run {n}": n * n for n in (0, 1, 2)}
    assert {Path(answer["at"]).name for answer in found.values()} == {"inside"}
    problems = caught.value.problems
    assert problems[-1] == "3 of 5 are kept, and the same command tries the rest again"
    assert f"run 3: its process was killed (signal 9), {RETRIES + 1} times" in "\n".join(problems)
    assert "run 4: 4 is odd" in problems
    assert capsys.readouterr().err.count("; it is tried again") == 2 + RETRIES
    assert most_at_once(found.values()) <= 2
    assert len(list(tmp_path.glob("began-1-*"))) == 3
    assert len(list(tmp_path.glob("began-4-*"))) == 1, "what fails by itself is not tried again"
    fleet.engine.close()
    gone(before)


def gone(before: list[psutil.Process]) -> None:
    """Assert that no process is left but those that were there before."""
    until = time.monotonic() + 30
    while (left := [process for process in children() if process not in before]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def most_at_once(answers: Iterable[dict[str, Any]]) -> int:
    """How many tasks ran at the same time."""
    spans = [answer["span"] for answer in answers]
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_ctrl_c_cancels_what_was_started(
    name: str, opened: Callable[..., Fleet], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fleet, before = opened(name), children()
    capfd.readouterr()

    def interrupt() -> None:
        while len(list(tmp_path.glob("began-*"))) < 2:
            time.sleep(0.05)
        group = [process.pid for process in children() if os.getpgid(process.pid) == os.getpgrp()]
        for pid in (*group, os.getpid()):  # as a terminal does
            os.kill(pid, signal.SIGINT)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        list(fleet.run("squares", tasks(tmp_path, range(4), waits=True)))
    signal.signal(signal.SIGINT, handler)
    pids = [int(path.name.split("-")[2]) for path in tmp_path.glob("began-*")]
    until = time.monotonic() + 30
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, pids))
    assert capfd.readouterr().err == "2 cancelled; 0 of 4 are kept, and the same command trains the rest\n"
    fleet.engine.close()
    gone(before)


@pytest.mark.slow
def test_each_job_has_a_card_of_its_own(opened: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    fleet = opened("submitit", card=True)
    answers = [answer for _, answer in fleet.run("squares", tasks(tmp_path, range(4)))]
    assert fleet.engine.at_once == 2
    assert {answer["card"] for answer in answers} == {"4", "7"}
    for card in ("4", "7"):
        assert most_at_once(answer for answer in answers if answer["card"] == card) == 1


# ------------------------------------------------------------------------------------------------------------------ clones


def begun(**task: Any) -> subprocess.CompletedProcess[str]:
    """`begin` run as an engine does, inside a git hook of another repository."""
    return subprocess.run(
        [sys.executable, "-P", "-c", Path(begin.__file__).read_text()],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_DIR": "/nowhere"},
    )


def test_a_machine_that_cannot_read_the_folder_clones_from_the_remote(at: Commit, tmp_path: Path) -> None:
    task = {**at._asdict(), "program": "squares", **tasks(tmp_path, range(3, 4))["run 3"]}
    far = {**task, "repository": "/nowhere"}
    assert "cannot be read" in begun(**far).stdout and "--remote" in begun(**far).stdout

    done = begun(**{**far, "remote": at.repository})
    assert json.loads(done.stdout)["square"] == 9, done.stderr
    assert json.loads(done.stdout)["at"] == str(Path(os.environ["RALLY_CACHE"]) / "fleet" / at.commit[:16] / "inside")
    shutil.rmtree(Path(os.environ["RALLY_CACHE"]) / "fleet")

    (tmp_path / "private" / f"{at.commit[:16]}.unfinished").mkdir(parents=True)  # as one that was killed leaves it
    assert json.loads(begun(**task).stdout)["at"] == str(tmp_path / "private" / at.commit[:16] / "inside")
    (tmp_path / "private" / at.commit[:16] / "inside/squares.py").write_text("print('other')")
    assert "inside/squares.py is changed; delete this folder" in begun(**task).stdout


def test_the_interpreter_is_that_of_rally_venv_else_the_drivers_else_any(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\necho that of RALLY_VENV")
    (tmp_path / "bin/python").chmod(0o755)
    (tmp_path / "python3").write_text("#!/bin/sh\necho any")
    (tmp_path / "python3").chmod(0o755)

    def said(python: str, **environment: str) -> str:
        words = ["sh", "-c", LAUNCH, "sh", python, "print('that of the driver')"]
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(words, env={"PATH": path, **environment}, capture_output=True, text=True).stdout.strip()

    assert said(sys.executable, RALLY_VENV=str(tmp_path)) == "that of RALLY_VENV"
    assert said(sys.executable) == "that of the driver"
    assert said("/nowhere/python") == "any"


def test_another_environment_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["pytest>=1", "no-such-package==3"]\n')
    (tmp_path / "constraints.txt").write_text("# pins\npytest==1.0\nno-such-package==3\npip==0.1\n")
    other = rf"environment is another: pytest {pytest.__version__} \(pinned: 1.0\), no-such-package none \(pinned: 3\); make it"
    with pytest.raises(UserError, match=other):
        check_environment(tmp_path)
    (tmp_path / "constraints.txt").write_text(f"pytest=={pytest.__version__}\npip==0.1\n")
    check_environment(tmp_path)
    check_environment(TOP)


# ------------------------------------------------------------------------------------------------------------------- words

CLEAN = {"runtime": read_yaml(TOP / "params.yaml")["runtime"]}


@pytest.mark.parametrize(
    ("on", "said"),
    [
        (
            "slum",
            "--on: there is no 'slum'. Did you mean 'slurm'? Known: pool, submitit, slurm, slurm:PARTITION, ray://HOST:PORT",
        ),
        ("pool:4", "--on: there is no 'pool:4'"),
        ("slurm:", "--on: there is no 'slurm:'"),
        ("", "--on: there is no ''"),
        ("submitit:gpu", "--on submitit:gpu: submitit has no address; use --on submitit"),
        ("ray", "--on ray: names no running cluster; use ray://HOST:10001"),
        ("ray:auto", "--on ray:auto: names no running cluster"),
        ("ray:local", "--on ray:local: names no running cluster"),
        ("ray://127.0.0.1", "--on ray://127.0.0.1: names no running cluster"),
    ],
)
def test_wrong_words_are_refused_with_the_right_ones(on: str, said: str) -> None:
    with pytest.raises(UserError) as caught, opened_fleet(on, BaseParams(CLEAN, commit="0" * 40)):
        raise AssertionError("was opened")
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("on", "extra"), [("submitit", "slurm"), ("slurm:gpu", "slurm"), ("ray://127.0.0.1:1", "ray")])
def test_a_missing_package_is_named_with_its_extra(on: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=rf"`pip install -c constraints.txt -e '.\[{extra}\]'` in the top folder installs"):
        opened_fleet(on, BaseParams(CLEAN, commit="0" * 40)).__enter__()


def test_what_is_not_committed_is_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/train.py").touch()
    monkeypatch.chdir(tmp_path)

    def git(*words: str) -> None:
        subprocess.run(["git", *words], check=True, capture_output=True)

    def refused(remote: str = "", *, as_is: bool = False) -> str:
        with pytest.raises(UserError) as caught:
            opened_fleet("submitit", base_params(as_is=as_is), remote).__enter__()
        [line] = caught.value.problems
        return line

    assert refused() == "--on: nothing is committed here, and other processes run a commit; git add -A && git commit"
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        git(*words)
    (tmp_path / "pipeline/train.py").write_text("changed = True")
    assert refused().startswith("pipeline/train.py: differs from commit ")
    git("checkout", "pipeline/train.py")
    (tmp_path / "pipeline/new.py").touch()
    assert "; git add -A && git commit" in refused()
    (tmp_path / "pipeline/new.py").unlink()

    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("seed: 1", "seed: 2", 1))
    assert refused(as_is=True).startswith("params.yaml: seed differ") and refused(as_is=True).endswith("git commit params.yaml")
    (tmp_path / "params.yaml").write_text(params)

    assert refused("origin") == "--remote: there is no git remote 'origin'. There is none"
    git("init", "-q", "--bare", "far.git")
    git("remote", "add", "origin", "far.git")
    assert "there is no git remote 'orgin'. Did you mean 'origin'?" in refused("orgin")
    assert refused("origin").endswith("; git push origin first")


# ------------------------------------------------------------------------------------------------------------------- grids


@pytest.mark.parametrize(
    "variant",
    [
        Variant((), knobs(train__lr=1e-3)),
        Variant((), knobs(seed=3), "no mask"),
        *(Variant((), knobs(), bench=parse(kind, {}, ("bench",))) for kind in BENCHES.values()),
    ],
)
def test_a_run_is_the_same_after_it_was_handed_over(variant: Variant, tmp_path: Path) -> None:
    task = json.loads(json.dumps(task_of(variant, tmp_path, ("loss_beyond",), None)))
    assert variant_of(task) == variant


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A clone with a grid that the pool has done, and its records by name."""
    folder = tmp_path_factory.mktemp("pooled")
    (folder / "studies").mkdir()
    (folder / "studies/tiny.yaml").write_text(yaml.safe_dump({"tiny": SMALL_GRID}, sort_keys=False))
    clone(folder)
    assert play_tiny(folder).wait() == 0
    records = {path.name: path.read_text() for path in kept(folder)}
    assert len(records) == 4
    return folder, records


def play_tiny(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.lab.cli", "play", "tiny", "--yes", *words]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kept(folder: Path) -> list[Path]:
    return list((folder / ".rally/sweeps/runs").iterdir())


def training_processes(folder: Path) -> Iterator[tuple[int, str]]:
    """The processes that train for a clone, wherever: (pid, identity of the run)."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            if PROGRAM in process.cmdline():
                task = json.loads(Path(f"/proc/{process.pid}/fd/0").read_text())
                if task["repository"] == str(folder):
                    yield process.pid, task["identity"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_a_grid_is_that_of_the_pool_though_one_training_is_killed_twice(
    name: str, pooled: tuple[Path, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    if importlib.util.find_spec("submitit") is None or (name == "slurm" and shutil.which("sbatch") is None):
        pytest.skip(f"there is no {name} here")
    if not Path("/proc/self/fd").exists():
        pytest.skip("there is no /proc here, which tells what a process trains")
    on = f"ray:{request.getfixturevalue('ray_address')}" if name == "ray" else name
    folder, alone = pooled
    for path in kept(folder):
        path.unlink()
    driver, killed = play_tiny(folder, "--on", on), list[int]()
    while len(killed) < 2 and driver.poll() is None:
        for pid, identity in training_processes(folder):
            if pid not in killed and identity == min(alone).removesuffix(".json"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        time.sleep(0.02)
    said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert len(killed) == 2 == said.count("its process was killed (signal 9); it is tried again"), said
    assert {path.name: path.read_text() for path in kept(folder)} == alone
    assert not list((folder / ".rally/fleet").glob("jobs/*"))
    assert not list(training_processes(folder))

    times = {path: path.stat().st_mtime_ns for path in kept(folder)}
    assert play_tiny(folder, "--on", on).wait() == 0
    assert {path: path.stat().st_mtime_ns for path in kept(folder)} == times
