"""Activation functions of the feed-forward layer.

An entry maps the `inputs * hidden` outputs of the first matrix to `hidden` inputs of the second.
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
    """An activation function, and how many of its inputs make one output (2 for gated ones)."""

    function: Callable[[Float[Tensor, "... F"]], Float[Tensor, "... G"]]
    inputs: int = 1


class _SquaredRelu(torch.autograd.Function):
    """relu(x)² with a backward of two kernels: that of autograd, through relu and pow, takes three times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        positive = F.relu(x)
        return positive.mul_(positive)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        # From the saved input and out of place, so that it can be differentiated again.
        return torch.addcmul(x.new_zeros(()), F.relu(x), gradient, value=2)


def relu2(x: Float[Tensor, "... F"]) -> Float[Tensor, "... F"]:
    """relu(x)²: sparse like relu, with a continuous derivative, and cheaper than gelu.

    Source: So et al., "Primer: Searching for Efficient Transformers for Language Modeling", 2021.
    """
    return cast(Tensor, _SquaredRelu.apply(x))  # type: ignore[no-untyped-call]


def gelu_tanh(x: Float[Tensor, "... F"]) -> Float[Tensor, "... F"]:
    """gelu with tanh in place of erf, an error of at most 0.0005: the activation of GPT-2.

    Source: Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016.
    """
    return F.gelu(x, approximate="tanh")


def identity(x: Float[Tensor, "... F"]) -> Float[Tensor, "... F"]:
    """x: the two matrices are then one linear map; a control that shows what an activation is worth."""
    return x


def snake(x: Float[Tensor, "... F"]) -> Float[Tensor, "... F"]:
    """x + sin²(x): periodic plus linear, so that periodic functions can be extrapolated.

    Source: Ziyin et al., "Neural Networks Fail to Learn Periodic Functions and How to Fix It", 2020 (with a = 1).
    """
    return x + x.sin().square()


def swiglu(x: Float[Tensor, "... F"]) -> Float[Tensor, "... G"]:
    """silu(gate) * value, the two halves of the features.

    Source: Shazeer, "GLU Variants Improve Transformer", 2020.
    """
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


def geglu(x: Float[Tensor, "... F"]) -> Float[Tensor, "... G"]:
    """gelu(gate) * value, the two halves of the features.

    Source: Shazeer, "GLU Variants Improve Transformer", 2020.
    """
    gate, value = x.chunk(2, dim=-1)
    return F.gelu(gate) * value


def reglu(x: Float[Tensor, "... F"]) -> Float[Tensor, "... G"]:
    """relu(gate) * value, the two halves of the features: sparse, and the cheapest of the gated ones.

    Source: Shazeer, "GLU Variants Improve Transformer", 2020.
    """
    gate, value = x.chunk(2, dim=-1)
    return F.relu(gate) * value


ACTIVATIONS: dict[str, Activation] = {
    "gelu": Activation(F.gelu),  # Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016 (exact, by erf)
    "gelu_tanh": Activation(gelu_tanh),
    "relu": Activation(F.relu),  # Nair & Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010
    "relu2": Activation(relu2),
    "silu": Activation(F.silu),  # Elfwing et al., "Sigmoid-Weighted Linear Units", 2017
    "mish": Activation(F.mish),  # Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", 2019
    "tanh": Activation(F.tanh),  # LeCun et al., "Efficient BackProp", 1998
    "sigmoid": Activation(F.sigmoid),  # Rumelhart et al., "Learning representations by back-propagating errors", 1986
    "snake": Activation(snake),
    "identity": Activation(identity),
    "swiglu": Activation(swiglu, inputs=2),
    "geglu": Activation(geglu, inputs=2),
    "reglu": Activation(reglu, inputs=2),
}
