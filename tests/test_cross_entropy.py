"""The cross-entropy that computes its gradient a few rows at a time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from torch import Tensor

from pipeline.tasks import cross_entropy as ours
from pipeline.tasks.base import IGNORED

ROUNDING = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 8e-3}  # bfloat16: of the stored gradient


def example(dtype: torch.dtype, vocabulary: int = ours.WIDE, rows: int = 700) -> tuple[Tensor, Tensor]:
    """Logits with a wide range, and targets of which some do not count."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, vocabulary, (rows,), generator=generator)
    targets[::7] = IGNORED
    return (10 * torch.randn(rows, vocabulary, generator=generator)).to(dtype).requires_grad_(), targets


def of_torch(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(ours.wide(logits), targets, reduction="sum", ignore_index=IGNORED)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_loss_and_gradient_are_those_of_torch_up_to_rounding(dtype: torch.dtype) -> None:
    logits, targets = example(dtype)
    found, wanted = ours.cross_entropy(logits, targets), of_torch(logits, targets)
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    slopes = [torch.autograd.grad(3.0 * loss, logits)[0] for loss in (found, wanted)]
    assert slopes[0].dtype == dtype
    torch.testing.assert_close(*slopes, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])
    assert not slopes[0][targets == IGNORED].any()


def test_the_rows_at_a_time_change_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = example(torch.float32)
    slopes = []
    for cells in (1, 10 * ours.WIDE, 2**30):
        monkeypatch.setattr(ours, "CELLS", cells)
        slopes.append(torch.autograd.grad(ours.cross_entropy(logits, targets), logits)[0])
    assert torch.equal(slopes[0], slopes[1])
    assert torch.equal(slopes[0], slopes[2])


def test_the_second_derivative_is_right_and_not_that_of_a_constant() -> None:
    logits, targets = example(torch.float64, rows=3)
    assert torch.autograd.gradcheck(lambda z: ours.cross_entropy(z, targets), (logits,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: ours.cross_entropy(z, targets), (logits,), fast_mode=True)


@pytest.mark.parametrize(("vocabulary", "with_gradient"), [(ours.WIDE - 1, True), (ours.WIDE, False)])
def test_small_vocabularies_and_held_out_losses_keep_the_bytes_of_torch(vocabulary: int, with_gradient: bool) -> None:
    logits, targets = example(torch.float32, vocabulary)
    with torch.set_grad_enabled(with_gradient):
        found, wanted = ours.cross_entropy(logits, targets), of_torch(logits, targets)
        assert torch.equal(found, wanted)
    if with_gradient:
        assert torch.equal(torch.autograd.grad(found, logits)[0], torch.autograd.grad(wanted, logits)[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(bad: float) -> None:
    logits, targets = example(torch.float32)
    with torch.no_grad():
        logits[1, 5] = bad
    assert not torch.isfinite(ours.cross_entropy(logits, targets))
