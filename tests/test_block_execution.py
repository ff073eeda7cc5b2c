"""torch.compile of blocks: off where it does not pay, one clear line where it cannot run, the same training where it is on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import TOP, VOCABULARY, knobs

from pipeline.engine.block_execution import COMPILE_FROM, configure_blocks
from pipeline.engine.runtime.tuned import NEVER
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError

pytestmark = pytest.mark.shapes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def blocks_after(wanted: str | bool, device: torch.device, steps: int, measured: int | None = None) -> bool:
    """Whether any block runs otherwise than it was made."""
    params = knobs(runtime__compile=wanted)
    model = GPT(params.model, VOCABULARY, torch.Generator().manual_seed(0))
    configure_blocks(model, params.runtime, device, steps, measured)
    return any("forward" in vars(block) for block in model.blocks)


def test_by_itself_it_never_compiles_on_a_cpu_nor_for_a_short_training() -> None:
    assert not blocks_after("auto", CPU, 10**8)
    assert not blocks_after("auto", CUDA, COMPILE_FROM - 1)
    assert not blocks_after(False, CUDA, 10**8)


def test_what_was_measured_here_is_known_better() -> None:
    assert blocks_after("auto", CPU, 300, measured=300)
    assert not blocks_after("auto", CPU, 299, measured=300)
    assert not blocks_after("auto", CUDA, 10**8, measured=NEVER)
    assert not blocks_after(False, CPU, 300, measured=300)


def test_without_a_compiler_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError) as refused:
        blocks_after(True, CPU, 10)
    assert refused.value.problems == (
        "runtime.compile: true needs the C++ compiler 'no-such-compiler', which was not found; use false",
    )


TRAINING = """
import json, sys
from pathlib import Path
sys.path.insert(0, "tests")
import torch
from small import StopAfter, knobs, started
from pipeline.engine.loop import Interrupted, fit

def trained(stops=(), **changes):
    where = {"runtime__device": sys.argv[2]}
    params = knobs(**where, model__dropout=0.1, model__init="fan_in", model__norm="rms", train__steps=8, **changes)
    numbers = tensors = None
    for last in (*stops, None):
        progress, task, runtime = started(params, Path(sys.argv[1]))
        if numbers:
            progress.restore(tensors, numbers)
        try:
            fit(progress, task, params.train, params.seed, runtime, StopAfter(last))
        except Interrupted:
            pass
        numbers, tensors = progress.numbers(), {name: tensor.clone() for name, tensor in progress.tensors().items()}
    return progress, tensors

plain, expected = trained()
far = {}
for name, changes in {"alone": {}, "block": {"runtime__activation_checkpointing": "block"}}.items():
    progress, found = trained(runtime__compile=True, **changes)
    _, resumed = trained(stops=(3,), runtime__compile=True, **changes)
    assert list(found) == list(expected)
    assert progress.validations[-1]["step"] == 8
    assert all(torch.equal(found[key], resumed[key]) for key in found), "a resumed run ends elsewhere"
    far[name] = max(float((found[key] - expected[key]).abs().max()) for key in expected)
print(json.dumps(far))
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="there is no C++ compiler here")
def test_a_compiled_training_is_the_same_training_under_the_same_names_and_resumes_bit_by_bit(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    command = [sys.executable, "-c", TRAINING, str(tmp_path / "tokens"), "cpu"]
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(far < 1e-4 for far in json.loads(done.stdout.splitlines()[-1]).values())
