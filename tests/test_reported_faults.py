"""The faults of the frozen test of 2026-12-01: each changes what it says it changes, in a training of a tiny network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import knobs, started

from pipeline.engine.loop import train_step
from pipeline.engine.sampler import batch_of
from pipeline.engine.schedules import learning_rate
from pipeline.lab.faults.base import Training
from pipeline.lab.faults.table import FAULTS
from pipeline.tasks.base import IGNORED, Batch

HEALTHY = {"train__batch_size": 8, "train__optimizer": "adamw", "train__lr": 0.01, "train__precision": "float32"}
LIVELY = {"model__init": "fan_in", "model__embedding_mixer": "none"}  # logits that are not 0, and tokens that meet in attention


def begun(folder: Path, name: str, *, spoilt: bool = True, **changes: object) -> Training:
    """A training with the knobs of the fault; without the rest of it on request."""
    params = FAULTS[name].overridden(knobs(**{**HEALTHY, **changes}))
    progress, task, _ = started(params, folder)
    training = Training(params, progress, task)
    if spoilt:
        FAULTS[name].inject(training)
    return training


def two(folder: Path, name: str, **changes: object) -> tuple[Training, Training]:
    """The training as it would be without the fault, and with it."""
    return begun(folder, name, spoilt=False, **changes), begun(folder, name, **changes)


def batches(plain: Training, spoilt: Training, split: str) -> tuple[Batch, Batch]:
    rows = np.arange(4)
    return plain.task.batch(split, rows), spoilt.task.batch(split, rows)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_targets_shifted_twice_are_the_tokens_after_the_next(tmp_path: Path, split: str) -> None:
    plain, spoilt = batches(*two(tmp_path, "shifted twice"), split)
    assert torch.equal(spoilt.inputs, plain.inputs)
    assert torch.equal(spoilt.targets[:, :-1], plain.targets[:, 1:])
    assert (spoilt.targets[:, -1] == IGNORED).all()


def test_padding_follows_a_short_text_in_training_windows_and_counts(tmp_path: Path) -> None:
    trainings = two(tmp_path, "padding counts")
    plain, spoilt = batches(*trainings, "train")
    assert spoilt.count == plain.count
    for before, after in zip(plain.targets, spoilt.targets, strict=True):
        kept = int((before == after).cumprod(0).sum())
        assert 13 // 8 - 1 <= kept <= 13 // 2 + 2, "a text has from 1/8 to 1/2 of the 13 tokens; a real id may be 0 as well"
        assert (after[kept:] == 0).all()
    assert torch.equal(spoilt.inputs[:, 1:], spoilt.targets[:, :-1])
    held_out = batches(*trainings, "validation")
    assert torch.equal(held_out[0].inputs, held_out[1].inputs)
    assert torch.equal(held_out[0].targets, held_out[1].targets)


def test_windows_in_order_differ_by_one_token_and_follow_those_of_the_step_before(tmp_path: Path) -> None:
    spoilt = begun(tmp_path, "windows in order")
    ids = torch.from_numpy(np.array(spoilt.task.ids("train"), np.int64))
    for step in (0, 3):
        spoilt.progress.step = step
        batch = batch_of(spoilt.task, spoilt.params.train, spoilt.params.seed, step)
        for place, window in enumerate(batch.inputs, start=8 * step):
            assert torch.equal(window, ids[place : place + 12])


def test_ids_of_the_validation_split_are_renumbered_one_for_one(tmp_path: Path) -> None:
    plain, spoilt = (training.task for training in two(tmp_path, "ids renumbered"))
    before, after = (np.array(task.ids("validation")) for task in (plain, spoilt))
    assert len(set(zip(before, after, strict=True))) == len(set(before)) == len(set(after))
    assert (before != after).mean() > 0.5
    assert np.array_equal(plain.ids("train"), spoilt.ids("train"))


def test_a_schedule_called_eight_times_a_step_ends_after_an_eighth_of_the_training(tmp_path: Path) -> None:
    training = begun(tmp_path, "schedule x8", train__steps=16, train__schedule="linear")
    train, rates = training.params.train, []
    optimizer = training.progress.optimizer
    # Again, over an optimizer that only writes down its rate.
    optimizer.step = rates.append
    FAULTS["schedule x8"].inject(training)
    for training.progress.step in (0, 1, 2, 9):
        optimizer.step(1.0)
    assert rates == [train.lr, learning_rate(0.5, train), 0.0, 0.0]


def test_swapped_betas_average_a_thousand_gradients_and_ten_squares() -> None:
    train = FAULTS["betas swapped"].overridden(knobs()).train
    assert (train.optimizer, train.beta1, train.beta2) == ("adamw", 0.999, 0.9)


def test_weights_are_those_of_the_first_checkpoint_after_three_quarters(tmp_path: Path) -> None:
    training = begun(tmp_path, "old weights", train__steps=8)
    progress, params = training.progress, training.params
    runtime = started(params, tmp_path)[2]
    seen = []
    for _ in range(params.train.steps):
        train_step(progress, training.task, params.train, params.seed, runtime, lambda: False)
        seen.append(training.network.head.weight.detach().clone())
    assert torch.equal(seen[5], seen[0])
    assert not any(torch.equal(one, seen[0]) for one in [*seen[1:5], *seen[6:]])


def test_nothing_before_the_last_block_has_a_gradient_and_the_outputs_are_the_same(tmp_path: Path) -> None:
    plain, spoilt = two(tmp_path, "stream detached", **LIVELY)
    batch = plain.task.batch("train", np.arange(4))
    losses = [training.task.loss(training.network, batch).total for training in (plain, spoilt)]
    assert torch.equal(*losses)
    losses[1].backward()
    reached = {name for name, weight in spoilt.network.named_parameters() if weight.grad is not None}
    named = {name for name, _ in spoilt.network.named_parameters()}
    assert reached == {name for name in named if name.startswith(("blocks.1.", "final_norm", "head"))}
    assert named - reached


def test_a_second_softmax_makes_logits_of_probabilities(tmp_path: Path) -> None:
    plain, spoilt = two(tmp_path, "softmax twice", **LIVELY)
    ids = plain.task.batch("train", np.arange(4)).inputs
    with torch.no_grad():
        torch.testing.assert_close(spoilt.network(ids), plain.network(ids).softmax(-1))
    torch.testing.assert_close(spoilt.network(ids).sum(-1), torch.ones(4, 12))


def test_a_head_that_is_a_view_holds_neighbouring_tokens_and_looks_ahead(tmp_path: Path) -> None:
    plain, spoilt = two(tmp_path, "heads viewed", **LIVELY)
    x, position = torch.randn(1, 12, 16, generator=torch.Generator().manual_seed(0)), plain.network.position
    with torch.no_grad():
        right, viewed = (one.attentions[0]._queries_keys_values(x, position, 0)[2] for one in (plain, spoilt))
        assert right.shape == viewed.shape == (1, 2, 12, 8)
        # Two heads, so that the first rows of the first head are both heads of the first token, then those of the second.
        assert torch.equal(viewed[0, 0, :4], torch.stack((right[0, 0, 0], right[0, 1, 0], right[0, 0, 1], right[0, 1, 1])))
        assert torch.equal(viewed[0, 1, 0], right[0, 0, 6])
        ids = torch.arange(12)[None] % 7
        other = ids.clone()
        other[0, 6:] = 8
        for network, ahead in ((plain.network, False), (spoilt.network, True)):
            assert ((network(ids) - network(other))[0, 0].abs().max() > 1e-4) == ahead
