"""Faults: each does to a training what it says, and nothing to any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import StopAfter, knobs, started

from pipeline.doctor.causes.table import CAUSES
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit, train_step, validate
from pipeline.engine.runtime.runtime import Runtime
from pipeline.lab.faults.base import Fault, Training
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.faults.unseen import UNSEEN
from pipeline.params.schema import Params
from pipeline.tasks.base import IGNORED, Batch
from pipeline.tasks.lm import LanguageModelling

HEALTHY = {"train__batch_size": 8, "train__optimizer": "adamw", "train__lr": 0.01, "train__precision": "float32"}


def begun(folder: Path, fault: str, *, spoilt: bool = True, **changes: object) -> tuple[Training, Runtime]:
    """A training with the fault's knobs; without the rest of it on request."""
    params = known(fault).overridden(knobs(**{**HEALTHY, **changes}))
    progress, task, runtime = started(params, folder)
    training = Training(params, progress, task)
    if spoilt:
        known(fault).inject(training)
    return training, runtime


def trace(training: Training, runtime: Runtime) -> list[object]:
    progress, params = training.progress, training.params
    fit(progress, training.task, params.train, params.seed, runtime, StopAfter())
    return [progress.curve, progress.validations, progress.stopped]


def known(name: str) -> Fault:
    return (FAULTS | UNSEEN)[name]


@pytest.mark.parametrize("name", [*FAULTS, *UNSEEN])
def test_a_fault_is_described_sets_known_knobs_and_changes_the_training(tmp_path: Path, name: str) -> None:
    fault = known(name)
    assert fault.description
    assert fault.cause in CAUSES or (name in UNSEEN and not fault.cause)
    healthy = knobs(**HEALTHY)
    overridden = fault.overridden(healthy)
    by_knobs = trace(*begun(tmp_path, name, spoilt=False))
    if fault.inject.__name__ == "nothing":
        assert overridden != healthy
        return
    assert trace(*begun(tmp_path, name)) != by_knobs
    assert trace(*begun(tmp_path, name, spoilt=False)) == by_knobs, "the fault stayed behind in the classes"


def test_factors_multiply_the_run_s_own_value() -> None:
    assert FAULTS["rate x30"].overridden(knobs(train__lr=0.002)).train.lr == pytest.approx(0.06)


def step(progress: Progress, task: LanguageModelling, params: Params, runtime: Runtime) -> dict[str, torch.Tensor]:
    """The gradients of the next step."""
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    return {name: weight.grad.clone() for name, weight in progress.model.named_parameters() if weight.grad is not None}


def test_kept_gradients_are_the_sum_of_all_before(tmp_path: Path) -> None:
    (plain, runtime), (spoilt, _) = (begun(tmp_path, "gradients kept", spoilt=way, train__lr=1e-8) for way in (False, True))
    first = step(plain.progress, plain.task, plain.params, runtime)
    second = step(plain.progress, plain.task, plain.params, runtime)
    step(spoilt.progress, spoilt.task, spoilt.params, runtime)
    both = step(spoilt.progress, spoilt.task, spoilt.params, runtime)
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, first[name] + second[name], rtol=1e-3, atol=1e-5)


def test_a_frozen_block_stays_where_it_was_and_the_others_move(tmp_path: Path) -> None:
    training, runtime = begun(tmp_path, "frozen block")
    before = {name: weight.detach().clone() for name, weight in training.network.named_parameters()}
    step(training.progress, training.task, training.params, runtime)
    step(training.progress, training.task, training.params, runtime)
    moved = {
        name.split(".")[1]
        for name, w in training.network.named_parameters()
        if name.startswith("blocks") and (w != before[name]).any()
    }
    assert moved == {"0"}


def test_a_mean_of_means_weighs_every_micro_batch_alike(tmp_path: Path) -> None:
    (whole, runtime), (spoilt, _) = (begun(tmp_path, "mean of means", spoilt=way) for way in (False, True))
    parts: list[dict[str, torch.Tensor]] = []
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)):
        batch = whole.task.batch("train", batch_rows(whole))
        batch.targets[:2, 1:] = IGNORED
        loss = whole.task.loss(whole.network, Batch(batch.inputs[rows], batch.targets[rows]))
        slopes = torch.autograd.grad(loss.total / loss.count, list(whole.network.parameters()))
        parts.append(dict(zip(dict(whole.network.named_parameters()), slopes, strict=True)))
    found = step(spoilt.progress, spoilt.task, spoilt.params, runtime)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, sum(part[name] for part in parts) / 4, rtol=1e-3, atol=1e-6)


def batch_rows(training: Training) -> np.ndarray:
    from pipeline.engine.sampler import rows_with_replacement

    return rows_with_replacement(training.params.seed, 0, training.params.train.batch_size, training.task.size("train"))


def test_targets_are_inputs_or_belong_to_others(tmp_path: Path) -> None:
    unshifted = begun(tmp_path, "target is input")[0].task.batch("train", np.arange(4))
    assert torch.equal(unshifted.inputs, unshifted.targets)
    plain = begun(tmp_path, "labels shuffled", spoilt=False)[0].task.batch("train", np.arange(4))
    apart = begun(tmp_path, "labels shuffled")[0].task.batch("train", np.arange(4))
    assert torch.equal(apart.inputs, plain.inputs)
    assert torch.equal(apart.targets.flatten().sort().values, plain.targets.flatten().sort().values)
    assert (apart.targets != plain.targets).float().mean() > 0.5


def test_the_validation_text_is_a_piece_of_the_training_text(tmp_path: Path) -> None:
    task = begun(tmp_path, "validation is training")[0].task
    assert np.array_equal(task.ids("validation"), task.ids("train")[: len(task.ids("validation"))])


def test_a_text_is_shortened_repeated_or_damaged_and_the_other_split_is_not(tmp_path: Path) -> None:
    plain = begun(tmp_path, "noisy text", spoilt=False)[0].task
    few, again, noisy = (begun(tmp_path, name)[0].task for name in ("200 held out", "text repeated", "noisy text"))
    assert len(few.ids("validation")) == len(plain.ids("validation")) // 2
    assert np.array_equal(few.ids("train"), plain.ids("train"))
    quarter = len(plain.ids("train")) // 4
    assert np.array_equal(again.ids("train")[quarter : 2 * quarter], plain.ids("train")[:quarter])
    same = (noisy.ids("train") == plain.ids("train")).mean()
    assert same == pytest.approx(0.7 + 0.3 / len(np.unique(plain.ids("train"))), abs=0.08)
    assert np.array_equal(noisy.ids("validation"), plain.ids("validation"))


def test_the_unseen_and_the_known_faults_have_names_of_their_own() -> None:
    assert not set(UNSEEN) & set(FAULTS)


@pytest.mark.parametrize(("name", "sees_later", "sees_earlier"), [("no mask", True, True), ("mask inverted", True, False)])
def test_without_its_mask_attention_looks_ahead(tmp_path: Path, name: str, sees_later: bool, sees_earlier: bool) -> None:
    network = begun(tmp_path, name, model__embedding_mixer="none", model__init="fan_in")[0].network
    ids = torch.arange(10)[None] % 7
    with torch.no_grad():
        logits = network(ids)
        last, first = (network(torch.cat(parts, 1)) for parts in ((ids[:, :-1], ids[:, :1]), (ids[:, 1:2], ids[:, 1:])))
    assert ((last - logits)[0, 0].abs().max() > 1e-4) == sees_later
    assert ((first - logits)[0, -1].abs().max() > 1e-4) == sees_earlier


def test_units_are_dead_and_saturated(tmp_path: Path) -> None:
    for name, dead in (("dead units", True), ("saturated units", False)):
        training, _ = begun(tmp_path, name, model__init="fan_in")
        hidden: list[torch.Tensor] = []
        for block in training.blocks:
            block.feed_forward.up.register_forward_hook(lambda module, inputs, output, found=hidden: found.append(output))
        with torch.no_grad():
            training.network(training.task.batch("train", np.arange(8)).inputs)
        for unit in hidden:
            share = (unit <= 0).flatten(0, 1).all(0).float().mean() if dead else (unit.abs() > 3.5).float().mean()
            assert share > 0.8


def test_dropout_stays_active_in_evaluation_so_no_two_measurements_agree(tmp_path: Path) -> None:
    training, runtime = begun(tmp_path, "dropout in use", model__init="fan_in")
    measured = [validate(training.progress, training.task, training.params.train, runtime, lambda: False) for _ in range(2)]
    assert measured[0] != measured[1]


def test_large_weights_and_scores_are_as_large_as_said(tmp_path: Path) -> None:
    plain, large = (begun(tmp_path, "weights x10", spoilt=way)[0].network for way in (False, True))
    assert torch.equal(large.head.weight, plain.head.weight * 10)
    assert all(attention.scale == pytest.approx(8**0.5) for attention in begun(tmp_path, "scores x width")[0].attentions)
