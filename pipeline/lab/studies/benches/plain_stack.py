"""A plain stack of layers without norms: how its signal and its gradient grow or vanish with depth."""

from __future__ import annotations

import torch

from pipeline.networks.activations import ACTIVATIONS
from pipeline.params.errors import UserError


def signal_and_gradient(
    seed: int, layers: int, width: int, examples: int, gain: float, activation: str, residual: bool
) -> tuple[list[float], list[float]]:
    """(root mean square after each layer, norm of the gradient for each layer's weights) of one batch of normal numbers.

    In float64, which underflows late. The gradient is that of a random linear combination of the outputs.

    Raises:
        UserError: the activation needs more than one input.
    """
    if ACTIVATIONS[activation].inputs != 1:
        raise UserError(f"model.activation: {activation!r} is gated; use one with a single input, such as relu")
    function, generator = ACTIVATIONS[activation].function, torch.Generator().manual_seed(seed)
    matrices, rms = [], []
    x = torch.randn(examples, width, generator=generator, dtype=torch.float64)
    for _ in range(layers):
        matrix = torch.randn(width, width, generator=generator, dtype=torch.float64) * (gain / width) ** 0.5
        matrices.append(matrix.requires_grad_())
        x = function(x @ matrix.T) + (x if residual else 0)
        rms.append(float(x.detach().square().mean().sqrt()))
    (x * torch.randn(x.shape, generator=generator, dtype=torch.float64)).sum().backward()
    return rms, [float(matrix.grad.norm()) for matrix in matrices if matrix.grad is not None]
