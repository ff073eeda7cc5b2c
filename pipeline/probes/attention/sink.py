"""How much of its attention does each head leave at the first token?"""

from __future__ import annotations

import torch

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import forward, head_names
from pipeline.readings import Axis, Reading, column


def attention_sink(subject: Subject) -> Reading | None:
    """The probability that a query gives to the first key, mean over the queries behind it that see it; 0 .. 1 a head.

    Healthy: anything; heads that rest at the first token are usual in trained models, and more so the longer they train. A
    head that looks at all alike has ln T / T or so (.04 of 128 tokens). Odd: over .9 in all heads of a layer, which then
    mixes nothing.

    Where heads look to both sides, the first place is one of many, and a head may rest at another (the end of a text, a
    patch of background); with `model.pooling: first` it is the place of the pooling. No such reading where nothing attends.

    Distrust: with `model.attention: window` only the first queries see that key at all.

    Source: Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023; Gu et al., "When Attention Sink
    Emerges in Language Models: An Empirical View", 2024.
    """
    values = list[float]()
    for look in forward(subject).looks:
        parts = []
        for maps, seen in zip(look.maps(), look.visible(), strict=True):
            given = maps[:, :, 1:, 0].transpose(0, 1)  # [heads, examples, queries]
            parts.append(given[:, seen[:, 1:, 0].expand(given.shape[1:])])
        values += torch.cat(parts, dim=1).cpu().double().mean(dim=1).tolist()
    if not values:
        return None
    return column(
        "attention_sink",
        Axis("head", head_names(subject)),
        values,
        subject.step,
        quantity="probability of the first key",
        says="How much of its attention each head (layer.head) leaves at the first token. Healthy: some heads rest there, late"
        " in training more of them; over 0.9 in all heads of a layer, that layer mixes nothing.",
        about="attention",
        span=(0, 1),
    )
