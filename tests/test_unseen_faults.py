"""The faults that the doctor has never seen: each changes what it says it changes, in a training of a tiny network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import knobs, started

from pipeline.engine.loop import train_step
from pipeline.engine.runtime.runtime import Runtime
from pipeline.lab.faults.base import Training
from pipeline.lab.faults.unseen import UNSEEN
from pipeline.lab.faults.unseen_model import TEMPERATURE
from pipeline.networks.dropout import DropoutState
from pipeline.tasks.base import IGNORED, Batch

HEALTHY = {"train__batch_size": 8, "train__optimizer": "adamw", "train__lr": 0.01, "train__precision": "float32"}
LIVELY = {"model__init": "fan_in"}  # logits that are not 0


def begun(folder: Path, name: str, *, spoilt: bool = True, **changes: object) -> tuple[Training, Runtime]:
    """A training with the knobs of the fault; without the rest of it on request."""
    params = UNSEEN[name].overridden(knobs(**{**HEALTHY, **changes}))
    progress, task, runtime = started(params, folder)
    training = Training(params, progress, task)
    if spoilt:
        UNSEEN[name].inject(training)
    return training, runtime


def two(folder: Path, name: str, **changes: object) -> tuple[Training, Training]:
    """The training as it would be without the fault, and with it."""
    return begun(folder, name, spoilt=False, **changes)[0], begun(folder, name, **changes)[0]


def train_batches(plain: Training, spoilt: Training, step: int = 0) -> tuple[Batch, Batch]:
    plain.progress.step = spoilt.progress.step = step
    rows = np.arange(64)
    return plain.task.batch("train", rows), spoilt.task.batch("train", rows)


def take_step(training: Training, runtime: Runtime) -> None:
    train_step(training.progress, training.task, training.params.train, training.params.seed, runtime, lambda: False)


@pytest.mark.parametrize("name", ["masked inputs", "ids shifted later", "pad id ignored"])
def test_the_text_that_is_held_out_and_its_loss_stay_as_they_were(tmp_path: Path, name: str) -> None:
    trainings = two(tmp_path, name, **LIVELY)
    for training in trainings:
        training.progress.step = training.params.train.steps
    plain, spoilt = (training.task.batch("validation", np.arange(4)) for training in trainings)
    assert torch.equal(plain.inputs, spoilt.inputs)
    assert torch.equal(plain.targets, spoilt.targets)
    losses = [training.task.loss(training.network, plain).total for training in trainings]
    assert torch.equal(*losses)


def test_targets_are_the_hidden_tokens_and_most_of_them_are_the_last_id_as_inputs(tmp_path: Path) -> None:
    plain, spoilt = train_batches(*two(tmp_path, "masked inputs"))
    counted = spoilt.targets != IGNORED
    assert counted.float().mean() == pytest.approx(0.2, abs=0.05), (
        "0.15 of the tokens, and one in each window of 12 in any case"
    )
    assert torch.equal(spoilt.targets[counted], plain.targets[counted])
    inside = counted[:, :-1]
    assert (spoilt.inputs[:, 1:][inside] == 10).float().mean() == pytest.approx(0.8, abs=0.1)
    assert torch.equal(spoilt.inputs[:, 1:][~inside], plain.inputs[:, 1:][~inside])


def test_ids_are_one_higher_from_half_of_the_training_on(tmp_path: Path) -> None:
    trainings = two(tmp_path, "ids shifted later")
    for step, more in ((5, 0), (6, 1)):
        plain, spoilt = train_batches(*trainings, step)
        assert torch.equal(spoilt.inputs, (plain.inputs + more) % 11)
        assert torch.equal(spoilt.targets, (plain.targets + more) % 11)


def test_the_loss_is_the_mean_over_the_targets_that_are_not_padding(tmp_path: Path) -> None:
    plain, spoilt = two(tmp_path, "pad id ignored", **LIVELY)
    batch = plain.task.batch("train", np.arange(8))
    others = Batch(batch.inputs, torch.where(batch.targets == 0, IGNORED, batch.targets))
    assert 0 < others.count < batch.count
    wanted = plain.task.loss(plain.network, others)
    found = spoilt.task.loss(spoilt.network, batch, DropoutState(1, 0, 0.0, slice(0, 8), 8))
    torch.testing.assert_close(found.minimized / batch.count, wanted.total / others.count)


def test_a_padded_convolution_reads_the_token_before_and_the_next_and_none_further_on(tmp_path: Path) -> None:
    network = begun(tmp_path, "same padding", **LIVELY)[0].network
    with torch.no_grad():
        for share, value in zip(network.mixer.shares, (1.0, 10.0, 100.0), strict=True):
            share.fill_(value)
        x = torch.randn(1, 12, 16, generator=torch.Generator().manual_seed(0))
        mixed = network.mixer(torch.zeros(1, 12, dtype=torch.long), x)
    torch.testing.assert_close(mixed[:, 1:-1], 11 * x[:, 1:-1] + x[:, 2:] + 100 * x[:, :-2])
    torch.testing.assert_close(mixed[:, -1], 11 * x[:, -1] + 100 * x[:, -2])


def test_head_and_embedding_are_one_matrix_of_deviation_one(tmp_path: Path) -> None:
    network = begun(tmp_path, "tied to N(0, 1)")[0].network
    assert network.head.weight is network.embedding.weight
    assert float(network.head.weight.detach().std()) == pytest.approx(1.0, abs=0.15)


def test_logits_are_sharper_outside_of_training_alone(tmp_path: Path) -> None:
    plain, spoilt = two(tmp_path, "temperature left in", **LIVELY)
    ids, state = plain.task.batch("train", np.arange(4)).inputs, DropoutState(1, 0, 0.0, slice(0, 4), 4)
    with torch.no_grad():
        torch.testing.assert_close(spoilt.network(ids), plain.network(ids) / TEMPERATURE)
        assert torch.equal(spoilt.network(ids, state), plain.network(ids, state))


def test_each_layer_moves_half_as_far_as_the_one_above_it(tmp_path: Path) -> None:
    moves = []
    for spoilt in (False, True):
        training, runtime = begun(tmp_path, "rates by layer", spoilt=spoilt, **LIVELY)
        before = {name: weight.detach().clone() for name, weight in training.network.named_parameters()}
        take_step(training, runtime)
        moves.append({name: weight.detach() - before[name] for name, weight in training.network.named_parameters()})
    shares = {"head": 1, "blocks.1": 1 / 2, "blocks.0": 1 / 4, "embedding": 1 / 8, "mixer": 1 / 8}
    assert {name for name in moves[0] if not name.startswith(tuple(shares))} == set()
    for start, share in shares.items():
        for name in (name for name in moves[0] if name.startswith(start)):
            torch.testing.assert_close(moves[1][name], moves[0][name] * share, rtol=1e-3, atol=1e-6)


def test_only_the_last_micro_batch_has_a_gradient(tmp_path: Path) -> None:
    plain, spoilt = two(tmp_path, "zeroed too often", **LIVELY)
    batch = plain.task.batch("train", np.arange(8))
    for row in (slice(0, 1), slice(1, 2)):
        spoilt.task.loss(spoilt.network, batch.part(row), DropoutState(1, 0, 0.0, row, 8)).total.backward()
    plain.task.loss(plain.network, batch.part(slice(1, 2))).total.backward()
    for one, other in zip(plain.network.parameters(), spoilt.network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_square_matrices_are_transposed_once_after_three_quarters(tmp_path: Path) -> None:
    weights = []
    for spoilt in (False, True):
        training, runtime = begun(tmp_path, "transposed on resume", spoilt=spoilt, train__steps=8, **LIVELY)
        weights.append([])
        for _ in range(6):
            take_step(training, runtime)
            weights[-1].append({name: weight.detach().clone() for name, weight in training.network.named_parameters()})
    assert all(
        torch.equal(one[name], other[name]) for one, other in zip(*(run[:5] for run in weights), strict=True) for name in one
    )
    for name, weight in weights[0][5].items():
        assert torch.equal(weights[1][5][name], weight.T if name.endswith("attention.output.weight") else weight)
