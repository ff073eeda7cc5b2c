"""What holds on a CPU holds on a CUDA card too. Where there is none, these tests are skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small import KINDS, SMALL, TOP, StopAfter, assert_resumes, knobs, same, stages, started, write_tokens
from test_block_execution import TRAINING
from test_knob_tables import AT_ITS_RATE, VARIANTS
from test_task_kinds import ENTRIES, RECIPES, WAYS, entry, gradient

from pipeline.artifacts.paths import READINGS
from pipeline.engine.loop import Interrupted, fit
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.runtime.runtime import Runtime
from pipeline.params.errors import UserError
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card here")

CARD = {"runtime__device": "cuda"}
PRECISIONS = ("float32", "bfloat16", "float16")
HOST = {
    "read ahead": {"runtime__prefetch": 2},
    "optimizer on the host": {"runtime__offload_optimizer": True},
    "activations on the host": {"runtime__offload_activations": True},
    "recomputed": {"runtime__activation_checkpointing": "block"},
}


def trained(params: Params, folder: Path) -> dict[str, torch.Tensor]:
    """What a whole training leaves."""
    progress, task, runtime = started(params, folder)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    return progress.tensors()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("recipe", ["language", *RECIPES])
def test_an_interrupted_run_ends_where_an_unbroken_one_does(recipe: str, precision: str, tmp_path: Path) -> None:
    recipes = RECIPES | {"language": {"model__dropout": 0.2}}
    params = knobs(**recipes[recipe] | CARD, train__batch_size=8, train__validation_examples=20, train__precision=precision)
    assert_resumes(params, tmp_path)


@pytest.mark.parametrize(("kind", "family", "name"), [*(("language", *each) for each in VARIANTS), *ENTRIES])
def test_every_entry_trains_on_it_and_repeats_itself(kind: str, family: str, name: str, tmp_path: Path) -> None:
    params = entry(kind, family, name, **CARD)
    assert same(trained(params, tmp_path), trained(params, tmp_path))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_works_on_it_and_repeats_itself(name: str, tmp_path: Path) -> None:
    rate = AT_ITS_RATE.get(name, {"train__lr": 0.02})
    params = knobs(**CARD, train__optimizer=name, train__epsilon=1e-8, train__state_8bit=False, **rate)
    assert same(trained(params, tmp_path), trained(params, tmp_path))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_of_some_size_repeats_itself(precision: str, tmp_path: Path) -> None:
    sizes = {"model__width": 256, "model__heads": 4, "model__context_length": 256, "train__batch_size": 32, "train__steps": 20}
    params = knobs(**CARD, **sizes, train__precision=precision, model__dropout=0.1)
    write_tokens(tmp_path, tokens=20_000)
    assert same(trained(params, tmp_path), trained(params, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_its_gradient_is_that_of_a_cpu(kind: str, tmp_path: Path) -> None:
    host = gradient(tmp_path, **KINDS[kind])
    card = gradient(tmp_path, **KINDS[kind] | CARD).cpu()
    assert (card - host).norm() < 1e-5 * host.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_its_gradient_is_the_same_in_every_way_of_fitting_it_into_memory(kind: str, tmp_path: Path) -> None:
    whole = gradient(tmp_path, **KINDS[kind] | CARD)
    for way in WAYS.values():
        assert (gradient(tmp_path, **KINDS[kind] | CARD | way) - whole).norm() < 1e-5 * whole.norm()


@pytest.mark.parametrize("way", HOST)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_what_waits_on_the_host_changes_no_bit(optimizer: str, way: str, tmp_path: Path) -> None:
    recipe: dict[str, Any] = {**CARD, "train__optimizer": optimizer, "train__precision": "bfloat16", "model__dropout": 0.1}
    plain, elsewhere = trained(knobs(**recipe), tmp_path), trained(knobs(**recipe, **HOST[way]), tmp_path)
    assert all(torch.equal(plain[name].cpu(), elsewhere[name].cpu()) for name in plain)


def test_what_a_card_began_a_cpu_goes_on_with(tmp_path: Path) -> None:
    params = knobs(**CARD)
    first, task, runtime = started(params, tmp_path)
    with pytest.raises(Interrupted):
        fit(first, task, params.train, params.seed, runtime, StopAfter(last=5))
    second, task, runtime = started(knobs(), tmp_path)
    second.restore({name: tensor.cpu() for name, tensor in first.tensors().items()}, first.numbers())
    fit(second, task, params.train, params.seed, runtime, StopAfter())
    whole, _, _ = started(knobs(), tmp_path)
    fit(whole, task, params.train, params.seed, runtime, StopAfter())
    ends = [[weight for _, weight in progress.model.named_parameters()] for progress in (whole, second)]
    assert all(torch.allclose(*weights, atol=1e-3) for weights in zip(*ends, strict=True))


def test_too_large_a_batch_for_its_memory_is_refused_with_what_would_help(tmp_path: Path) -> None:
    params = knobs(**CARD, model__width=512, model__context_length=64, train__batch_size=4096)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**30 / total)
    try:
        said = r"need more memory than the device 'cuda' has;.*a larger train\.accumulation_steps"
        with pytest.raises(UserError, match=said), Runtime(params.runtime).enough_memory():
            trained(params, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.slow
def test_a_compiled_training_is_the_same_training_and_resumes_bit_by_bit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAINING, str(tmp_path / "tokens"), "cuda"]
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SETS: dict[str, dict[str, Any]] = {
    "language": {"dataset": "markov", "generated_chars": 20000},
    "classify": {"dataset": "dyck", "generated_chars": 20000},
    "vision": {"dataset": "digits"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
def test_every_stage_runs_on_it(kind: str, tmp_path: Path) -> None:
    values = read_yaml(TOP / "params.yaml")
    for section, small in SMALL.items():
        values[section] |= small
    values["task"]["kind"], values["runtime"]["device"] = kind, "cuda"
    values["prepare"] |= SETS[kind]
    values["tokenize"]["kind"] = "char"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    (tmp_path / "dvc.yaml").write_bytes((TOP / "dvc.yaml").read_bytes())
    (tmp_path / "pipeline").symlink_to(TOP / "pipeline")
    (tmp_path / "data").mkdir()
    for stage in stages():
        command, environment = [sys.executable, "-m", f"pipeline.{stage}"], os.environ | {"DVC_ROOT": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (stage, done.stderr)
    assert len(list((tmp_path / READINGS).iterdir())) > 3
