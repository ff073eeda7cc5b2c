"""How widely does each head look?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import forward, head_names
from pipeline.readings import Axis, Reading, column


def attention_entropy(subject: Subject) -> Reading | None:
    """-Σ p ln p / ln n of what a query gives to the n keys that it sees beside the first, mean over queries; 0 .. 1 a head.

    The first key is left out, and the others' shares are made to sum to 1 again: a head may put what it does not want to give
    at the first token (`attention_sink`), and how it looks at the rest is another matter. Queries that see fewer than two
    other keys have no choice, and are left out; n is t + 1 for the query t of these, and what is not padding where a head looks
    to both sides. No such reading where nothing attends.

    Healthy: .2 to 1. Broken: under .1 in all heads of a layer, where softmax has collapsed onto single keys and passes no
    gradient.

    Distrust: a head of its own may rightly be sharp (one that looks at the previous token has 0). Of a head that gives
    nearly all to the first key this is the entropy of a remainder.

    Source: Zhai et al., "Stabilizing Transformer Training by Preventing Attention Entropy Collapse", 2023.
    """
    values = list[float]()
    for look in forward(subject).looks:
        rows = torch.cat([normalised(maps, seen).cpu() for maps, seen in zip(look.maps(), look.visible(), strict=True)])
        values += rows.double().nanmean(dim=(0, 2)).tolist()
    if not values:
        return None
    return column(
        "attention_entropy",
        Axis("head", head_names(subject)),
        values,
        subject.step,
        quantity="entropy, as a share of the largest",
        says="How widely each head (layer.head) looks beyond the first token: 1 is at all alike, 0 at one. Healthy: 0.2 to 1;"
        " under 0.1 in all heads of a layer is attention that has collapsed.",
        about="attention",
        span=(0, 1),
    )


def normalised(maps: Float[Tensor, "B H T S"], seen: Bool[Tensor, "_ T S"]) -> Float[Tensor, "B H T"]:
    """The entropy of each query's row beyond the first key, as a share of the largest; no number where there is no choice."""
    choices = seen[:, None, :, 1:].sum(dim=-1)
    others = maps[..., 1:]
    shares = others / others.sum(dim=-1, keepdim=True)
    found = torch.special.entr(shares).sum(dim=-1) / choices.log()
    return found.masked_fill(choices < 2, torch.nan)
