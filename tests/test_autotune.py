"""What is fastest here is measured by real steps, kept for every clone, and used by `auto` alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import TOP, knobs, started

from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.tuned import NEVER, Tuned, machine_name, save_tuned, tuned_for
from pipeline.lab.tuning import tune as tuning
from pipeline.lab.tuning.timing import Setting, break_even_steps, candidates, fastest_setting, with_auto_settings
from pipeline.networks.attention import ATTENTIONS, set_attention_kernel
from pipeline.params.machine import cores
from pipeline.params.schema import Params

FOUND = Tuned("cpu", "bfloat16", 1, "sdpa", None, "a test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RALLY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def auto(**changes: object) -> Params:
    """A small run that leaves all to `auto`."""
    return knobs(**{"runtime__threads": 0, "train__precision": "auto", **changes})


# --------------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("name", ATTENTIONS)
def test_both_kernels_compute_the_same(name: str, tmp_path: Path) -> None:
    progress, task, _ = started(knobs(model__attention=name, model__init="gpt2"), tmp_path)
    inputs = task.batch("train", torch.arange(3).numpy()).inputs
    logits = []
    for kernel in ("sdpa", "eager"):
        set_attention_kernel(progress.model, kernel)  # type: ignore[arg-type]
        logits.append(progress.model(inputs))
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-6)


def test_without_a_measurement_auto_writes_attention_out_in_bfloat16_on_a_cpu_alone(tmp_path: Path) -> None:
    progress, *_ = started(knobs(), tmp_path)
    attention = progress.model.blocks[0].attention
    assert [attention.uses_eager(torch.zeros(1, dtype=dtype)) for dtype in (torch.float32, torch.bfloat16)] == [False, True]
    for kernel, written in (("sdpa", False), ("eager", True)):
        set_attention_kernel(progress.model, kernel)  # type: ignore[arg-type]
        assert attention.uses_eager(torch.zeros(1, dtype=torch.bfloat16)) is written


# ------------------------------------------------------------------------------------------------------------- what auto means


def test_auto_means_what_was_found_and_what_is_said_outright_stays() -> None:
    save_tuned(FOUND, "cpu")
    tuned = Runtime(auto().runtime, "auto")
    assert (tuned.precision, torch.get_num_threads(), tuned.attention) == ("bfloat16", 1, "sdpa")
    params = auto(runtime__threads=2, runtime__attention="eager")
    told = Runtime(params.runtime, "float32")
    assert (told.precision, torch.get_num_threads(), told.attention) == ("float32", 2, "eager")


def test_a_kernel_that_was_best_in_one_precision_is_not_taken_for_another() -> None:
    save_tuned(FOUND, "cpu")
    assert Runtime(auto().runtime, "float32").attention == "auto"


def test_what_was_found_is_forgotten_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = Runtime(auto().runtime, "auto")
    save_tuned(replace(FOUND, precision="float32" if before.precision == "bfloat16" else "bfloat16"), "cpu")
    assert Runtime(auto().runtime, "auto").precision != before.precision
    tuning.forget(auto())
    assert Runtime(auto().runtime, "auto").precision == before.precision
    assert before.precision in capsys.readouterr().out


def test_another_machine_and_a_damaged_file_change_nothing(own_cache: Path) -> None:
    save_tuned(FOUND, "cpu")
    assert tuned_for("cpu") == FOUND
    file = own_cache / "tuned.json"
    whole = file.read_text()
    for content in (whole.replace(machine_name("cpu"), "another"), whole[:20], '{"x": 1}', whole.replace("threads", "thredas")):
        file.write_text(content)
        assert tuned_for("cpu") is None
    save_tuned(FOUND, "cpu")
    assert tuned_for("cpu") == FOUND


@pytest.mark.parametrize(("old", "new"), [("library", "sdpa"), ("written", "eager")])
def test_a_kernel_that_an_earlier_version_measured_has_its_new_name(old: str, new: str, own_cache: Path) -> None:
    save_tuned(replace(FOUND, attention=new), "cpu")
    file = own_cache / "tuned.json"
    file.write_text(file.read_text().replace(f'"{new}"', f'"{old}"'))
    assert tuned_for("cpu") == replace(FOUND, attention=new)


def test_the_network_of_a_training_computes_by_the_kernel_that_was_found(tmp_path: Path) -> None:
    save_tuned(FOUND, "cpu")
    progress, *_ = started(auto(train__precision="bfloat16"), tmp_path)
    assert {block.attention.kernel for block in progress.model.blocks} == {"sdpa"}


# ------------------------------------------------------------------------------------------------------------- measuring


def test_what_params_yaml_fixes_is_measured_too_for_auto_is_another_s() -> None:
    params = with_auto_settings(auto(runtime__threads=1, train__precision="float32", runtime__attention="eager"))
    settings = list(candidates(Runtime(params.runtime, params.train.precision)))
    assert {setting.precision for setting in settings} == {"float32", "bfloat16"}
    assert {setting.attention for setting in settings} == {"sdpa", "eager"}
    assert {1, cores()} <= {setting.threads for setting in settings}


def test_measuring_shows_every_setting_and_keeps_what_won(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(TOP / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    tuning.tune(auto(), seconds=0.1)
    said = capsys.readouterr().out
    assert all(word in said for word in ("float32", "bfloat16", "sdpa", "eager", "tokens/s"))
    found = tuned_for("cpu")
    assert found is not None
    assert f"`auto` means here: {Setting(found.precision, found.threads, found.attention)}." in said
    assert found.measured_on == "width 16, depth 2, 4 sequences of 12"
    assert found.compile_from is None  # nobody looked


def test_a_network_without_attention_leaves_its_kernel_to_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(TOP / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    tuning.tune(auto(task__kind="vision", prepare__dataset="digits"), seconds=0.1)
    said, found = capsys.readouterr().out, tuned_for("cpu")
    assert "examples/s" in said and "tokens" not in said
    assert found is not None
    assert (found.attention, found.measured_on) == ("auto", "width 16, depth 2, 4 images of 8 x 8 x 1")


def test_a_setting_that_is_hardly_faster_changes_nothing() -> None:
    default_runtime, other = Setting("float32", 1, "sdpa", steps=[1.0]), Setting("float32", 1, "eager", steps=[0.98])
    assert fastest_setting([default_runtime, other], default_runtime) is default_runtime
    other.steps = [0.9]
    assert fastest_setting([default_runtime, other], default_runtime) is other


def test_a_setting_that_wins_by_its_median_alone_or_by_few_turns_changes_nothing() -> None:
    default_runtime, other = Setting("float32", 1, "sdpa"), Setting("float32", 1, "eager")
    default_runtime.steps, other.steps = [1.0, 4.0, 1.0, 4.0, 4.0], [3.0, 3.0, 3.0, 3.0, 3.0]  # a busy machine
    assert fastest_setting([default_runtime, other], default_runtime) is default_runtime
    default_runtime.steps, other.steps = [1.0] * 5, [0.1]  # it was given up after a turn, whatever that says
    assert fastest_setting([default_runtime, other], default_runtime) is default_runtime


def test_compiling_pays_once_it_has_saved_what_it_took() -> None:
    plain = Setting("float32", 1, "sdpa", steps=[1.0])
    compiled = Setting("float32", 1, "sdpa", compile=True, steps=[0.5], first=20.5)
    assert break_even_steps(plain, compiled) == 40
    compiled.steps = [0.99]
    assert break_even_steps(plain, compiled) == NEVER


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="there is no C++ compiler here")
def test_compiling_is_measured_where_it_is_asked_for(tmp_path: Path) -> None:
    """In a process of its own: what checks shapes and types while tests run cannot be compiled."""
    program = (
        "import json, sys\nfrom pipeline.lab.tuning.tune import tune\nfrom pipeline.params.parse import parse\n"
        "from pipeline.params.schema import Params\n"
        "tune(parse(Params, json.loads(sys.argv[1])), compiling=True, seconds=0.1)"
    )
    shutil.copy(TOP / "params.yaml", tmp_path)
    words = [sys.executable, "-c", program, json.dumps(auto().model_dump())]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = tuned_for("cpu")
    assert found is not None and found.compile_from is not None
    assert "Compiling " in done.stdout


def test_a_project_forgets_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(TOP / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    from typer.testing import CliRunner

    from pipeline.lab.cli import app

    save_tuned(FOUND, "cpu")
    done = CliRunner().invoke(app, ["autotune", "--forget"])
    assert done.exit_code == 0, done.output
    assert tuned_for("cpu") is None
