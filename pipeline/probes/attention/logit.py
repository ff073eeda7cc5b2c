"""Attention logit: the largest attention score before the softmax."""

from __future__ import annotations

import torch

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.forward import AttentionInput
from pipeline.probes.passes.frames import per_head
from pipeline.readings import Reading


def attention_logit(trained: TrainedModel) -> Reading | None:
    """max |q · k · scale| over the pairs that a head sees in the fixed batch, before `attention_softcap` and before any bias.

    No such reading where nothing is compared (`model.attention: average`) or in a network without attention.

    Healthy: under 50. Broken: over 1,000, as at a learning rate that is far too high (15,607 without `model.qk_norm`, 20.5 with
    it); 52 still trained.

    Distrust: the largest of millions of scores is that of one pair; and with a softcap, the softmax never sees more than the
    cap.

    Source: Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters", 2023; Wortsman et al., "Small-scale proxies
    for large-scale Transformer training instabilities", 2023.
    """
    return per_head(
        trained,
        "attention_logit",
        _largest_score,
        quantity="largest |q · k · scale|",
        says="The largest attention score of each head (layer.head) before the softmax and any cap. Healthy: under 50; over"
        " 1,000 attention is all or nothing, and training is about to diverge.",
        logarithmic=True,
    )


def _largest_score(attention: AttentionInput) -> list[float]:
    parts = zip(attention.scores(), attention.visible(), strict=False)  # some attentions have no scores
    largest = [scores.abs().masked_fill_(~seen[:, None], 0).amax(dim=(0, 2, 3)) for scores, seen in parts]
    if not largest:
        return []
    values: list[float] = torch.stack(largest).amax(dim=0).tolist()
    return values
