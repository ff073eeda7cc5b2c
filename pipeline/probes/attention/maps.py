"""Attention maps: the attention probabilities of every head on a toy text or an image."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from pipeline.inference.trained import TrainedModel
from pipeline.networks.classifier import Encoder
from pipeline.networks.images import ImageTransformer
from pipeline.networks.pooling import FirstPooling
from pipeline.networks.transformer import AttentionBlock
from pipeline.probes.passes.forward import Forward, run
from pipeline.readings import Axis, Reading, rounded_or_none

STAND_IN = 24  # held-out tokens that replace a toy text without a single known character
POOLED = "●"  # the pooling token


def attention_maps(trained: TrainedModel) -> Reading | None:
    """The attention probabilities of every head, [layer, head, query, key], on the toy text; each row sums to 1.

    For images, [layer, head, row, column]: the probability of each patch of the first held-out image, mean over the queries;
    with `model.pooling: first` for the query of the pooling token. No such reading of a network without attention.

    Healthy: heads that differ. A head with all attention on the first token is an attention sink; if all rows are equal in
    every head, attention ignores content.

    Distrust: it is one toy text (one image), and what a head attends to is not yet what it does with it.

    Source: Vaswani et al., "Attention Is All You Need", 2017; Xiao et al., "Efficient Streaming Language Models with
    Attention Sinks", 2023; of images, Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021 (figure 6).
    """
    if not any(isinstance(block, AttentionBlock) for block in trained.blocks):
        return None
    if trained.text_tokenizer is None:
        return _over_image(trained)
    ids = toy_ids(trained)
    maps = maps_of(trained, run(trained, torch.tensor([ids], device=trained.runtime.device)))
    tokens = labels(trained, ids)
    return Reading(
        name="attention",
        form="maps",
        quantity="attention probability",
        says="What each token (row) attends to (column): one map per layer and head. Healthy: heads that differ, such as a"
        " previous-token head and an induction head; a head with only the first column is an attention sink."
        if trained.is_language_model
        else "What each token (row) attends to (column): one map per layer and head. Healthy: heads that differ, some of which"
        " attend to the words that the class depends on; if all rows are equal, attention ignores content.",
        axes=(*_heads(maps), Axis("query", tokens), Axis("key", tokens)),
        values=rounded_or_none(maps.tolist()),
        about="attention",
    )


def toy_ids(trained: TrainedModel) -> list[int]:
    """The toy text as ids, cut to the context; if the tokenizer knows no character of it, the first tokens of the fixed batch.

    For classifiers with the end token, which every text has there.
    """
    ids = [int(token) for token in trained.tokenizer.encode(trained.tokenizer.drop_unknown(trained.toy_text))]
    if ids and not trained.is_language_model and trained.tokenizer.end is not None:
        ids.append(trained.tokenizer.end)
    stand_in = trained.batch.inputs[0, :STAND_IN]
    return ids[: trained.task.length] or stand_in[stand_in >= 0].tolist()


def labels(trained: TrainedModel, ids: list[int]) -> list[str]:
    """The places of a pass over some ids, as words at an axis."""
    tokens = [label(trained.tokenizer.token_bytes(token)) for token in ids]
    return [POOLED, *tokens] if _has_pooling_token(trained) else tokens


def _over_image(trained: TrainedModel) -> Reading:
    maps = maps_of(trained, run(trained, trained.batch.inputs[:1]))
    rows, columns = maps.shape[2:]
    return Reading(
        name="attention",
        form="maps",
        quantity="attention probability",
        says="What each head attends to in a held-out image: the probability of each patch, a map per layer and head."
        " Healthy: heads that differ, and that attend to the object; the same background patches in all of them are sinks.",
        axes=(*_heads(maps), Axis("row", list(range(rows))), Axis("column", list(range(columns)))),
        values=rounded_or_none(maps.tolist()),
        about="attention",
    )


def maps_of(trained: TrainedModel, trace: Forward) -> Float[np.ndarray, "L H _ _"]:
    """The attention of each head on the first example of a pass, which has no padding: [layer, head, query, key] of a text.

    Of an image [layer, head, row, column]: the probability of each patch, mean over the queries or of the pooling token.
    Without attention there are no layers.
    """
    if not trace.attention:
        return np.zeros((0, 0, 0, 0), np.float32)
    maps = torch.stack([next(attention.maps())[0] for attention in trace.attention])
    if isinstance(trained.model, ImageTransformer):
        given = maps[:, :, 0, 1:] if _has_pooling_token(trained) else maps.mean(dim=2)
        maps = given.unflatten(2, trained.model.patches.size)
    found: Float[np.ndarray, "L H _ _"] = maps.cpu().numpy()
    return found


def _has_pooling_token(trained: TrainedModel) -> bool:
    """Whether the network puts a pooling token before all others."""
    return isinstance(trained.model, Encoder) and isinstance(trained.model.pooling, FirstPooling)


def _heads(maps: Float[np.ndarray, "L H _ _"]) -> tuple[Axis, Axis]:
    layers, heads = maps.shape[:2]
    return Axis("layer", list(range(1, layers + 1))), Axis("head", list(range(1, heads + 1)))


def label(token: bytes) -> str:
    """A token as a label of an axis: white space and the end of a document made visible, part of a character as its bytes."""
    text = token.decode("utf-8", errors="backslashreplace") or "∎"
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
