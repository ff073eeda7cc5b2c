"""How large do the scores become that attention compares?"""

from __future__ import annotations

import torch

from pipeline.inference.trained import Subject
from pipeline.probes.passes.forward_backward import forward, head_names
from pipeline.readings import Axis, Reading, column


def attention_logit(subject: Subject) -> Reading | None:
    """max |q · k · scale| over the pairs that a head sees in the fixed batch, before `attention_softcap` and before any bias.

    No such reading where nothing is compared (`model.attention: average`) or nothing attends.

    Healthy: under 50. Broken: over 1,000, as at a learning rate that is far too high (15,607 without `model.qk_norm`, 20.5 with
    it); 52 still trained.

    Distrust: the largest of millions is one pair's; and where a cap bends the scores, what softmax sees is never above it.

    Source: Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters", 2023; Wortsman et al., "Small-scale proxies
    for large-scale Transformer training instabilities", 2023.
    """
    values = list[float]()
    for look in forward(subject).looks:
        seen = zip(look.scores(), look.visible(), strict=False)  # nobody scores where nothing is compared
        parts = [scores.abs().masked_fill_(~keys[:, None], 0).amax(dim=(0, 2, 3)) for scores, keys in seen]
        if parts:
            values += torch.stack(parts).amax(dim=0).tolist()
    if not values:
        return None
    return column(
        "attention_logit",
        Axis("head", head_names(subject)),
        values,
        subject.step,
        quantity="largest |q · k · scale|",
        says="The largest score with which a query answers a key, by head (layer.head), before any cap. Healthy: under 50; over"
        " 1,000 attention is all or nothing, and the training is about to break.",
        logarithmic=True,
        about="attention",
    )
