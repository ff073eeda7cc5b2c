"""What saves memory changes no gradient beyond rounding, and does save memory. (KV cache: test_knob_tables.)"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from memory_in_use import Alive, saved
from small import VOCABULARY, knobs, same, started
from torch import Tensor, nn

from pipeline.conformance import plain_training
from pipeline.engine.block_execution import ACTIVATION_CHECKPOINTING, configure_blocks, offload_activations
from pipeline.engine.loop import train_step, validate
from pipeline.engine.sampler import rows_with_replacement
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT
from pipeline.params.schema import Params
from pipeline.tasks.base import IGNORED, Batch, Loss, Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import Objective

WAYS: dict[str, dict[str, object]] = {
    "16 x 2": {"train__accumulation_steps": 2},
    "8 x 4": {"train__accumulation_steps": 4},
    "4 x 8": {"train__accumulation_steps": 8},
    "1 x 32": {"train__accumulation_steps": 32},
    "at most 100 tokens": {"runtime__micro_batch_tokens": 100},
    "at most 60 tokens, which do not divide": {"runtime__micro_batch_tokens": 60},
    "the loss in one piece too large": {"runtime__loss_chunk_size": 4096},
    "the loss in pieces that do not divide": {"runtime__loss_chunk_size": 7},
    **{f"checkpointing {name}": {"runtime__activation_checkpointing": name} for name in ACTIVATION_CHECKPOINTING},
    "all at once": {
        "runtime__micro_batch_tokens": 60,
        "runtime__loss_chunk_size": 7,
        "runtime__activation_checkpointing": "selective",
    },
}
RECIPES: dict[str, dict[str, object]] = {
    "plain": {},
    "dropout": {"model__dropout": 0.2},
    "tied head, smoothed targets, z-loss": {
        "model__tie_embeddings": True,
        "train__label_smoothing": 0.1,
        "train__z_loss": 1e-3,
    },
}


class Ragged(LanguageModelling):
    """Examples of very unequal length: of every second one only the first target counts."""

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        batch = super().batch(split, rows, length)
        batch.targets[::2, 1:] = IGNORED
        return batch


def gradient(folder: Path, ragged: bool = False, **changes: object) -> Tensor:
    """That of a step over 32 examples, in float64, all weights behind one another."""
    params = knobs(
        **{"train__batch_size": 32, "train__optimizer": "sgd", "model__init": "fan_in", "model__bias": True} | changes
    )
    progress, task, runtime = started(params, folder)
    progress.model.double()
    if ragged:
        task = Ragged(folder, params.model, Shape(VOCABULARY), task.objective)
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    return torch.cat([weight.grad.flatten() for weight in progress.model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("way", WAYS)
def test_a_batch_has_the_same_gradient_in_every_way_of_fitting_it_into_memory(way: str, recipe: str, tmp_path: Path) -> None:
    whole = gradient(tmp_path, **RECIPES[recipe])
    fitted = gradient(tmp_path, **RECIPES[recipe], **WAYS[way])
    assert (fitted - whole).norm() < 1e-12 * whole.norm()


@pytest.mark.parametrize("way", WAYS)
def test_targets_that_do_not_count_weigh_nothing_in_any_of_these_ways(way: str, tmp_path: Path) -> None:
    """The trap: a mean of the means of micro-batches is not the mean (a bug that large libraries had for years)."""
    whole, fitted = gradient(tmp_path, ragged=True), gradient(tmp_path, ragged=True, **WAYS[way])
    assert (fitted - whole).norm() < 1e-12 * whole.norm()


def test_the_mean_of_the_means_of_micro_batches_would_be_another_gradient(tmp_path: Path) -> None:
    params = knobs(train__batch_size=32, train__optimizer="sgd", model__init="fan_in", model__bias=True)
    progress, task, _ = started(params, tmp_path)
    progress.model.double()
    task = Ragged(tmp_path, params.model, Shape(VOCABULARY))
    batch = task.batch("train", rows_with_replacement(params.seed, 0, 32, task.size("train")))
    for row in range(32):
        part = task.loss(progress.model, batch.part(slice(row, row + 1)))
        (part.total / part.count / 32).backward()
    naive = torch.cat([weight.grad.flatten() for weight in progress.model.parameters() if weight.grad is not None])
    right = gradient(tmp_path, ragged=True)
    assert (naive - right).norm() > 0.05 * right.norm()


@pytest.mark.parametrize("tokens", [12, 59, 60, 10**6])
def test_a_micro_batch_holds_as_many_tokens_as_it_may_and_no_more(tokens: int, tmp_path: Path) -> None:
    params = knobs(train__batch_size=8, runtime__micro_batch_tokens=tokens, train__validation_examples=8)
    progress, task, runtime = started(params, tmp_path)
    seen: list[int] = []
    progress.model.embedding.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].numel()))
    train_step(progress, task, params.train, params.seed, runtime, lambda: False)
    validate(progress, task, params.train, runtime, lambda: False)
    assert sum(seen) == (8 + 8) * 12
    assert max(seen) <= tokens
    assert len(seen) == 2 * -(-8 // min(tokens // 12, 8))


# ---------------------------------------------------------------------------------------------- and the memory is saved


NOISE = DropoutState(seed=1, step=3, progress=0.25, rows=slice(0, 32), batch=32)


def trained(params: Params, objective: Objective, vocabulary: int = VOCABULARY) -> tuple[GPT, LanguageModelling, Batch]:
    """A network as it is trained, and 32 examples."""
    task = LanguageModelling(Path(), params.model, Shape(vocabulary), objective)
    model = task.build(torch.Generator().manual_seed(0))
    configure_blocks(model, params.runtime, torch.device("cpu"), params.train.steps)
    ids = torch.arange(32 * params.model.context_length).reshape(32, -1) % vocabulary
    return model, task, Batch(ids, ids.clone())


def in_precision(name: str) -> contextlib.AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if name == "bfloat16" else contextlib.nullcontext()


def held(precision: str = "float32", **changes: object) -> int:
    """Bytes that are alive between the forward and the backward pass of a deep network, its weights apart."""
    params = knobs(model__depth=6, model__width=64, model__context_length=32, model__init="fan_in", **changes)
    model, task, batch = trained(params, Objective())
    with Alive(apart=model) as alive, in_precision(precision):
        loss = task.loss(model, batch, NOISE)
        assert loss.total.requires_grad
        return alive.now


def test_a_block_that_is_recomputed_holds_little_and_one_that_keeps_its_products_less_than_all() -> None:
    all_of_it, products, inputs = (held(runtime__activation_checkpointing=name) for name in ("none", "selective", "block"))
    assert inputs < 0.2 * all_of_it
    assert inputs < products < 0.75 * all_of_it


def test_bfloat16_holds_more_than_half_of_what_float32_holds() -> None:
    assert 0.5 < held("bfloat16") / held() < 0.7


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ACTIVATION_CHECKPOINTING)
def test_recomputing_and_offloading_give_the_very_bits_of_the_gradient(name: str, precision: str) -> None:
    params = knobs(model__dropout=0.2, model__init="fan_in", runtime__activation_checkpointing=name)
    found = []
    for elsewhere in (False, True):
        plain = knobs(model__dropout=0.2, model__init="fan_in")
        for knobs_of in (plain, params):
            model, task, batch = trained(knobs_of, Objective())
            for block in model.blocks if elsewhere else ():
                block.forward = offload_activations(block.forward, block)
            with in_precision(precision):
                loss = task.loss(model, batch, NOISE)
            loss.total.backward()
            found.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    assert all(same(found[0], other) for other in found[1:])


def test_what_a_block_saves_is_copied_to_the_host_but_for_its_weights() -> None:
    model, task, batch = trained(knobs(model__init="fan_in"), Objective())
    with saved(apart=model.parameters()) as plain:
        task.loss(model, batch, NOISE)
    addresses: set[int] = set()
    for block in model.blocks:
        block.register_forward_pre_hook(lambda block, inputs: addresses.add(inputs[0].untyped_storage().data_ptr()))
        block.forward = offload_activations(block.forward, block)
    # A hook within a hook: what is packed by the blocks is not seen here, so what is left is outside of them.
    with saved(apart=model.parameters()) as outside, Alive(apart=model) as alive:
        task.loss(model, batch, NOISE)
    assert sum(outside.values()) < 0.3 * sum(plain.values())
    assert alive.peak > sum(plain.values())


# ------------------------------------------------------------------------------------- the loss of a large vocabulary


@pytest.mark.parametrize("added", [Objective(), Objective(0.1, 1e-3)])
def test_in_pieces_the_loss_of_a_large_vocabulary_never_holds_all_logits(added: Objective) -> None:
    vocabulary, params = 4096, knobs()
    logits = 32 * params.model.context_length * vocabulary * 4

    def peak(chunk: int) -> int:
        model, task, batch = trained(params, Objective(added.label_smoothing, added.z_loss, chunk), vocabulary)
        with Alive(apart=model) as alive:
            task.loss(model, batch, NOISE).minimized.backward()
        return alive.peak

    gradients = 2 * 2 * vocabulary * params.model.width * 4  # of embedding and head, while another is added to one
    assert peak(0) > 2 * logits
    assert peak(4) < 0.1 * logits + gradients


def test_pieces_outside_training_count_what_the_whole_counts() -> None:
    model, task, batch = trained(knobs(model__init="fan_in"), Objective())
    batch.targets[3:7, 2:] = IGNORED
    pieces = LanguageModelling(Path(), task.model, Shape(VOCABULARY), Objective(0.1, 1e-3, loss_chunk=5))
    with torch.inference_mode():
        one, other = task.loss(model, batch), pieces.loss(model, batch)
    assert other.objective is None
    assert (int(one.count), int(one.correct)) == (int(other.count), int(other.correct))
    torch.testing.assert_close(one.total, other.total, rtol=1e-6, atol=0)


def test_pieces_in_bfloat16_have_nearly_the_gradient_of_the_whole() -> None:
    slopes = []
    for chunk in (0, 5):
        model, task, batch = trained(knobs(model__init="fan_in"), Objective(loss_chunk=chunk))
        with in_precision("bfloat16"):
            loss: Loss = task.loss(model, batch, NOISE)
        found = torch.autograd.grad(loss.minimized, list(model.parameters()))
        slopes.append(torch.cat([slope.flatten() for slope in found]))
    assert slopes[1].dtype == torch.float32
    assert (slopes[1] - slopes[0]).norm() < 0.01 * slopes[0].norm()


# ------------------------------------------------------------------------------------- the loss of a step that is checked


def test_a_checked_loss_in_pieces_has_the_bits_of_the_whole_and_never_holds_all_logits_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = knobs(train__label_smoothing=0.1, train__z_loss=1e-3).train
    logits = torch.randn(2048, 512, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(2048) % 512
    targets[3:300] = IGNORED

    def measure(at_once: int) -> tuple[list[Tensor], int]:
        monkeypatch.setattr(plain_training, "CELLS", at_once)
        with Alive(apart=nn.Linear(1, 1)) as alive:
            found = [*plain_training.objective(logits, targets, train, (), 100), plain_training.cross_entropy(logits, targets)]
        return found, alive.peak

    (pieces, peak), (whole, before) = measure(logits.numel() // 50), measure(logits.numel())
    assert all(map(torch.equal, pieces, whole))
    assert before > 5 * logits.nbytes
    assert peak < 2.5 * logits.nbytes  # the logits, their slope, and what one piece needs
