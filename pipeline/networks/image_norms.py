"""Normalization over more than one position, for image networks, which are not causal: GroupNorm and BatchNorm.

An entry is built with (width, bias) and maps features [B, T, D] to features of the same shape.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.networks.dropout import DropoutState
from pipeline.networks.norms import EPSILON

MOMENTUM = 0.1  # share of a batch in the running mean and variance, as in torch
GROUPS = 8  # of features; fewer if the width is not divisible


class GroupNorm(nn.Module):
    """Mean 0 and variance 1 over a group of features at all positions of an example, then a weight and bias per feature.

    Source: Wu and He, "Group Normalization", 2018.
    """

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.groups = math.gcd(GROUPS, width)
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return F.group_norm(x.mT, self.groups, self.weight, self.bias, EPSILON).mT


class BatchNorm(nn.Module):
    """Mean 0 and variance 1 per feature over all positions of a batch, then a weight and bias per feature.

    In evaluation mode with running statistics, which are parameters without gradients, so that they are saved with the
    weights.

    Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift", 2015.
    """

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.mean = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.variance = nn.Parameter(torch.ones(width), requires_grad=False)

    def forward(self, x: Float[Tensor, "B T D"], dropout_state: DropoutState | None = None) -> Float[Tensor, "B T D"]:
        training = dropout_state is not None
        return F.batch_norm(x.mT, self.mean, self.variance, self.weight, self.bias, training, MOMENTUM, EPSILON).mT


def with_state(norm: nn.Module, dropout_state: DropoutState | None) -> Callable[[Tensor], Tensor]:
    """The norm in training mode or evaluation mode; only BatchNorm differs between them."""
    return functools.partial(norm, dropout_state=dropout_state) if isinstance(norm, BatchNorm) else norm


IMAGE_NORMS: dict[str, Callable[[int, bool], nn.Module]] = {
    "batch": BatchNorm,
    "group": GroupNorm,
}
