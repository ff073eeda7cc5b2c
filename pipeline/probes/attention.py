"""What does each head look at?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.networks.attention import Attention
from pipeline.networks.transformer import AttentionBlock
from pipeline.probes.base import Subject
from pipeline.readings import Axis, Reading, finite

STAND_IN = 24  # tokens that stand in for a toy text of which the tokenizer knows nothing


def attention_maps(subject: Subject) -> Reading:
    """The attention probabilities of every head on the toy text, [layer, head, query, key]; each row sums to 1.

    Healthy: heads that differ. A head that puts all on the first token rests (a sink); all rows alike in every head means
    that content is not looked at.

    Distrust: it is one toy text, and where a head looks is not yet what it does with that.

    Source: Vaswani et al., "Attention Is All You Need", 2017; Xiao et al., "Efficient Streaming Language Models with
    Attention Sinks", 2023.
    """
    ids = toy_ids(subject)
    maps = _maps(subject, ids)
    layers, heads = maps.shape[:2]
    tokens = [label(subject.tokenizer.token_bytes(token)) for token in ids]
    return Reading(
        name="attention",
        form="maps",
        quantity="attention probability",
        says="What each token (row) looks at (column): one map a layer and head. Healthy: heads that differ, such as one that"
        " looks one back and one that finds earlier copies; a column at the first token alone is a head at rest.",
        axes=(
            Axis("layer", list(range(1, layers + 1))),
            Axis("head", list(range(1, heads + 1))),
            Axis("query", tokens),
            Axis("key", tokens),
        ),
        values=finite(maps.tolist()),
        about="attention",
    )


def toy_ids(subject: Subject) -> list[int]:
    """The toy text as ids, cut to the context; where the tokenizer knows nothing of it, the first tokens of the fixed batch."""
    ids = [int(token) for token in subject.tokenizer.encode(subject.tokenizer.known(subject.toy))]
    return ids[: subject.batch.inputs.shape[1]] or subject.batch.inputs[0, :STAND_IN].tolist()


def _maps(subject: Subject, ids: list[int]) -> Float[Tensor, "L H T T"]:
    maps: list[Tensor] = []

    def enters(attention: Attention, inputs: tuple[Any, ...]) -> None:
        x, position = inputs[:2]
        maps.append(attention.maps(x, position)[0].float())

    hooks = [block.attention.register_forward_pre_hook(enters) for block in subject.blocks if isinstance(block, AttentionBlock)]
    try:
        with torch.no_grad(), subject.runtime.autocast():
            subject.model(torch.tensor([ids], device=subject.runtime.device))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(maps)


def label(token: bytes) -> str:
    """A token as it can stand at an axis: blanks and the end of a document made visible, a part of a character as its bytes."""
    text = token.decode("utf-8", errors="backslashreplace") or "∎"
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
