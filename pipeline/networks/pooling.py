"""Pooling: how the features of all positions become those of the whole.

An entry is built with the knobs and maps features [B, T, D] to [B, D]; what is padding has no part in them. Padding stands
behind what is real, and something real there always is.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.params.model import Model


class Pooling(nn.Module):
    """The mean of all positions: none is left out, none says more than another."""

    def __init__(self, model: Model) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        counted = real.unsqueeze(-1).to(x.dtype)
        return (x * counted).sum(dim=1) / counted.sum(dim=1)


class FirstPooling(Pooling):
    """A learned vector that stands before all others, and gathers from them what the class hangs on.

    Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.start = nn.Parameter(torch.zeros(1, model.width))  # drawn like any embedding

    def forward(self, x: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        return x[:, 0]


class LastPooling(Pooling):
    """The last position that is no padding: where a causal model has read everything.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018.
    """

    def forward(self, x: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        return x[torch.arange(len(x), device=x.device), real.sum(dim=1) - 1]


class AttentionPooling(Pooling):
    """A mean whose weights are how well each position answers one learned query, which begins as the plain mean.

    Source: Yang et al., "Hierarchical Attention Networks for Document Classification", 2016 (without its hidden layer).
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.query = nn.Parameter(torch.zeros(model.width))

    def forward(self, x: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        scores = (x @ self.query.to(x.dtype)) * x.shape[-1] ** -0.5
        weights = scores.masked_fill(~real, -torch.inf).softmax(dim=-1)
        return (weights.unsqueeze(1) @ x).squeeze(1)


POOLINGS: dict[str, type[Pooling]] = {
    "first": FirstPooling,
    "mean": Pooling,
    "last": LastPooling,
    "attention": AttentionPooling,
}
