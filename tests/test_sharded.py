"""A training sharded over several processes: equal to one process up to rounding, resumed on any number, or refused."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import torch
import yaml
from small import KINDS, TOP, knobs, started
from test_checkpoint import a_lab, forget_outs, train, wait_for_step
from test_distillation import leave_teacher
from train_sharded import CASES, COMMON, FROZEN, REFUSED, STEPS, UNEQUAL, WRONG
from train_together import write_data

from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.recorder import Follower
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.shards import Shards
from pipeline.engine.setup import fit_together
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.schema import SHARDABLE
from pipeline.params.yaml12 import read_yaml
from pipeline.processes import MEETING, VARIABLES, Place

ROUNDING = 1e-5
Numbers = dict[str, torch.Tensor]


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        *(
            ({"train__optimizer": name}, rf"train\.optimizer: '{name}' with runtime\.shard: .* use muon or adamw$")
            for name in sorted(REFUSED)
        ),
        ({"train__state_8bit": True}, r"train\.state_8bit: true with runtime\.shard: .* use false$"),
        ({"train__precision": "float16"}, r"train\.precision: 'float16' with runtime\.shard: .* use bfloat16 or float32$"),
        ({"train__batch_start": 0.5}, r"train\.batch_start: 0\.5 with runtime\.shard: .* use 1\.0$"),
        ({"train__length_start": 0.5, "train__length_keeps": "tokens"}, r"train\.length_keeps: 'tokens' with .* use examples$"),
        ({**KINDS["vision"], "model__norm": "batch"}, r"train\.slots: 4: model\.norm 'batch' needs the whole batch"),
    ],
)
def test_what_cannot_be_sharded_is_refused_with_what_to_use(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ParamsError, match=f"^{line}"):
        knobs(**COMMON | changes)


def test_every_optimizer_is_tested_or_refused() -> None:
    assert {*CASES, *REFUSED} >= {*OPTIMIZERS, *KINDS}
    assert {*SHARDABLE} == {*OPTIMIZERS} - REFUSED, "what is new is refused until it is tested"


class Alone(Shards):
    """One of several processes that never talk."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(Place(), torch.device("cpu"))
        self.rank, self.size = rank, size


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"train__precision": "float16", "runtime__shard": False}, r"^runtime\.shard: true does not scale losses"),
        (
            {"train__validation_examples": 3},
            r"^runtime\.shard: true validates on an example in each of 4 processes .* there are 3\.",
        ),
    ],
)
def test_what_only_the_machine_or_the_data_tells_is_refused_before_the_first_step(
    changes: dict[str, Any], line: str, tmp_path: Path
) -> None:
    params = knobs(**COMMON | changes)
    progress, task, runtime = started(params, tmp_path)
    runtime.company = Alone(0, 4)
    with pytest.raises(UserError, match=line):
        fit_together(progress, task, params.model, params.train, params.seed, runtime, Follower())
    assert progress.step == 0


def test_a_device_without_collectives_is_refused() -> None:
    with pytest.raises(UserError, match=r"^runtime\.shard: true needs the device cpu or cuda, not mps; use false$"):
        Shards(Place(), torch.device("mps"))


def test_a_process_alone_has_nothing_to_shard() -> None:
    params = knobs(**COMMON)
    assert not isinstance(Runtime(params.runtime, "float32", params.train.slots).company, Shards)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_each_row_is_kept_by_one_process(size: int) -> None:
    for rows in range(1, 10):
        whole = torch.arange(2.0 * rows).view(rows, 2)
        own = [Alone(rank, size).own_rows(whole) for rank in range(size)]
        assert torch.equal(torch.cat(own), whole)
        padded = [Alone(rank, size)._padded(part, rows) for rank, part in enumerate(own)]
        assert {len(part) for part in padded} == {-(-rows // size)}
        assert torch.equal(torch.cat(padded)[:rows], whole)


# ---------------------------------------------------------------------------------------------- equal, by real processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of all kinds, and a teacher."""
    folder = tmp_path_factory.mktemp("sharded")
    write_data(folder)
    leave_teacher(folder / "teacher", folder / "language", steps=5)
    return folder


def run(folder: Path, size: int, words: list[str]) -> None:
    """Train on several processes; what they end with lies in the folder `size`."""
    processes, meeting = [], str(folder / f"meeting-{len(list(folder.iterdir()))}")
    for rank in range(size):
        numbers = dict(zip(VARIABLES, map(str, (rank, size, rank, size)), strict=True)) if size > 1 else {}
        environment = {**os.environ, **numbers, MEETING: meeting, "PYTHONPATH": f"{TOP}:{TOP / 'tests'}"}
        command = [sys.executable, str(TOP / "tests/train_sharded.py"), str(folder), *words]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 0, said


def state(folder: Path, size: int, word: str) -> tuple[Numbers, dict[str, Any]]:
    path = folder / str(size) / f"{word}.safetensors"
    return safetensors.torch.load_file(path), json.loads(path.with_suffix(".json").read_text())


@functools.cache
def initial_weights(folder: Path, name: str) -> Numbers:
    params = knobs(**{knob: value for knob, value in (COMMON | CASES[name]).items() if knob != "train__teacher"})
    progress, _, _ = started(params, folder / params.task.kind)
    return {key: tensor.clone() for key, tensor in progress.tensors().items() if key.startswith("model.")}


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.cat([tensor.double().flatten() for tensor in tensors]).norm())


def differences(found: Numbers, wanted: Numbers, initial: Numbers) -> dict[str, float]:
    """Of all weights the difference relative to how far they moved; of each kind of state that relative to its norm."""
    assert {name: tensor.shape for name, tensor in found.items()} == {name: tensor.shape for name, tensor in wanted.items()}
    moved = norm([wanted[name] - before for name, before in initial.items()])
    apart = {"weights": norm([found[name] - wanted[name] for name in initial]) / moved}
    kinds = {name.split(".")[1] for name in wanted if name.startswith("optimizer.")}
    for kind in kinds:
        names = [name for name in wanted if name.split(".")[:2] == ["optimizer", kind]]
        size = norm([wanted[name] for name in names])
        apart[kind] = norm([found[name] - wanted[name] for name in names]) / size if size else 0.0
    return apart


def curves_differ(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    """The largest relative difference between two trainings' losses, gradient norms and validations."""
    rows = list(zip(found["curve"] + found["validations"], wanted["curve"] + wanted["validations"], strict=True))
    assert rows and all(one.keys() == other.keys() for one, other in rows)
    return max(abs(one[key] - other[key]) / abs(other[key]) for one, other in rows for key in one if other[key])


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        pytest.param((2,), ["uneven rows", UNEQUAL, WRONG], marks=pytest.mark.slow, id="2"),
        pytest.param((2, 4), list(CASES), marks=pytest.mark.campaign, id="2 and 4, all"),
    ],
)
def test_sharded_over_processes_it_ends_with_the_weights_and_the_state_of_one(
    sizes: tuple[int, ...], names: list[str], folder: Path
) -> None:
    for size in (1, *sizes):
        run(folder, size, names)
    for size in sizes:
        for name in names:
            (found, said), (wanted, unsharded) = state(folder, size, name), state(folder, 1, name)
            apart = differences(found, wanted, initial_weights(folder, name))
            if name == WRONG:
                assert apart["weights"] > 1e-2, "the mean of means would not have been noticed"
                continue
            assert max(apart.values()) < ROUNDING, (name, size, apart)
            assert curves_differ(said, unsharded) < 2 * ROUNDING, (name, size)  # of five digits
            if name == FROZEN:
                frozen = [key for key in wanted if key.startswith("model.blocks.0.")]
                assert frozen and all(torch.equal(found[key], initial_weights(folder, name)[key]) for key in frozen)


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["adamw", "muon", "schedule_free", "clipped, averaged", "uneven rows"])
def test_what_two_processes_saved_goes_on_on_1_2_and_4(name: str, folder: Path) -> None:
    run(folder, 1, [name])
    run(folder, 2, [f"{name} | 8", f"{name} < 2"])
    for size in (1, 4):
        run(folder, size, [f"{name} < 2"])
    wanted, unbroken = state(folder, 1, name)
    for size in (1, 2, 4):
        found, said = state(folder, size, f"{name} < 2")
        apart = differences(found, wanted, initial_weights(folder, name))
        assert max(apart.values()) < ROUNDING, (size, apart)
        assert said["step"] == unbroken["step"] == STEPS
        assert curves_differ(said, unbroken) < 2 * ROUNDING


# ------------------------------------------------------------------------------------------------------- the stage


def sharded(processes: int, lab: Path) -> Path:
    """A lab whose training is sharded over so many processes; with one it is not."""
    values = read_yaml(lab / "params.yaml")
    values["train"] |= {"slots": 4, "batch_size": 8, "precision": "float32"}
    values["runtime"] |= {"processes": processes, "shard": processes > 1}
    (lab / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return lab


def checkpoints(lab: Path) -> list[Path]:
    """The files of unfinished weights, the newest last."""
    return sorted(lab.glob(".rally/checkpoints/*/step-*"))


def published(lab: Path) -> tuple[Numbers, list[dict[str, Any]]]:
    """The weights and the snapshots that the stage leaves."""
    listed = json.loads((lab / "models/trained/snapshots/snapshots.json").read_text())["snapshots"]
    return safetensors.torch.load_file(lab / "models/trained/model.safetensors"), listed


def assert_same_outs(lab: Path, unbroken: Path) -> None:
    """Up to rounding."""
    (found, snapshots), (wanted, others) = published(lab), published(unbroken)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
    for one, other in zip(snapshots, others, strict=True):
        assert one["step"] == other["step"]
        assert one["updates"] == pytest.approx(other["updates"], rel=1e-3, abs=1e-6)
        files = [safetensors.torch.load_file(each / "models/trained/snapshots" / one["file"]) for each in (lab, unbroken)]
        assert all(torch.allclose(files[0][name], files[1][name], rtol=1e-4, atol=1e-5) for name in wanted)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab in which one process has trained, unsharded."""
    lab = sharded(1, a_lab(tmp_path_factory.mktemp("unbroken")))
    process = train(lab)
    assert process.wait(timeout=300) == 0, process.communicate()[1]
    return lab


@pytest.mark.slow
def test_it_goes_on_unsharded_after_a_process_died_without_pickle_and_not_from_a_changed_byte(
    tmp_path: Path, unbroken: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lab = sharded(2, a_lab(tmp_path))
    process = train(lab)
    wait_for_step(lab, 10, process)
    [other] = psutil.Process(process.pid).children()
    other.kill()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2, said
    assert said.splitlines()[-1] == (
        "train: process 1 of 2 was killed by signal 9; the same command resumes from the last checkpoint"
    )
    for path in lab.glob(".rally/checkpoints/**/*"):
        if path.is_file() and path.stat().st_size:
            assert path.suffix == ".safetensors"
            assert safetensors.torch.load_file(path)
    newest = checkpoints(lab)[-1]
    content = bytearray(newest.read_bytes())
    content[-20] ^= 1
    newest.write_bytes(content)
    forget_outs(lab)
    process = train(sharded(1, lab))
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    assert f"the checkpoint {newest.name} is damaged" in capfd.readouterr().out
    assert "resuming from the checkpoint at step" in said
    assert_same_outs(lab, unbroken)


@pytest.mark.campaign
def test_killed_on_2_processes_and_asked_to_stop_on_4_it_ends_where_an_unsharded_one_does(
    tmp_path: Path, unbroken: Path
) -> None:
    lab = sharded(2, a_lab(tmp_path))
    process = train(lab)
    wait_for_step(lab, 8, process)
    others = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive
    forget_outs(lab)
    process = train(sharded(4, lab))
    wait_for_step(lab, 25, process)
    psutil.Process(process.pid).children()[0].send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "resuming from the checkpoint at step" in said and "interrupted and saved at step" in said
    forget_outs(lab)
    process = train(sharded(2, lab))
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    assert "resuming from the checkpoint at step" in said
    assert_same_outs(lab, unbroken)
