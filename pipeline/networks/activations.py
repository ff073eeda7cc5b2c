"""Activations: what makes the feed-forward part more than one matrix.

An entry turns the `inputs * hidden` features that the first matrix gives into `hidden` features for the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """A function of the hidden features, and how many of its inputs make one output (2 for the gated ones)."""

    function: Callable[[Float[Tensor, "... F"]], Float[Tensor, "... G"]]
    inputs: int = 1


class _SquaredRelu(torch.autograd.Function):
    """relu(x)² with a backward of two kernels: autograd's own, through relu and pow, takes three times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        positive = F.relu(x)
        return positive.mul_(positive)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        # Of the saved input and out of place, so that it can be differentiated again.
        return torch.addcmul(x.new_zeros(()), F.relu(x), gradient, value=2)


def relu2(x: Float[Tensor, "... F"]) -> Float[Tensor, "... F"]:
    """The square of relu: sparse as relu, smooth at 0, and cheap where gelu needs an erf.

    Source: So et al., "Primer: Searching for Efficient Transformers for Language Modeling", 2021.
    """
    return cast(Tensor, _SquaredRelu.apply(x))  # type: ignore[no-untyped-call]


def swiglu(x: Float[Tensor, "... F"]) -> Float[Tensor, "... G"]:
    """silu of one half of the features times the other half.

    Source: Shazeer, "GLU Variants Improve Transformer", 2020.
    """
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


ACTIVATIONS: dict[str, Activation] = {
    "gelu": Activation(F.gelu),  # Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016 (exact, by erf)
    "relu": Activation(F.relu),
    "relu2": Activation(relu2),
    "silu": Activation(F.silu),  # Elfwing et al., "Sigmoid-Weighted Linear Units", 2017
    "tanh": Activation(F.tanh),
    "swiglu": Activation(swiglu, inputs=2),
}
