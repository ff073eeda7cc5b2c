"""Normalization layers: LayerNorm, RMSNorm, dynamic tanh, none.

An entry is built with (width, bias) and maps features [..., D] to features of the same shape, each position separately.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-5  # added to the variance, as in GPT-2 and torch's LayerNorm


class LayerNorm(nn.Module):
    """Mean 0 and variance 1 over the features, then a learned weight (and bias) per feature.

    Source: Ba et al., "Layer Normalization", 2016.
    """

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, EPSILON)


class PlainLayerNorm(nn.Module):
    """LayerNorm without weight and bias: the only norm that is a single kernel in eager mode."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.layer_norm(x, (self.width,), eps=EPSILON)


class RMSNorm(nn.Module):
    """Root mean square 1 over the features, then a learned weight per feature.

    Source: Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019.
    """

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.rms_norm(x, self.weight.shape, self.weight, EPSILON)


class DynamicTanh(nn.Module):
    """tanh(scale * x) with a learned scale, in place of a norm: bounds each feature without statistics over others.

    Source: Zhu et al., "Transformers without Normalization", 2025.
    """

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.5))  # the paper's initial value
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        squashed = (self.scale * x).tanh() * self.weight
        return squashed if self.bias is None else squashed + self.bias


class NoNorm(nn.Module):
    """The identity: a control, which needs care to train."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return x


NORMS: dict[str, Callable[[int, bool], nn.Module]] = {
    "layer": LayerNorm,
    "layer_plain": PlainLayerNorm,
    "rms": RMSNorm,
    "dyt": DynamicTanh,
    "none": NoNorm,
}
