"""The training objective equals torch's label smoothing and PaLM's z-loss; in chunks: test_memory_savings."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.tasks.base import IGNORED
from pipeline.tasks.objective import PLAIN, Objective

pytestmark = pytest.mark.shapes

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
    torch.testing.assert_close(ours.minimized, theirs, rtol=1e-12, atol=0)
    slopes = [torch.autograd.grad(value, logits)[0] for value in (ours.minimized, theirs)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-12, atol=1e-15)


def test_the_z_loss_is_the_square_of_the_logarithm_of_the_denominator() -> None:
    logits, targets = some()
    counted = targets != IGNORED
    expected = logits[counted].exp().sum(dim=1).log().square().sum()
    added = Objective(z_loss=0.5).loss(logits, targets, training=True)
    torch.testing.assert_close(added.minimized - added.total, 0.5 * expected, rtol=1e-12, atol=0)
    assert torch.autograd.grad(added.minimized, logits)[0][~counted].abs().max() == 0


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
