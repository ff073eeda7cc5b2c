"""Names of weights and of config.json keys in the GPT-Neo and GPT-NeoX architectures of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.engine.pretrained.names import (
    UNGATED,
    config,
    gpt2_config,
    keys,
    knobs_by,
    layer,
    norm,
    positions,
    queries,
    values,
)
from pipeline.engine.pretrained.weight_map import TensorRow
from pipeline.params.model import Model

# ------------------------------------------------------------------------------------------------------------ GPT-NeoX


def _by_head(model: Model) -> Int[Tensor, " rows"]:
    """Query, key and value of the first head, then those of the next, and so on."""
    parts = (rows(model).unflatten(0, (model.heads, -1)) for rows in (queries, keys, values))
    return torch.stack([*parts], dim=1).flatten()


NEOX = (
    TensorRow("gpt_neox.embed_in.weight", "embedding.weight", padded=True),
    *norm("gpt_neox.layers.{}.input_layernorm", "blocks.{}.norms.0"),
    *layer("gpt_neox.layers.{}.attention.query_key_value", "blocks.{}.attention.project", _by_head),
    *layer("gpt_neox.layers.{}.attention.dense", "blocks.{}.attention.output"),
    *norm("gpt_neox.layers.{}.post_attention_layernorm", "blocks.{}.norms.1"),
    *layer("gpt_neox.layers.{}.mlp.dense_h_to_4h", "blocks.{}.feed_forward.up"),
    *layer("gpt_neox.layers.{}.mlp.dense_4h_to_h", "blocks.{}.feed_forward.down"),
    *norm("gpt_neox.final_layer_norm", "final_norm"),
    TensorRow("embed_out.weight", "head.weight", padded=True, also="lm_head.weight"),  # its name on disk, and in transformers 5
)


def neox_config(model: Model) -> dict[str, Any]:
    said = config(model, "layer_norm_eps", partial_rotary_factor=model.rotary_share)
    del said["num_key_value_heads"], said["head_dim"]
    # Older versions read the angles by these names. The MLP has biases in any case.
    angles = {"rotary_emb_base": model.rotary_base, "rotary_pct": model.rotary_share}
    return said | angles | {"use_parallel_residual": model.residual == "parallel_norms", "attention_bias": True}


def neox_knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    parallel = {True: "parallel_norms", False: "pre"}[config["use_parallel_residual"]]
    return knobs_by(UNGATED, partial=True)({**config, "num_key_value_heads": None}) | {"residual": parallel}


# ------------------------------------------------------------------------------------------------------------- GPT-Neo


def _root_of_head(model: Model) -> float:
    """By what GPT-Neo's queries are larger than ours: it does not divide the scores."""
    return (model.width // model.heads) ** 0.5


def _unbiased(theirs: str, ours: str, scaled: bool) -> tuple[TensorRow, ...]:
    rows = {"q": queries, "k": keys, "v": values}[theirs.rpartition(".")[2][0]]
    weight, bias = layer(theirs, ours, rows, biased=False)
    return (replace(weight, scale=_root_of_head) if scaled else weight, bias)


NEO = (
    TensorRow("transformer.wte.weight", "embedding.weight", padded=True),
    TensorRow("transformer.wpe.weight", "position.weight", default=positions, padded=True),
    *norm("transformer.h.{}.ln_1", "blocks.{}.norms.0"),
    *chain.from_iterable(
        _unbiased(f"transformer.h.{{}}.attn.attention.{one}_proj", "blocks.{}.attention.project", one == "q") for one in "qkv"
    ),
    *layer("transformer.h.{}.attn.attention.out_proj", "blocks.{}.attention.output"),
    *norm("transformer.h.{}.ln_2", "blocks.{}.norms.1"),
    *layer("transformer.h.{}.mlp.c_fc", "blocks.{}.feed_forward.up"),
    *layer("transformer.h.{}.mlp.c_proj", "blocks.{}.feed_forward.down"),
    *norm("transformer.ln_f", "final_norm"),
    TensorRow("lm_head.weight", "head.weight", padded=True),
)


def neo_config(model: Model) -> dict[str, Any]:
    """The keys that the weights depend on."""
    shared = ("activation_function", "layer_norm_epsilon", "tie_word_embeddings")
    sizes = {"num_layers": model.depth, "hidden_size": model.width, "num_heads": model.heads}
    return sizes | {key: value for key, value in gpt2_config(model).items() if key in shared}


def neo_length(config: Mapping[str, Any]) -> int:
    """The longest context in which its local layers see everything: windows that alternate have no place in our networks."""
    kinds = {kind for pattern, times in config["attention_types"] for kind in pattern if times}
    if not kinds <= {"global", "local"}:
        raise ValueError(f"attention_types: {config['attention_types']!r:.60}")
    places = int(config["max_position_embeddings"])
    return min(places, int(config["window_size"])) if "local" in kinds else places
