"""One training by several processes: the same bytes whatever their number, also after kills; a lost one ends it in words."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from small import KINDS, TOP, StopAfter, knobs, started
from test_checkpoint import a_lab, forget_outs, outs, train, wait_for_step
from train_together import CASES, write_data

from pipeline.engine.curricula import BatchSettings
from pipeline.engine.loop import fit, train_step
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.runtime.company import Company, Tree
from pipeline.params.errors import UserError
from pipeline.params.yaml12 import read_yaml
from pipeline.processes import MEETING, ONLY, VARIABLES, Crew, Place, place_in
from pipeline.processes import started as processes_started

SLOTS = 8
TRAIN_AND_LOOK = """
import atexit, runpy, sys
import torch.distributed as dist
atexit.register(lambda: dist.is_initialized() and print("still connected", file=sys.stderr))
runpy.run_module("pipeline.train", run_name="__main__")
"""


# ------------------------------------------------------------------------------------------------------------- the sum


def leaves() -> list[list[torch.Tensor]]:
    """A gradient of each slot, of such different sizes that every order of the sum rounds in its own way."""
    generator = torch.Generator().manual_seed(0)
    return [
        [torch.randn(50, generator=generator) * 10.0**slot, torch.randn(3, 2, generator=generator)] for slot in range(SLOTS)
    ]


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_sum_has_the_same_bits_however_the_slots_are_shared(size: int) -> None:
    """As `Company.add` adds: each process its own, then neighbours, then neighbouring pairs."""
    totals = []
    for rank in range(size):
        own = Tree()
        for leaf in Company.share(company(rank, size), leaves()):
            own.add(leaf)
        totals.append(own.total())
    while len(totals) > 1:
        totals = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(totals[::2], totals[1::2], strict=True)]
    wanted = leaves()
    pairs = [[a + b for a, b in zip(wanted[slot], wanted[slot + 1], strict=True)] for slot in range(0, SLOTS, 2)]
    fours = [[a + b for a, b in zip(pairs[pair], pairs[pair + 1], strict=True)] for pair in (0, 2)]
    assert all(torch.equal(found, a + b) for found, a, b in zip(totals[0], *fours, strict=True))
    in_order = torch.stack([first for first, _ in leaves()]).sum(dim=0)
    assert not torch.equal(totals[0][0], in_order), "another order would not have been noticed"


def company(rank: int, size: int) -> Company:
    """One of several processes that never talk."""
    found = Company(ONLY, torch.device("cpu"))
    found.rank, found.size = rank, size
    return found


def test_every_slot_is_computed_once_by_one_process() -> None:
    slots = BatchSettings(batch=18, length=1, open=1.0, second=0.0).slots(4)
    assert [row for slot in slots for row in range(slot.start, slot.stop)] == list(range(18))
    for size in (1, 2, 4):
        assert [slot for rank in range(size) for slot in company(rank, size).share(slots)] == slots
        assert sorted(turn for rank in range(size) for turn in company(rank, size).turns(7)) == list(range(7))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slots", [2, 4])
def test_slots_change_a_gradient_by_rounding_alone(slots: int, kind: str, tmp_path: Path) -> None:
    found = []
    for each in (1, slots):
        params = knobs(**KINDS[kind], train__slots=each, train__precision="float32", model__dropout=0.2)
        progress, task, runtime = started(params, tmp_path)
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        gradients = [weight.grad.flatten() for weight in progress.model.parameters() if weight.grad is not None]
        found.append((torch.cat(gradients), float(progress.recent[0][0])))
    (whole, loss), (parts, of_parts) = found
    assert float((whole - parts).norm() / whole.norm()) < 1e-5
    assert of_parts == pytest.approx(loss, rel=1e-5)


def test_a_batch_with_fewer_examples_than_slots_leaves_some_of_them_empty(tmp_path: Path) -> None:
    params = knobs(train__slots=4, train__batch_start=0.25, train__batch_growth=1.0, train__precision="float32")
    progress, task, runtime = started(params, tmp_path)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert progress.curve[-1]["loss"] < progress.curve[0]["loss"]


# ------------------------------------------------------------------------------------------------------------ who is who


def test_the_place_of_a_process_is_what_torchrun_says() -> None:
    assert place_in({}) is None
    assert place_in({"RANK": "1"}) is None, "some clusters set this one alone"
    assert place_in({"RANK": "1", "WORLD_SIZE": "2"}) == Place(1, 2, 1, 2)
    for wrong in ({"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "one", "WORLD_SIZE": "2"}, {"RANK": "-1", "WORLD_SIZE": "2"}):
        with pytest.raises(UserError, match=r"^RANK=.*: not the place of a process; torchrun sets"):
            place_in(wrong)


@pytest.mark.parametrize(
    ("size", "processes", "line"),
    [
        (2, 4, "runtime.processes: 4, but torchrun started 2; use 1, which leaves the number to it"),
        (3, 1, "torchrun: started 3 processes, with train.slots 4; start a power of two of them, at most 4,"),
        (8, 1, "torchrun: started 8 processes, with train.slots 4; start a power of two of them, at most 4,"),
    ],
)
def test_a_number_of_processes_that_does_not_fit_is_refused(
    size: int, processes: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(VARIABLES, (0, size, 0, size), strict=True):
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UserError) as refused, processes_started(processes, slots=4):
        pass
    assert str(refused.value).startswith(line)


def test_a_process_that_ended_is_named_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("warning\ntrain: no memory\n")
    (tmp_path / "2.txt").write_text("")
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"]) as ended:
        ended.wait()
        assert Crew(Place(0, 2), [ended], tmp_path).lost() == "process 1 of 2 ended with exit status 2: train: no memory"
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE) as process:
        crew = Crew(Place(0, 2), [process], tmp_path)
        crew.check()
        process.kill()
        process.wait()
        assert crew.lost(wait=True).startswith("process 1 of 2 was killed by signal 9")
        with pytest.raises(UserError, match=r"^train: process 1 of 2"):
            crew.check()


# ------------------------------------------------------------------------------------------- the same bytes, by real processes


def digests(folder: Path, size: int) -> dict[str, list[str]]:
    """By case, the SHA-256 that each of several processes has in the end."""
    meeting = folder / f"meeting-{size}"
    processes = []
    for rank in range(size):
        numbers = dict(zip(VARIABLES, map(str, (rank, size, rank, size)), strict=True)) if size > 1 else {}
        environment = {**os.environ, **numbers, MEETING: str(meeting), "PYTHONPATH": f"{TOP}:{TOP / 'tests'}"}
        command = [sys.executable, str(TOP / "tests/train_together.py"), str(folder)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    found: dict[str, list[str]] = {}
    for process in processes:
        said, error = process.communicate(timeout=600)
        assert process.returncode == 0, error
        for line in said.splitlines():
            name, _, sha256 = line.rpartition(": ")
            found.setdefault(name, []).append(sha256)
    return found


@pytest.mark.parametrize(
    "sizes",
    [pytest.param((4,), marks=pytest.mark.slow), pytest.param((2, 8), marks=pytest.mark.campaign)],
    ids=["4", "2 and 8"],
)
def test_every_optimizer_and_kind_of_task_ends_with_the_same_bytes_on_several_processes(
    sizes: tuple[int, ...], tmp_path: Path
) -> None:
    write_data(tmp_path)
    alone = digests(tmp_path, 1)
    assert set(alone) == set(CASES) >= {*OPTIMIZERS, *KINDS}
    assert len({sha256 for [sha256] in alone.values()}) == len(CASES) - 1, "language is the case muon, all others differ"
    for size in sizes:
        assert digests(tmp_path, size) == {name: found * size for name, found in alone.items()}


# ------------------------------------------------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the stage leaves with four slots in a single process."""
    lab = a_lab_of(1, tmp_path_factory.mktemp("unbroken"))
    process = train(lab)
    assert process.wait(timeout=300) == 0, process.communicate()[1]
    return outs(lab)


def a_lab_of(processes: int, folder: Path) -> Path:
    return with_processes(processes, a_lab(folder))


def with_processes(processes: int, lab: Path) -> Path:
    values = read_yaml(lab / "params.yaml")
    values["train"] |= {"slots": 4, "batch_size": 8}
    values["runtime"] |= {"processes": processes}
    (lab / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return lab


def others_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


@pytest.mark.slow
def test_killed_on_2_processes_it_goes_on_on_4_and_on_1_and_ends_where_an_unbroken_one_does(
    tmp_path: Path, unbroken: dict[str, str]
) -> None:
    lab = a_lab(tmp_path)
    for processes, step in ((2, 5), (4, 25)):
        process = train(with_processes(processes, lab))
        wait_for_step(lab, step, process)
        others = others_of(process)
        assert len(others) == processes - 1
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _, alive = psutil.wait_procs(others, timeout=60)
        assert not alive, "they would train on, unseen"
        forget_outs(lab)
    process = train(with_processes(1, lab))
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    assert "resuming from the checkpoint at step" in said
    assert outs(lab) == unbroken


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_one_line_and_a_checkpoint(tmp_path: Path, unbroken: dict[str, str]) -> None:
    lab = a_lab_of(2, tmp_path)
    process = train(lab)
    wait_for_step(lab, 10, process)
    [other] = others_of(process)
    other.kill()
    [*_, last] = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 2
    assert last == "train: process 1 of 2 was killed by signal 9; the same command resumes from the last checkpoint"

    # Asked to stop, in whichever process, all stop after the same step.
    forget_outs(lab)
    process = train(lab)
    wait_for_step(lab, 20, process)
    [other] = others_of(process)
    other.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "resuming from the checkpoint at step" in said and "interrupted and saved at step" in said
    assert not psutil.pid_exists(other.pid)

    process = train(lab)
    assert process.wait(timeout=300) == 0, process.communicate()[1]
    assert outs(lab) == unbroken


@pytest.mark.slow
def test_started_by_torchrun_it_ends_with_the_same_bytes_and_a_process_of_other_parameters_is_refused(
    tmp_path: Path, unbroken: dict[str, str]
) -> None:
    (tmp_path / "lab").mkdir()
    lab = a_lab_of(1, tmp_path / "lab")
    environment = {**os.environ, "DVC_ROOT": str(lab)}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "pipeline.train"]
    done = subprocess.run(torchrun, cwd=lab, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert outs(lab) == unbroken

    other = tmp_path / "other"
    shutil.copytree(lab, other, symlinks=True, ignore=shutil.ignore_patterns(".rally", "models", "metrics"))
    (other / "params.yaml").write_text((other / "params.yaml").read_text().replace("\n  lr: ", "\n  lr: 1"))
    meeting = str(tmp_path / "meeting")
    processes = []
    for rank, folder in enumerate((lab, other)):
        numbers = dict(zip(VARIABLES, map(str, (rank, 2, rank, 2)), strict=True))
        environment = {**os.environ, **numbers, MEETING: meeting, "DVC_ROOT": str(folder)}
        command = [sys.executable, "-c", TRAIN_AND_LOOK]
        processes.append(
            subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        assert process.wait(timeout=120) == 2  # with its stdin open: where that ends, it would end too
        said = process.communicate()[1]
        assert "still connected" not in said, "torch would abort some of these processes at their exit"
        assert said.startswith("train: process 1 of 2 has another code, data or parameters than process 0; use the same commit")
