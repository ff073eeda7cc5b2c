"""Attention entropy: how widely each head spreads its attention."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.forward import AttentionInput
from pipeline.probes.passes.frames import per_head
from pipeline.readings import Reading


def attention_entropy(trained: TrainedModel) -> Reading | None:
    """-Σ p ln p / ln n over the n keys that a query sees besides the first, mean over queries; 0 .. 1 per head.

    The first key is left out and the other probabilities are normalized again: a head may put what it does not use on the
    first token (`attention_sink`), and how it attends to the rest is another matter. Queries that see fewer than two other
    keys have no choice and are left out; n is t + 1 for query t of the rest, and the number of tokens without padding where
    attention is bidirectional. No such reading of a network without attention.

    Healthy: .2 to 1. Broken: under .1 in all heads of a layer, where softmax has collapsed onto single keys and passes no
    gradient.

    Distrust: a single head may rightly be sharp (a previous-token head has 0). For a head that puts nearly all on the first
    key this is the entropy of a remainder.

    Source: Zhai et al., "Stabilizing Transformer Training by Preventing Attention Entropy Collapse", 2023.
    """
    return per_head(
        trained,
        "attention_entropy",
        _mean_entropy,
        quantity="entropy / largest possible entropy",
        says="How widely each head (layer.head) attends beyond the first token: 1 is evenly, 0 is to a single token. Healthy:"
        " 0.2 to 1; under 0.1 in all heads of a layer, attention has collapsed.",
        span=(0, 1),
    )


def _mean_entropy(attention: AttentionInput) -> list[float]:
    rows = [normalised(maps, seen).cpu() for maps, seen in zip(attention.maps(), attention.visible(), strict=True)]
    means: list[float] = torch.cat(rows).double().nanmean(dim=(0, 2)).tolist()
    return means


def normalised(maps: Float[Tensor, "B H T S"], seen: Bool[Tensor, "_ T S"]) -> Float[Tensor, "B H T"]:
    """The entropy of each query's row beyond the first key / the largest possible; nan where there is no choice."""
    choices = seen[:, None, :, 1:].sum(dim=-1)
    others = maps[..., 1:]
    shares = others / others.sum(dim=-1, keepdim=True)
    found = torch.special.entr(shares).sum(dim=-1) / choices.log()
    return found.masked_fill(choices < 2, torch.nan)
