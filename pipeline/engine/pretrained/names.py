"""Names of weights and of config.json keys in transformers, in two conventions: GPT-2's, and that of Llama and later models.

Each convention is a table of tensors, and functions from our knobs to config.json and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.engine.pretrained.weight_map import Rows, TensorRow
from pipeline.networks.norms import EPSILON
from pipeline.networks.positions import SinusoidalPosition
from pipeline.params.model import Model

UNGATED = {  # our name: theirs
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "mish": "mish",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "identity": "linear",
}
GATED = {"swiglu": "silu", "geglu": "gelu"}
SYNONYMS = {
    "swish": "silu",
    "gelu_new": "gelu_pytorch_tanh",
    "gelu_python": "gelu",
}  # other names in transformers for the same function


def our_name(table: Mapping[str, str], theirs: str) -> str:
    return {name: ours for ours, name in table.items()}.get(theirs, theirs)


# ------------------------------------------------------------------------------------------------------- selected rows


def in_heads(model: Model, first: int, heads: int, rotated: bool) -> Int[Tensor, " rows"]:
    """The rows of some heads. Of the features that are rotated, ours turns the pairs (2i, 2i + 1), theirs (i, i + half)."""
    size = model.width // model.heads
    order = torch.arange(size)
    if rotated and model.position == "rotary":
        turned = order[: model.rotated_features]
        order = torch.cat((turned[::2], turned[1::2], order[len(turned) :]))
    return (first * size + torch.arange(heads)[:, None] * size + order).flatten()


def queries(model: Model) -> Int[Tensor, " rows"]:
    return in_heads(model, 0, model.heads, rotated=True)


def keys(model: Model) -> Int[Tensor, " rows"]:
    return in_heads(model, model.heads, kv_heads(model), rotated=True)


def values(model: Model) -> Int[Tensor, " rows"]:
    return in_heads(model, model.heads + kv_heads(model), kv_heads(model), rotated=False)


def kv_heads(model: Model) -> int:
    """The number of heads of keys and values."""
    return model.kv_heads or model.heads


def _gate(model: Model) -> Int[Tensor, " rows"]:
    return torch.arange(hidden_of(model))


def _gated(model: Model) -> Int[Tensor, " rows"]:
    return torch.arange(hidden_of(model)) + hidden_of(model)


def hidden_of(model: Model) -> int:
    """The hidden features of the feed-forward layer."""
    return round(model.mlp_ratio * model.width)


# ------------------------------------------------------------------------------------------------------------ tensors

# Embeddings and heads may have more rows than their tokenizer has ids, rounded up for the hardware: the rest is unused.


def layer(
    theirs: str, ours: str, rows: Rows | None = None, *, biased: bool = True, first: bool = False
) -> tuple[TensorRow, ...]:
    """A linear layer; its bias is 0 where one side has it and the other has none."""
    weight = TensorRow(f"{theirs}.weight", f"{ours}.weight", rows, inputs_first=first)
    bias = TensorRow(f"{theirs}.bias", f"{ours}.bias", rows)
    return (weight, replace(bias, default=0.0) if biased else replace(bias, absent=0.0))


def norm(theirs: str, ours: str, *, offset: float = 0.0, biased: bool = True) -> tuple[TensorRow, ...]:
    """A norm, whose weight is 1 and whose bias is 0 where our network has none."""
    weight = TensorRow(f"{theirs}.weight", f"{ours}.weight", offset=offset, default=1.0)
    return (weight, TensorRow(f"{theirs}.bias", f"{ours}.bias", default=0.0)) if biased else (weight,)


def positions(model: Model) -> Tensor:
    """The learned positions that stand for those of a network without learned ones."""
    if model.position == "sinusoidal":
        return SinusoidalPosition(model).waves.clone()
    return torch.zeros(model.context_length, model.width)


GPT2 = (
    TensorRow("transformer.wte.weight", "embedding.weight", padded=True),
    TensorRow("transformer.wpe.weight", "position.weight", default=positions, padded=True),
    *norm("transformer.h.{}.ln_1", "blocks.{}.norms.0"),
    *layer("transformer.h.{}.attn.c_attn", "blocks.{}.attention.project", first=True),
    *layer("transformer.h.{}.attn.c_proj", "blocks.{}.attention.output", first=True),
    *norm("transformer.h.{}.ln_2", "blocks.{}.norms.1"),
    *layer("transformer.h.{}.mlp.c_fc", "blocks.{}.feed_forward.up", first=True),
    *layer("transformer.h.{}.mlp.c_proj", "blocks.{}.feed_forward.down", first=True),
    *norm("transformer.ln_f", "final_norm"),
    TensorRow("lm_head.weight", "head.weight", padded=True),
)


def llama(norms: Callable[[str, str], tuple[TensorRow, ...]], *, gated: bool) -> tuple[TensorRow, ...]:
    """The tensors of Llama, whose names many architectures share."""
    block, mlp = "model.layers.{}.", "model.layers.{}.mlp."
    up = (
        *layer(f"{mlp}gate_proj", "blocks.{}.feed_forward.up", _gate, biased=False),
        *layer(f"{mlp}up_proj", "blocks.{}.feed_forward.up", _gated, biased=False),
    )
    return (
        TensorRow("model.embed_tokens.weight", "embedding.weight", padded=True),
        *norms(f"{block}input_layernorm", "blocks.{}.norms.0"),
        *projections(f"{block}self_attn.", biased=False),
        *layer(f"{block}self_attn.o_proj", "blocks.{}.attention.output", biased=False),
        *norms(f"{block}post_attention_layernorm", "blocks.{}.norms.1"),
        *(up if gated else layer(f"{mlp}up_proj", "blocks.{}.feed_forward.up", biased=False)),
        *layer(f"{mlp}down_proj", "blocks.{}.feed_forward.down", biased=False),
        *norms("model.norm", "final_norm"),
        TensorRow("lm_head.weight", "head.weight", padded=True),
    )


def projections(theirs: str, *, biased: bool) -> tuple[TensorRow, ...]:
    """Queries, keys and values, which are one matrix in our networks."""
    return tuple(
        row
        for name, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", values))
        for row in layer(f"{theirs}{name}", "blocks.{}.attention.project", rows, biased=biased)
    )


def _head_of_ones(model: Model) -> Tensor:
    """The weight of a per-head norm that has no weights in our networks."""
    return torch.ones(model.width // model.heads)


QK_NORM = tuple(TensorRow(f"model.layers.{{}}.self_attn.{one}_norm.weight", "none", default=_head_of_ones) for one in "qk")

PHI = (
    TensorRow("model.embed_tokens.weight", "embedding.weight", padded=True),
    *norm("model.layers.{}.input_layernorm", "blocks.{}.norms.0"),
    *projections("model.layers.{}.self_attn.", biased=True),
    *layer("model.layers.{}.self_attn.dense", "blocks.{}.attention.output"),
    *layer("model.layers.{}.mlp.fc1", "blocks.{}.feed_forward.up"),
    *layer("model.layers.{}.mlp.fc2", "blocks.{}.feed_forward.down"),
    *norm("model.final_layernorm", "final_norm"),
    TensorRow("lm_head.weight", "head.weight", padded=True),
    TensorRow("lm_head.bias", "embedding.bias", default=0.0),  # our networks have none: as many zeros as there are tokens
)


# Vision Transformer; lab/export/transformers_vit.py changes the layout of the first three.
VIT = (
    TensorRow("vit.embeddings.cls_token", "pooling.start"),
    TensorRow("vit.embeddings.position_embeddings", "position.weight", default=positions),
    *layer("vit.embeddings.patch_embeddings.projection", "patches.map"),
    *norm("vit.layers.{}.layernorm_before", "blocks.{}.norms.0"),
    *projections("vit.layers.{}.attention.", biased=True),
    *layer("vit.layers.{}.attention.o_proj", "blocks.{}.attention.output"),
    *norm("vit.layers.{}.layernorm_after", "blocks.{}.norms.1"),
    *layer("vit.layers.{}.mlp.fc1", "blocks.{}.feed_forward.up"),
    *layer("vit.layers.{}.mlp.fc2", "blocks.{}.feed_forward.down"),
    *norm("vit.layernorm", "final_norm"),
    *layer("classifier", "head"),
)


# -------------------------------------------------------------------------------------------------------- config.json


def gpt2_config(model: Model) -> dict[str, Any]:
    return {
        "n_layer": model.depth,
        "n_embd": model.width,
        "n_head": model.heads,
        "n_positions": model.context_length,
        "n_inner": hidden_of(model),
        "activation_function": UNGATED[model.activation],
        "layer_norm_epsilon": EPSILON,
        "tie_word_embeddings": model.tie_embeddings,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    }


def older_knobs(depth: str, width: str, heads: str, hidden: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from the config.json of an architecture of GPT-2's time to our knobs; the arguments are its keys.

    The value of `hidden` may be null: four times the width.
    """

    def knobs(config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "depth": config[depth],
            "width": config[width],
            "heads": config[heads],
            "mlp_ratio": config[hidden] / config[width] if config[hidden] else 4.0,
            "activation": our_name(UNGATED, config["activation_function"]),
            "tie_embeddings": config["tie_word_embeddings"],
        }

    return knobs


def config(model: Model, epsilon: str = "", **rotary: float) -> dict[str, Any]:
    """The keys of config.json that all architectures after GPT-2 share."""
    return {
        "num_hidden_layers": model.depth,
        "hidden_size": model.width,
        "num_attention_heads": model.heads,
        "num_key_value_heads": kv_heads(model),
        "head_dim": model.width // model.heads,
        "intermediate_size": hidden_of(model),
        "hidden_act": (GATED | UNGATED)[model.activation],
        "max_position_embeddings": model.context_length,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rotary_base, **rotary},
        "tie_word_embeddings": model.tie_embeddings,
        **({epsilon: EPSILON} if epsilon else {}),
    }


def knobs_by(activations: Mapping[str, str], *, partial: bool = False) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from config.json to our knobs; `partial`: it says which share of a head is rotated."""

    def knobs(config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "depth": config["num_hidden_layers"],
            "width": config["hidden_size"],
            "heads": config["num_attention_heads"],
            "kv_heads": _kv_heads_knob(config["num_key_value_heads"], config["num_attention_heads"]),
            "rotary_base": float(config["rope_parameters"]["rope_theta"]),
            "mlp_ratio": config["intermediate_size"] / config["hidden_size"],
            "activation": our_name(activations, config["hidden_act"]),
            "tie_embeddings": config["tie_word_embeddings"],
            **({"rotary_share": float(config["rope_parameters"]["partial_rotary_factor"])} if partial else {}),
        }

    return knobs


def window_knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Mistral's window as our knobs; null, or a window over the whole context, is full attention."""
    window = config["sliding_window"]
    if window is None or window >= config["max_position_embeddings"]:
        return {"attention": "full"}
    return {"attention": "window", "window": window}


def _kv_heads_knob(heads: int | None, of: int) -> int:
    """The knob kv_heads."""
    return heads if heads and heads != of else 0


def rms_norm(theirs: str, ours: str) -> tuple[TensorRow, ...]:
    return norm(theirs, ours, biased=False)


def norm_1p(theirs: str, ours: str) -> tuple[TensorRow, ...]:
    """Nemotron stores the weight of a norm minus 1."""
    return norm(theirs, ours, offset=1.0)


def no_norm(theirs: str, ours: str) -> tuple[TensorRow, ...]:
    return ()
