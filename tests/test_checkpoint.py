"""Checkpoints: intact or absent, damaged ones skipped, and each run resumes only from its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.torch
import torch
import yaml
from sealing import sealed
from small import KINDS, SMALL, TOP, WRITERS, knobs, same, started, write_tokens

from pipeline import identity
from pipeline.artifacts import checksums
from pipeline.engine.checkpoint import CHECKPOINTS_KEPT, Checkpoints, Progress
from pipeline.engine.loop import train_step
from pipeline.params.yaml12 import read_yaml


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def after(steps: int, folder: Path) -> Progress:
    params = knobs()
    progress, task, runtime = started(params, folder / "tokens")
    for _ in range(steps):
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    return progress


def test_what_was_saved_comes_back_bit_by_bit(root: Path) -> None:
    saved, other = after(3, root), after(1, root)
    with Checkpoints("run") as checkpoints:
        checkpoints.save(saved)
        assert checkpoints.restore(other)
    assert same(saved.tensors(), other.tensors())
    assert saved.numbers() == other.numbers()


def test_only_the_newest_two_are_kept(root: Path) -> None:
    progress = after(0, root)
    with Checkpoints("run") as checkpoints:
        for step in (1, 2, 30, 4):
            progress.step = step
            checkpoints.save(progress)
        assert [path.name[:14] for path in sorted(checkpoints.folder.glob("step-*"))] == ["step-000000004", "step-000000030"]
    assert CHECKPOINTS_KEPT == 2


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_good_weights_are_those_of_their_step_and_on_disk_with_the_checkpoint(
    held: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engine.checkpoint.HELD", held)
    progress = after(2, root)
    wanted = {name: weight.detach().clone() for name, weight in progress.model.named_parameters()}
    with Checkpoints("run") as checkpoints:
        checkpoints.save_good(progress)
        assert len(list(checkpoints.good.glob("*"))) == (not held)
        with torch.no_grad():
            next(progress.model.parameters()).zero_()
        progress.step = 5
        checkpoints.save(progress)
        assert progress.good.startswith("step-000000002-")
        assert same(safetensors.torch.load_file(checkpoints.good / progress.good), wanted)
        other = after(0, root)
        assert checkpoints.restore(other) and other.good == progress.good


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_says_so(damage: str, root: Path) -> None:
    said: list[str] = []
    with Checkpoints("run", say=said.append) as checkpoints:
        for steps in (2, 5):
            checkpoints.save(after(steps, root))
        newest = max(checkpoints.folder.glob("step-*"))
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes({"cut": bytes(content[: len(content) // 2]), "one bit": bytes(content), "empty": b""}[damage])
        progress = after(0, root)
        assert checkpoints.restore(progress)
    assert progress.step == 2
    assert len(said) == 1
    assert newest.name in said[0]
    assert "damaged" in said[0]


def test_a_file_that_is_no_checkpoint_is_passed_over_though_its_name_carries_its_checksum(root: Path) -> None:
    said: list[str] = []
    with Checkpoints("run", said.append) as checkpoints:
        checkpoints.save(after(1, root))
        for step, content in ((2, b"\x80\x04."), (3, b""), (4, safetensors.torch.save({"a": torch.zeros(1)}))):
            name = f"step-{step:09d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
            (checkpoints.folder / name).write_bytes(content)
        assert checkpoints.restore(found := after(0, root))
    assert found.step == 1
    assert len(said) == 3 and all("is not a checkpoint of this version; using the one before it" in line for line in said)


@pytest.mark.parametrize("damage", ["lost", "one bit"])
def test_a_checkpoint_whose_snapshots_are_not_whole_is_passed_over(damage: str, root: Path) -> None:
    said: list[str] = []
    with Checkpoints("run", say=said.append) as checkpoints:
        early, late = after(2, root), after(5, root)
        checkpoints.save(early)
        checkpoints.save_snapshot(late)
        checkpoints.save_snapshot(late)
        assert len(late.snapshots) == 1
        checkpoints.save(late)
        [snapshot] = checkpoints.snapshots.iterdir()
        if damage == "lost":
            snapshot.unlink()
        else:
            content = bytearray(snapshot.read_bytes())
            content[-1] ^= 1
            snapshot.write_bytes(content)
        progress = after(0, root)
        assert checkpoints.restore(progress)
    assert progress.step == 2
    [line] = said
    assert snapshot.name in line


def test_with_every_checkpoint_damaged_the_run_starts_afresh(root: Path) -> None:
    with Checkpoints("run", say=lambda line: None) as checkpoints:
        checkpoints.save(after(2, root))
        next(checkpoints.folder.glob("step-*")).write_bytes(b"nothing")
        progress = after(0, root)
        assert not checkpoints.restore(progress)
    assert progress.step == 0


def test_another_runs_checkpoint_is_never_taken(root: Path) -> None:
    with Checkpoints("one") as checkpoints:
        checkpoints.save(after(2, root))
    with Checkpoints("other") as checkpoints:
        assert not checkpoints.restore(after(0, root))


def test_a_second_process_waits_for_the_first_and_says_so(root: Path) -> None:
    script = (
        "from pipeline.engine.checkpoint import Checkpoints\n"
        "with Checkpoints('run', say=lambda line: print(line, flush=True)): print('mine now', flush=True)"
    )
    with Checkpoints("run"):
        second = subprocess.Popen([sys.executable, "-c", script], cwd=TOP, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert "waiting" in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate(timeout=60)[0] == "mine now\n"


def test_runs_that_finished_long_ago_and_runs_long_abandoned_are_forgotten(root: Path) -> None:
    for age, name in enumerate(("new", "old", "older", "oldest", "interrupted", "abandoned")):
        folder = root / ".rally/checkpoints" / name
        folder.mkdir(parents=True)
        if name not in ("interrupted", "abandoned"):
            (folder / "finished").touch()
        long_ago = time.time() - (age + 1) * 3600 - (40 * 86400 if name == "abandoned" else 0)
        os.utime(folder, (long_ago, long_ago))
    with Checkpoints("run") as checkpoints:
        checkpoints.delete_other_runs(finished=3)
    assert {path.name for path in (root / ".rally/checkpoints").iterdir()} == {"run", "new", "old", "interrupted"}


# ------------------------------------------------------------------------------------------- the door, as its own process


def a_lab(folder: Path) -> Path:
    """A folder in which the stage train runs by itself, in a second or two."""
    values = read_yaml(TOP / "params.yaml")
    for section, small in SMALL.items():
        values[section] |= small
    values["train"] |= {"steps": 60, "log_points": 20, "validation_points": 6}
    values["runtime"] |= {"checkpoint_seconds": 1e-6, "progress": "lines"}
    values["model"]["dropout"] = 0.1
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    (folder / "dvc.yaml").write_bytes((TOP / "dvc.yaml").read_bytes())
    (folder / "pipeline").symlink_to(TOP / "pipeline")
    write_tokens(folder / "data/tokens")
    return sealed(folder)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return a_lab(tmp_path)


def turn_to(lab: Path, kind: str) -> None:
    """The same with data of another kind of task, some of it learned in epochs."""
    shutil.rmtree(lab / "data/tokens")
    WRITERS[kind](lab / "data/tokens")
    sealed(lab)
    values = read_yaml(lab / "params.yaml")
    for name, value in KINDS[kind].items():
        section, _, knob = name.partition("__")
        values[section][knob] = value
    values["train"] |= {"sampling": "epochs", "class_weights": "balanced"}
    if kind == "vision":
        values["model"]["norm"], values["train"]["mixup"] = "batch", 0.2
    (lab / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def train(lab: Path, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DVC_ROOT": str(lab), "OMP_NUM_THREADS": "1", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.train"], cwd=lab, env=environment, stderr=subprocess.PIPE, text=True
    )


def outs(lab: Path) -> dict[str, str]:
    """The checksum of everything that the stage leaves."""
    files = [*(lab / "models/trained").rglob("*"), *(lab / "metrics").rglob("*")]
    return {str(path.relative_to(lab)): checksums.sha256_of(path) for path in files if path.is_file()}


def forget_outs(lab: Path) -> None:
    """What DVC does before it runs a stage."""
    for path in outs(lab):
        (lab / path).unlink()


def wait_for_step(lab: Path, step: int, process: subprocess.Popen[str]) -> None:
    while not any(int(path.name[5:14]) >= step for path in lab.glob(".rally/checkpoints/*/step-*")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the stage leaves in a folder of its own, where nothing breaks it."""
    return once_through(a_lab(tmp_path_factory.mktemp("unbroken")))


def once_through(lab: Path) -> dict[str, str]:
    """What an unbroken run leaves; nothing of it stays."""
    process = train(lab)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    found = outs(lab)
    forget_outs(lab)
    for path in sorted(lab.glob(".rally/**/*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    return found


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_ends_where_an_unbroken_run_does(lab: Path, unbroken: dict[str, str]) -> None:
    assert {
        "models/trained/model.safetensors",
        "metrics/train.csv",
        "metrics/validation.csv",
        "metrics/sanity.json",
        "models/trained/snapshots/snapshots.json",
    } <= set(unbroken)
    for step in (1, 17, 40):
        process = train(lab)
        wait_for_step(lab, step, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        forget_outs(lab)
    process = train(lab)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "resuming from the checkpoint at step" in said
    assert "sound: loss at the start " in said
    assert outs(lab) == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classify", "vision"])
def test_killed_a_training_of_another_kind_ends_where_an_unbroken_one_does(kind: str, lab: Path) -> None:
    turn_to(lab, kind)
    unbroken = once_through(lab)
    for step in (1, 30):
        process = train(lab)
        wait_for_step(lab, step, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        forget_outs(lab)
    process = train(lab)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "resuming from the checkpoint at step" in said and re.search(r"accuracy [\d.]+%  [\d,]+ examples/s", said)
    assert outs(lab) == unbroken
    metrics, rows = json.loads((lab / "metrics/train.json").read_text()), (lab / "metrics/validation.csv").read_text()
    assert metrics["validation_accuracy"] == float(rows.splitlines()[-1].rpartition(",")[2])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_says_so_and_loses_no_step(number: signal.Signals, lab: Path, unbroken: dict[str, str]) -> None:
    process = train(lab)
    wait_for_step(lab, 5, process)
    process.send_signal(number)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == 128 + number
    assert "interrupted and saved at step" in said
    assert not (lab / "models/trained/model.json").exists()
    process = train(lab)
    assert "resuming from the checkpoint at step" in process.communicate(timeout=120)[1]
    assert outs(lab) == unbroken


def test_what_is_published_is_the_average_of_the_weights_where_one_is_wanted(lab: Path) -> None:
    text = (lab / "params.yaml").read_text()
    (lab / "params.yaml").write_text(text.replace("ema: 0.0", "ema: 0.9"))
    process = train(lab)
    assert process.wait(timeout=120) == 0, process.communicate()[1]
    kept = safetensors.torch.load_file(max(lab.glob(".rally/checkpoints/*/step-*")))
    published = safetensors.torch.load_file(lab / "models/trained/model.safetensors")
    assert same(published, {name: kept[f"optimizer.average.{name}"] for name in published})
    assert not same(published, {name: kept[f"model.{name}"] for name in published})


def a_dvc(lab: Path) -> subprocess.Popen[str]:
    """A process of this name that has started the stage."""
    script = lab / "dvc"
    script.write_text("import subprocess, sys\nsubprocess.Popen([sys.executable, '-m', 'pipeline.train']).wait()\n")
    environment = {**os.environ, "DVC_ROOT": str(lab), "DVC_STAGE": "train"}
    return subprocess.Popen([sys.executable, script], cwd=lab, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_stage_whose_dvc_was_killed_saves_and_stops(lab: Path) -> None:
    dvc = a_dvc(lab)
    wait_for_step(lab, 5, dvc)
    dvc.kill()
    assert "interrupted and saved at step" in dvc.communicate(timeout=60)[1]


@pytest.mark.parametrize("seconds", [0.0, 0.3], ids=["it knew of it", "torch was there"])
def test_a_stage_whose_dvc_was_killed_before(seconds: float, lab: Path) -> None:
    dvc = a_dvc(lab)
    while not (stages := psutil.Process(dvc.pid).children()) or stages[0].cpu_times().user < seconds:
        time.sleep(0.001)
    assert not list(lab.glob(".rally/checkpoints/*"))
    dvc.kill()
    assert "interrupted and saved at step 0" in dvc.communicate(timeout=60)[1]


def test_a_damaged_tokenizer_is_refused_before_the_training_whose_model_would_name_it(lab: Path) -> None:
    path = lab / "data/tokens/tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))
    process = train(lab)
    assert "data/tokens/tokenizer.json: is damaged" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert not (lab / ".rally").exists()


def test_what_is_too_short_for_the_test_split_is_refused_before_the_training(lab: Path) -> None:
    np.save(lab / "data/tokens/test.npy", np.zeros(5, np.uint8))
    sealed(lab)
    process = train(lab)
    assert "model.context_length: 12 is too long for the split test" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert not (lab / "models/trained").exists()


def test_a_folder_that_cannot_be_written_is_one_line(lab: Path) -> None:
    (lab / "metrics").write_text("a file where a folder is wanted")
    process = train(lab)
    [*_, last] = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 2
    assert last.startswith("metrics") and last.endswith(("File exists", "Not a directory"))


@pytest.mark.slow
def test_other_knobs_start_afresh_and_runtime_knobs_do_not(lab: Path) -> None:
    process = train(lab)
    wait_for_step(lab, 5, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    text = (lab / "params.yaml").read_text()
    (lab / "params.yaml").write_text(text.replace("progress: lines", "progress: none"))
    process = train(lab)
    assert "resuming" in process.communicate(timeout=120)[1]

    (lab / "params.yaml").write_text(text.replace("steps: 60", "steps: 61"))
    process = train(lab)
    assert "resuming" not in process.communicate(timeout=120)[1]
    assert process.returncode == 0


def test_what_a_stage_leaves_holds_no_time_and_no_path(lab: Path, unbroken: dict[str, str]) -> None:
    """The same run in another folder at another time leaves the same bytes."""
    assert train(lab).wait(timeout=120) == 0
    assert outs(lab) == unbroken
    about = json.loads((lab / "models/trained/model.json").read_text())
    assert about["sha256"] == checksums.sha256_of(lab / "models/trained/model.safetensors")
    assert about["step"] == 60


def test_the_identity_of_a_run_follows_its_code_its_data_and_its_knobs(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    (lab / "pipeline").unlink()
    (lab / "pipeline/engine").mkdir(parents=True)
    for dependency in read_yaml(lab / "dvc.yaml")["stages"]["train"]["deps"]:
        path = lab / dependency
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("one") if path.suffix else path.mkdir()
    (lab / "pipeline/engine/loop.py").write_text("one")
    names = [identity.run_identity("train", {"seed": 1})]
    names.append(identity.run_identity("train", {"seed": 2}))
    (lab / "pipeline/engine/loop.py").write_text("other")
    names.append(identity.run_identity("train", {"seed": 1}))
    (lab / "data/tokens/meta.json").write_text("other")
    names.append(identity.run_identity("train", {"seed": 1}))
    assert len(set(names)) == 4
    assert identity.run_identity("train", {"seed": 1}) == names[-1]
