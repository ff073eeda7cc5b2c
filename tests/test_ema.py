"""Averaged weights (EMA, schedule-free) are used for evaluation and snapshots, and do not change the training."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from small import StopAfter, assert_resumes, knobs, same, started

from pipeline.engine.checkpoint import Checkpoints, Progress
from pipeline.engine.loop import Interrupted, fit, train_step, validate
from pipeline.params.schema import Params

AVERAGES = {"ema": {"train__ema": 0.8}, "schedule_free": {"train__optimizer": "schedule_free", "train__epsilon": 1e-8}}


def trained(params: Params, folder: Path, steps: int) -> tuple[Progress, list[dict[str, torch.Tensor]]]:
    """A training after some steps, and the weights after each."""
    progress, task, runtime = started(params, folder)
    path = []
    for _ in range(steps):
        train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        path.append(weights_of(progress))
    return progress, path


def weights_of(progress: Progress) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in progress.model.named_parameters()}


def test_the_average_is_that_of_the_weights_so_far_the_older_the_fainter(tmp_path: Path) -> None:
    progress, path = trained(knobs(train__ema=0.8), tmp_path, 6)
    shares = torch.tensor([0.8 ** (5 - step) for step in range(6)], dtype=torch.float64)
    shares /= shares.sum()
    with progress.optimizer.eval_weights():
        for name, weight in progress.model.named_parameters():
            mean = sum(share * weights[name].double() for share, weights in zip(shares, path, strict=True))
            torch.testing.assert_close(weight.detach().double(), mean, rtol=0, atol=1e-6)


def test_an_average_changes_nothing_of_the_training(tmp_path: Path) -> None:
    ends = []
    for ema in (0.0, 0.8):
        params = knobs(train__ema=ema)
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        ends.append(progress)
    assert same(weights_of(ends[0]), weights_of(ends[1]))
    assert ends[0].curve == ends[1].curve
    assert ends[0].validations != ends[1].validations
    assert not any(name.startswith("optimizer.average") for name in ends[0].tensors())


@pytest.mark.parametrize("kind", AVERAGES)
def test_what_is_measured_and_kept_is_the_average(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = knobs(**AVERAGES[kind])
    progress, path = trained(params, tmp_path / "tokens", 5)
    _, task, runtime = started(params, tmp_path / "tokens")
    with Checkpoints("run") as checkpoints:
        checkpoints.save_snapshot(progress)
        [file] = checkpoints.snapshots.iterdir()
    measured = validate(progress, task, params.train, runtime, lambda: False)
    kept = safetensors.torch.load_file(file)
    assert not same(kept, path[-1])
    assert same(weights_of(progress), path[-1])
    with progress.optimizer.eval_weights():
        assert same(kept, weights_of(progress))

    plain, _, _ = started(knobs(), tmp_path / "tokens")
    plain.model.load_state_dict(kept)
    assert measured == validate(plain, task, params.train, runtime, lambda: False)


@pytest.mark.parametrize("kind", AVERAGES)
def test_the_training_goes_on_from_its_own_weights_also_after_a_break_while_the_average_was_read(
    kind: str, tmp_path: Path
) -> None:
    params = knobs(**AVERAGES[kind])
    progress, path = trained(params, tmp_path, 3)
    _, task, runtime = started(params, tmp_path)
    with pytest.raises(Interrupted):
        validate(progress, task, params.train, runtime, lambda: True)
    assert same(weights_of(progress), path[-1])


@pytest.mark.parametrize("optimizer", ["muon", "adafactor"])
def test_an_average_resumes_bit_by_bit(optimizer: str, tmp_path: Path) -> None:
    params = knobs(train__ema=0.8, train__optimizer=optimizer)
    assert_resumes(params, tmp_path)
