"""A plain stack of layers, with nothing that would hold its signal up: what norms and residuals are there for."""

from __future__ import annotations

import torch

from pipeline.networks.activations import ACTIVATIONS
from pipeline.params.errors import UserError


def signal_and_gradient(
    seed: int, layers: int, width: int, examples: int, gain: float, activation: str, residual: bool
) -> tuple[list[float], list[float]]:
    """(root mean square after each layer, norm of the gradient by each layer's weights) of one batch of normal numbers.

    In float64, which underflows only where nothing has been left for long; the gradient is that of a random sum of outputs.

    Raises:
        UserError: the activation wants more than one input.
    """
    if ACTIVATIONS[activation].inputs != 1:
        raise UserError(f"model.activation: {activation!r} is gated; a plain layer goes with one of a single input")
    bend, generator = ACTIVATIONS[activation].function, torch.Generator().manual_seed(seed)
    matrices, sizes = [], []
    x = torch.randn(examples, width, generator=generator, dtype=torch.float64)
    for _ in range(layers):
        matrix = torch.randn(width, width, generator=generator, dtype=torch.float64) * (gain / width) ** 0.5
        matrices.append(matrix.requires_grad_())
        x = bend(x @ matrix.T) + (x if residual else 0)
        sizes.append(float(x.detach().square().mean().sqrt()))
    (x * torch.randn(x.shape, generator=generator, dtype=torch.float64)).sum().backward()
    return sizes, [float(matrix.grad.norm()) for matrix in matrices if matrix.grad is not None]
