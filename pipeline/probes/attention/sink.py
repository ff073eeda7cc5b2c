"""Attention sink: how much attention each head leaves on the first token."""

from __future__ import annotations

import torch

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.forward import AttentionInput
from pipeline.probes.passes.frames import per_head
from pipeline.readings import Reading


def attention_sink(trained: TrainedModel) -> Reading | None:
    """The probability of the first key, mean over the later queries that see it; 0 .. 1 per head.

    Healthy: anything; attention sinks are usual in trained models, and grow with training. A head that attends evenly has
    about ln T / T (.04 for 128 tokens). Odd: over .9 in all heads of a layer, which then mixes nothing.

    Where attention is bidirectional, the first place is one of many, and the sink may be elsewhere (the end of a text, a
    patch of background); with `model.pooling: first` the first place is the pooling token. No such reading of a network
    without attention.

    Distrust: with `model.attention: window` only the first queries see that key at all.

    Source: Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023; Gu et al., "When Attention Sink
    Emerges in Language Models: An Empirical View", 2024.
    """
    return per_head(
        trained,
        "attention_sink",
        _of_first_key,
        quantity="probability of the first key",
        says="How much attention each head (layer.head) leaves on the first token. Healthy: high in some heads, in more of them"
        " late in training; over 0.9 in all heads of a layer, the layer mixes nothing.",
        span=(0, 1),
    )


def _of_first_key(attention: AttentionInput) -> list[float]:
    parts = []
    for maps, seen in zip(attention.maps(), attention.visible(), strict=True):
        given = maps[:, :, 1:, 0].transpose(0, 1)  # [heads, examples, queries]
        parts.append(given[:, seen[:, 1:, 0].expand(given.shape[1:])])
    means: list[float] = torch.cat(parts, dim=1).cpu().double().mean(dim=1).tolist()
    return means
