"""What training follows: torch's own label smoothing, PaLM's z-loss, and the same in pieces that are freed one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import VOCABULARY, knobs, write_tokens
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.networks.dropout import Noise
from pipeline.networks.transformer import GPT
from pipeline.tasks.base import IGNORED, Batch, Loss
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import PLAIN, Objective, in_chunks

NOISE = Noise(seed=1, step=3, progress=0.25, rows=slice(0, 4), batch=4)
ADDED = {
    "plain": PLAIN,
    "smoothed": Objective(label_smoothing=0.1),
    "z-loss": Objective(z_loss=1e-2),
    "both": Objective(label_smoothing=0.3, z_loss=1e-3),
}


def some(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of twenty targets, of which every third does not count."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(20, 7, generator=generator, dtype=torch.float64) * 3
    targets = torch.randint(7, (20,), generator=generator)
    targets[::3] = IGNORED
    return logits.requires_grad_(), targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing_is_that_of_torch_in_value_and_gradient(smoothing: float) -> None:
    logits, targets = some()
    theirs = torch.nn.functional.cross_entropy(
        logits, targets, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing
    )
    ours = Objective(label_smoothing=smoothing).loss(logits, targets, training=True)
    torch.testing.assert_close(ours.followed, theirs, rtol=1e-12, atol=0)
    slopes = [torch.autograd.grad(value, logits)[0] for value in (ours.followed, theirs)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-12, atol=1e-15)


def test_the_z_loss_is_the_square_of_the_logarithm_of_the_denominator() -> None:
    logits, targets = some()
    counted = targets != IGNORED
    expected = logits[counted].exp().sum(dim=1).log().square().sum()
    added = Objective(z_loss=0.5).loss(logits, targets, training=True)
    torch.testing.assert_close(added.followed - added.total, 0.5 * expected, rtol=1e-12, atol=0)
    assert torch.autograd.grad(added.followed, logits)[0][~counted].abs().max() == 0


@pytest.mark.parametrize("name", ADDED)
def test_what_is_shown_is_the_plain_cross_entropy_and_outside_training_nothing_else_is_there(name: str) -> None:
    logits, targets = some()
    plain = PLAIN.loss(logits, targets, training=True)
    training, measuring = (ADDED[name].loss(logits, targets, training=training) for training in (True, False))
    assert training.total.tolist() == measuring.total.tolist() == plain.total.tolist()
    assert measuring.objective is None
    assert (training.objective is None) == (name == "plain")
    assert training.correct is None
    assert int(measuring.correct) == int((logits.argmax(1) == targets).sum())
    assert int(training.count) == int(measuring.count) == 13


def lost(objective: Objective, folder: Path, noise: Noise | None = NOISE, tied: bool = False) -> tuple[Loss, list[Tensor]]:
    """A loss in float64 over a batch with padding, and its gradient for every weight."""
    params = knobs(model__tied=tied, model__init="fan_in", model__dropout=0.1, model__bias=True)
    task = LanguageModelling(write_tokens(folder), params.model, VOCABULARY, objective)
    model = task.build(torch.Generator().manual_seed(0)).double()
    batch = task.batch("train", torch.arange(4).numpy() * 7)
    batch.targets[1, 3:] = IGNORED
    loss = task.loss(model, batch, noise)
    return loss, list(torch.autograd.grad(loss.followed / 7, list(model.parameters()))) if noise else []


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("chunk", [1, 5, 16, 1000])
@pytest.mark.parametrize("name", ADDED)
def test_pieces_have_the_loss_and_the_gradient_of_the_whole(name: str, chunk: int, tied: bool, tmp_path: Path) -> None:
    added = ADDED[name]
    whole, slopes = lost(added, tmp_path, tied=tied)
    pieces, found = lost(Objective(added.label_smoothing, added.z_loss, chunk), tmp_path, tied=tied)
    for one, other in ((pieces.total, whole.total), (pieces.followed, whole.followed), (pieces.count, whole.count)):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-12, atol=0)
    assert pieces.correct is None
    error = sum(float((one - other).square().sum()) for one, other in zip(found, slopes, strict=True)) ** 0.5
    assert error < 1e-12 * sum(float(slope.square().sum()) for slope in slopes) ** 0.5


def test_pieces_count_outside_training_what_the_whole_counts(tmp_path: Path) -> None:
    (whole, _), (pieces, _) = (lost(Objective(loss_chunk=chunk), tmp_path, noise=None) for chunk in (0, 5))
    assert int(pieces.correct) == int(whole.correct)
    torch.testing.assert_close(pieces.total.detach(), whole.total.detach(), rtol=1e-12, atol=0)


def test_pieces_of_a_precision_below_the_weights_have_nearly_the_gradient_of_the_whole() -> None:
    model = GPT(knobs(model__init="fan_in").model, VOCABULARY, torch.Generator().manual_seed(0))
    ids = torch.arange(48).reshape(4, 12) % VOCABULARY
    targets = (ids.flatten() + 1) % VOCABULARY

    def piece(features: Tensor, rows: slice) -> Loss:
        return PLAIN.loss(model.logits(features), targets[rows], training=True)

    slopes = []
    for size in (48, 5):
        with torch.autocast("cpu", torch.bfloat16):
            loss = in_chunks(piece, model.features(ids).flatten(0, 1), size, model)
        slopes.append(torch.cat([slope.flatten() for slope in torch.autograd.grad(loss.followed, list(model.parameters()))]))
    assert slopes[0].dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(slopes[0], slopes[1], dim=0) > 0.9999


class Largest(TorchDispatchMode):
    """Remembers the most elements that any tensor had that was made while it looked."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.numel())
        return made


@pytest.mark.parametrize("name", ADDED)
def test_in_pieces_no_tensor_as_large_as_all_logits_ever_exists(name: str) -> None:
    params, vocabulary, added = knobs(), 4096, ADDED[name]
    targets = torch.arange(48)

    def largest(chunk: int) -> int:
        task = LanguageModelling(Path(), params.model, vocabulary, Objective(added.label_smoothing, added.z_loss, chunk))
        model = task.build(torch.Generator().manual_seed(0))
        with Largest() as seen:
            task.loss(model, Batch(targets.reshape(4, 12), targets.reshape(4, 12)), NOISE).followed.backward()
        return seen.elements

    assert largest(0) == 48 * vocabulary
    assert largest(8) == 16 * vocabulary  # the head's weights: the logits of a piece are half as many
