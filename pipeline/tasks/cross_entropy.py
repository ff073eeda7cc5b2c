"""The cross-entropy of many logits on a CPU, with its gradient: a few rows at a time, which stay in the cache."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.tasks.base import IGNORED

WIDE = 1000  # logits of a row from which it pays; smaller vocabularies keep the bytes of PyTorch's own
CELLS = 2**18  # logits at a time: 1 MB in float32, about what the cache of a core holds


def cross_entropy(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], *, with_gradient: bool = True) -> Float[Tensor, ""]:
    """The cross-entropy in nats, summed over the targets that count (not IGNORED); at least in float32.

    PyTorch's own goes through memory for each of: the copy in float32, log-softmax, its gradient and the gradient's copy,
    some five times the time at 2,048 logits a row (`python -m benchmarks.loss`).

    Args:
        with_gradient: False for PyTorch's own on a CPU, too.
    """
    ours = with_gradient and logits.device.type == "cpu" and logits.shape[-1] >= WIDE
    if not (ours and torch.is_grad_enabled() and logits.requires_grad):
        return F.cross_entropy(wide(logits), targets, reduction="sum", ignore_index=IGNORED)
    total: Tensor = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return total


def wide(logits: Tensor) -> Tensor:
    """In float32, or as they are in float64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradient, softmax − one-hot, in the forward pass, in the type of the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        gradient, total = torch.empty_like(logits), wide(logits.new_zeros(()))
        rows = max(1, CELLS // logits.shape[-1])
        for first in range(0, len(logits), rows):
            some = slice(first, first + rows)
            counted = (targets[some] != IGNORED)[:, None]
            target = targets[some].clamp(min=0)[:, None]
            part = logits[some].to(total.dtype, copy=True)
            part.sub_(part.amax(dim=-1, keepdim=True))
            likelihood = part.gather(1, target)
            sums = part.exp_().sum(dim=-1, keepdim=True)
            total += ((sums.log() - likelihood) * counted).sum()
            part.mul_(counted / sums).scatter_add_(1, target, -counted.to(part.dtype))
            gradient[some] = part
        ctx.save_for_backward(logits, targets, gradient)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        logits, targets, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: a second derivative is wanted, which the stored gradient does not have
            total = F.cross_entropy(wide(logits), targets, reduction="sum", ignore_index=IGNORED)
            (gradient,) = torch.autograd.grad(total, logits, create_graph=True)
        return gradient * slope.to(gradient.dtype), None
