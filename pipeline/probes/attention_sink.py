"""How much of its attention does each head leave at the first token?"""

from __future__ import annotations

import torch

from pipeline.probes.base import Subject
from pipeline.probes.passes import forward, head_names
from pipeline.readings import Axis, Reading, column


def attention_sink(subject: Subject) -> Reading:
    """The probability that a query gives to the first key, mean over the queries behind it that see it; 0 .. 1 a head.

    Healthy: anything; heads that rest at the first token are usual in trained models, and more so the longer they train. A
    head that looks at all alike has ln T / T or so (.04 of 128 tokens). Odd: over .9 in all heads of a layer, which then
    mixes nothing.

    Distrust: with `model.attention: window` only the first queries see that key at all.

    Source: Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023; Gu et al., "When Attention Sink
    Emerges in Language Models: An Empirical View", 2024.
    """
    values = []
    for look in forward(subject).looks:
        queries = look.visible()[:, 0].nonzero().flatten()[1:]
        parts = torch.cat([maps[:, :, queries, 0] for maps in look.maps()])
        values += parts.cpu().double().mean(dim=(0, 2)).tolist()
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
