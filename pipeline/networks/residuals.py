"""Residual connections: how a block combines its branches (attention, feed-forward) with the residual stream.

An entry is called with the stream, the block's norms (as many as its `norms` says) and its branches. `final_norm`: whether
the stream needs a norm before the head. `branches_add_up`: whether branch outputs are added to the stream at full size from
the start, so that an init may scale them down or start them at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.params.model import Model

BRANCHES = 2  # of a block: attention, feed-forward


class Branch(NamedTuple):
    """A layer, and the dropout of its output before it is added to the stream."""

    layer: Callable[[Tensor], Tensor]
    dropout: Callable[[Tensor], Tensor]


class Residual(nn.Module):
    """x + layer(norm(x)): the stream itself is not normalized, so that gradients pass from the last block to the first.

    Source: Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020 (pre-norm).
    """

    norms = BRANCHES
    final_norm = True
    branches_add_up = True

    def __init__(self, model: Model) -> None:
        super().__init__()

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        for norm, branch in zip(norms, branches, strict=True):
            x = x + branch.dropout(branch.layer(norm(x)))
        return x


class PostNorm(Residual):
    """norm(x + layer(x)): the original Transformer; needs warmup.

    Source: Vaswani et al., "Attention Is All You Need", 2017.
    """

    final_norm = False

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        for norm, branch in zip(norms, branches, strict=True):
            x = norm(x + branch.dropout(branch.layer(x)))
        return x


class Sandwich(Residual):
    """x + norm(layer(norm(x))): branch outputs are normalized too, so that no layer can dominate the stream.

    Source: Ding et al., "CogView: Mastering Text-to-Image Generation via Transformers", 2021.
    """

    norms = 2 * BRANCHES
    branches_add_up = False  # the norm after a small output would make it large again

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        pairs = iter(norms)
        for before, after, branch in zip(pairs, pairs, branches, strict=True):
            x = x + branch.dropout(after(branch.layer(before(x))))
        return x


class Parallel(Residual):
    """x + attention(norm(x)) + feed_forward(norm(x)): in parallel, which saves a norm and lets both be computed at once.

    Source: Wang & Komatsuzaki, "GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model", 2021.
    """

    norms = 1

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        (norm,) = norms
        normed = norm(x)
        for branch in branches:
            x = x + branch.dropout(branch.layer(normed))
        return x


class ParallelNorms(Residual):
    """x + attention(norm(x)) + feed_forward(other_norm(x)): in parallel, each branch with a norm of its own.

    Source: Black et al., "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022.
    """

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        given = x
        for norm, branch in zip(norms, branches, strict=True):
            x = x + branch.dropout(branch.layer(norm(given)))
        return x


class DepthScaled(Residual):
    """x + layer(norm(x)) / sqrt(number of branches): the sum of all branches is as large as the stream at any depth.

    Source: Yang et al., "Tensor Programs VI: Feature Learning in Infinite-Depth Neural Networks", 2023.
    """

    branches_add_up = False  # they are scaled down here already

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.share = 1 / math.sqrt(BRANCHES * model.depth)

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        for norm, branch in zip(norms, branches, strict=True):
            x = torch.add(x, branch.dropout(branch.layer(norm(x))), alpha=self.share)
        return x


class ReZero(Residual):
    """x + a * layer(norm(x)) with a learned scalar a, initially 0: every block starts as the identity.

    Source: Bachlechner et al., "ReZero is All You Need: Fast Convergence at Large Depth", 2020.
    """

    branches_add_up = False  # the scales are 0 already; with a second zero neither would have a gradient

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.scale = nn.Parameter(torch.zeros(BRANCHES))

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        for scale, norm, branch in zip(self.scale, norms, branches, strict=True):
            x = x + scale * branch.dropout(branch.layer(norm(x)))
        return x


class LayerScale(Residual):
    """x + g * layer(norm(x)) with a learned gain g per feature, initially 0.1.

    Source: Touvron et al., "Going deeper with Image Transformers", 2021 (0.1 is its initial value for up to 18 blocks).
    """

    branches_add_up = False  # they are scaled down here already

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.gains = nn.ParameterList(torch.full((model.width,), 0.1) for _ in range(BRANCHES))

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        for gain, norm, branch in zip(self.gains, norms, branches, strict=True):
            x = torch.addcmul(x, branch.dropout(branch.layer(norm(x))), gain)
        return x


class NoResidual(Residual):
    """layer(norm(x)) without a residual connection: a control."""

    branches_add_up = False

    def forward(
        self, x: Float[Tensor, "B T D"], norms: Iterable[Callable[[Tensor], Tensor]], branches: Iterable[Branch]
    ) -> Float[Tensor, "B T D"]:
        for norm, branch in zip(norms, branches, strict=True):
            x = branch.dropout(branch.layer(norm(x)))
        return x


RESIDUALS: dict[str, type[Residual]] = {
    "pre": Residual,
    "post": PostNorm,
    "sandwich": Sandwich,
    "parallel": Parallel,
    "parallel_norms": ParallelNorms,
    "rezero": ReZero,
    "layerscale": LayerScale,
    "depth_scaled": DepthScaled,
    "none": NoResidual,
}
