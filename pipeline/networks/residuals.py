"""Residuals: how a block's branches (attention, feed-forward) meet the stream that runs past them.

An entry is called with the stream, and the norm and the layer of each branch in turn.
`final_norm` says whether the stream still wants a norm before the head; `branches_add_up` whether the branches' outputs add
up in it at full size from the start, so that an init may hold them small or at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]
Branch = tuple[nn.Module, Layer]


class Residual(nn.Module):
    """x + layer(norm(x)): the stream itself is never normed, so a clear path runs from end to end.

    Source: Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020 (pre-norm).
    """

    final_norm = True
    branches_add_up = True

    def __init__(self, branches: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "B T D"], branches: Iterable[Branch]) -> Float[Tensor, "B T D"]:
        for norm, layer in branches:
            x = x + layer(norm(x))
        return x


class PostNorm(Residual):
    """norm(x + layer(x)): the first Transformers; wants a warm-up.

    Source: Vaswani et al., "Attention Is All You Need", 2017.
    """

    final_norm = False

    def forward(self, x: Float[Tensor, "B T D"], branches: Iterable[Branch]) -> Float[Tensor, "B T D"]:
        for norm, layer in branches:
            x = norm(x + layer(x))
        return x


class ReZero(Residual):
    """x + a * layer(norm(x)) with a learned from 0: every block starts as the identity.

    Source: Bachlechner et al., "ReZero is All You Need: Fast Convergence at Large Depth", 2020.
    """

    branches_add_up = False  # the scales hold them at 0; a second zero behind them would have no gradient, nor would they

    def __init__(self, branches: int) -> None:
        super().__init__(branches)
        self.scale = nn.Parameter(torch.zeros(branches))

    def forward(self, x: Float[Tensor, "B T D"], branches: Iterable[Branch]) -> Float[Tensor, "B T D"]:
        for scale, (norm, layer) in zip(self.scale, branches, strict=True):
            x = x + scale * layer(norm(x))
        return x


class NoResidual(Residual):
    """layer(norm(x)), and no stream: a control that shows what the residual is for."""

    branches_add_up = False

    def forward(self, x: Float[Tensor, "B T D"], branches: Iterable[Branch]) -> Float[Tensor, "B T D"]:
        for norm, layer in branches:
            x = layer(norm(x))
        return x


RESIDUALS: dict[str, type[Residual]] = {
    "pre": Residual,
    "post": PostNorm,
    "rezero": ReZero,
    "none": NoResidual,
}
