"""What does each head look at?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from pipeline.inference.trained import Subject
from pipeline.networks.classifier import Encoder
from pipeline.networks.images import ImageTransformer
from pipeline.networks.pooling import FirstPooling
from pipeline.networks.transformer import AttentionBlock
from pipeline.probes.passes.forward_backward import Forward, run
from pipeline.readings import Axis, Reading, finite

STAND_IN = 24  # tokens that stand in for a toy text of which the tokenizer knows nothing
POOLED = "●"  # the place of the pooling, which is no token


def attention_maps(subject: Subject) -> Reading | None:
    """The attention probabilities of every head, [layer, head, query, key], on the toy text; each row sums to 1.

    Of images, [layer, head, row, column]: what the queries of the first held-out image give to each patch, their mean; with
    `model.pooling: first` what the place of the pooling gives. No such reading where nothing attends.

    Healthy: heads that differ. A head that puts all on the first token rests (a sink); all rows alike in every head means
    that content is not looked at.

    Distrust: it is one toy text (one image), and where a head looks is not yet what it does with that.

    Source: Vaswani et al., "Attention Is All You Need", 2017; Xiao et al., "Efficient Streaming Language Models with
    Attention Sinks", 2023; of images, Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021 (figure 6).
    """
    if not any(isinstance(block, AttentionBlock) for block in subject.blocks):
        return None
    if subject.reads is None:
        return _over_an_image(subject)
    ids = toy_ids(subject)
    maps = maps_of(subject, run(subject, torch.tensor([ids], device=subject.runtime.device)))
    tokens = labels(subject, ids)
    return Reading(
        name="attention",
        form="maps",
        quantity="attention probability",
        says="What each token (row) looks at (column): one map a layer and head. Healthy: heads that differ, such as one that"
        " looks one back and one that finds earlier copies; a column at the first token alone is a head at rest."
        if subject.writes
        else "What each token (row) looks at (column): one map a layer and head. Healthy: heads that differ, some of which look"
        " at the words that the class hangs on; all rows alike do not look at content.",
        axes=(*_heads(maps), Axis("query", tokens), Axis("key", tokens)),
        values=finite(maps.tolist()),
        about="attention",
    )


def toy_ids(subject: Subject) -> list[int]:
    """The toy text as ids, cut to the context; where the tokenizer knows nothing of it, the first tokens of the fixed batch.

    Where classes are told, with the end that every text has there.
    """
    ids = [int(token) for token in subject.tokenizer.encode(subject.tokenizer.drop_unknown(subject.toy))]
    if ids and not subject.writes and subject.tokenizer.end is not None:
        ids.append(subject.tokenizer.end)
    stand_in = subject.batch.inputs[0, :STAND_IN]
    return ids[: subject.task.length] or stand_in[stand_in >= 0].tolist()


def labels(subject: Subject, ids: list[int]) -> list[str]:
    """What stands at the places that a pass over some ids has, as words at an axis."""
    tokens = [label(subject.tokenizer.token_bytes(token)) for token in ids]
    return [POOLED, *tokens] if _own_place(subject) else tokens


def _over_an_image(subject: Subject) -> Reading:
    given = maps_of(subject, run(subject, subject.batch.inputs[:1]))
    rows, columns = given.shape[2:]
    return Reading(
        name="attention",
        form="maps",
        quantity="attention probability",
        says="What each head looks at in a held-out image: the probability of each patch, one map a layer and head. Healthy:"
        " heads that differ, and that find what is to be seen; the same patches of background everywhere are where heads rest.",
        axes=(*_heads(given), Axis("row", list(range(rows))), Axis("column", list(range(columns)))),
        values=finite(given.tolist()),
        about="attention",
    )


def maps_of(subject: Subject, trace: Forward) -> Float[np.ndarray, "L H _ _"]:
    """What each head looks at in the first example of a pass, which has no padding: [layer, head, query, key] of a text.

    Of an image [layer, head, row, column]: what the queries, or the place of the pooling, give to each patch. Nothing
    attends: no layers.
    """
    if not trace.looks:
        return np.zeros((0, 0, 0, 0), np.float32)
    maps = torch.stack([next(look.maps())[0] for look in trace.looks])
    if isinstance(subject.model, ImageTransformer):
        given = maps[:, :, 0, 1:] if _own_place(subject) else maps.mean(dim=2)
        maps = given.unflatten(2, subject.model.patches.size)
    found: Float[np.ndarray, "L H _ _"] = maps.cpu().numpy()
    return found


def _own_place(subject: Subject) -> bool:
    """Whether the network puts a place of its own before all others."""
    return isinstance(subject.model, Encoder) and isinstance(subject.model.pooling, FirstPooling)


def _heads(maps: Float[np.ndarray, "L H _ _"]) -> tuple[Axis, Axis]:
    layers, heads = maps.shape[:2]
    return Axis("layer", list(range(1, layers + 1))), Axis("head", list(range(1, heads + 1)))


def label(token: bytes) -> str:
    """A token as it can stand at an axis: blanks and the end of a document made visible, a part of a character as its bytes."""
    text = token.decode("utf-8", errors="backslashreplace") or "∎"
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
