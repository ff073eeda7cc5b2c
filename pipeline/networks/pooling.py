"""Pooling: from features of all positions to one vector per example.

An entry is built with the knobs and maps features [B, T, D] and an attention mask [B, T] (True where a position is not
padding) to [B, D]. Padding is at the end, and every example has at least one position that is not padding.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.params.model import Model


class Pooling(nn.Module):
    """The mean over all positions."""

    def __init__(self, model: Model) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "B T D"], attention_mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        mask = attention_mask.unsqueeze(-1).to(x.dtype)
        return (x * mask).sum(dim=1) / mask.sum(dim=1)


class FirstPooling(Pooling):
    """A class token: a learned vector before all others, whose output is read.

    Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.start = nn.Parameter(torch.zeros(1, model.width))  # initialized like an embedding

    def forward(self, x: Float[Tensor, "B T D"], attention_mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        return x[:, 0]


class LastPooling(Pooling):
    """The last position that is not padding, which in a causal model has seen all others.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018.
    """

    def forward(self, x: Float[Tensor, "B T D"], attention_mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        return x[torch.arange(len(x), device=x.device), attention_mask.sum(dim=1) - 1]


class AttentionPooling(Pooling):
    """A mean weighted by softmax(x · query / sqrt(D)) with one learned query; initially the plain mean.

    Source: Yang et al., "Hierarchical Attention Networks for Document Classification", 2016 (without its hidden layer).
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.query = nn.Parameter(torch.zeros(model.width))

    def forward(self, x: Float[Tensor, "B T D"], attention_mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        scores = (x @ self.query.to(x.dtype)) * x.shape[-1] ** -0.5
        weights = scores.masked_fill(~attention_mask, -torch.inf).softmax(dim=-1)
        return (weights.unsqueeze(1) @ x).squeeze(1)


POOLINGS: dict[str, type[Pooling]] = {
    "first": FirstPooling,
    "mean": Pooling,
    "last": LastPooling,
    "attention": AttentionPooling,
}
