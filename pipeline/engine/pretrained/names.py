"""Names of weights and of config.json keys in transformers, in two conventions: GPT-2's, and that of Llama and later models.

Each convention is a table of tensors, and functions from our knobs to config.json and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def _ours(table: Mapping[str, str], theirs: str) -> str:
    return {name: ours for ours, name in table.items()}.get(theirs, theirs)


# ------------------------------------------------------------------------------------------------------- selected rows


def _in_heads(model: Model, first: int, heads: int, rotated: bool) -> Int[Tensor, " rows"]:
    """The rows of some heads. Our rotary positions rotate the pairs (2i, 2i + 1) of a head, theirs (i, i + half)."""
    size = model.width // model.heads
    order = torch.arange(size)
    if rotated and model.position == "rotary":
        order = torch.cat((order[::2], order[1::2]))
    return (first * size + torch.arange(heads)[:, None] * size + order).flatten()


def _queries(model: Model) -> Int[Tensor, " rows"]:
    return _in_heads(model, 0, model.heads, rotated=True)


def _keys(model: Model) -> Int[Tensor, " rows"]:
    return _in_heads(model, model.heads, kv_heads(model), rotated=True)


def _values(model: Model) -> Int[Tensor, " rows"]:
    return _in_heads(model, model.heads + kv_heads(model), kv_heads(model), rotated=False)


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


def _layer(
    theirs: str, ours: str, rows: Rows | None = None, *, biased: bool = True, first: bool = False
) -> tuple[TensorRow, ...]:
    """A linear layer; its bias is 0 where the architecture has one and our network has none."""
    weight = TensorRow(f"{theirs}.weight", f"{ours}.weight", rows, inputs_first=first)
    return (weight, TensorRow(f"{theirs}.bias", f"{ours}.bias", rows, default=0.0 if biased else None))


def _norm(theirs: str, ours: str, *, offset: float = 0.0, biased: bool = True) -> tuple[TensorRow, ...]:
    """A norm, whose weight is 1 and whose bias is 0 where our network has none."""
    weight = TensorRow(f"{theirs}.weight", f"{ours}.weight", offset=offset, default=1.0)
    return (weight, TensorRow(f"{theirs}.bias", f"{ours}.bias", default=0.0)) if biased else (weight,)


def _positions(model: Model) -> Tensor:
    """The learned positions that stand for those of a network without learned ones."""
    if model.position == "sinusoidal":
        return SinusoidalPosition(model).waves.clone()
    return torch.zeros(model.context_length, model.width)


GPT2 = (
    TensorRow("transformer.wte.weight", "embedding.weight", padded=True),
    TensorRow("transformer.wpe.weight", "position.weight", default=_positions, padded=True),
    *_norm("transformer.h.{}.ln_1", "blocks.{}.norms.0"),
    *_layer("transformer.h.{}.attn.c_attn", "blocks.{}.attention.project", first=True),
    *_layer("transformer.h.{}.attn.c_proj", "blocks.{}.attention.output", first=True),
    *_norm("transformer.h.{}.ln_2", "blocks.{}.norms.1"),
    *_layer("transformer.h.{}.mlp.c_fc", "blocks.{}.feed_forward.up", first=True),
    *_layer("transformer.h.{}.mlp.c_proj", "blocks.{}.feed_forward.down", first=True),
    *_norm("transformer.ln_f", "final_norm"),
    TensorRow("lm_head.weight", "head.weight", padded=True),
)


def llama(norms: Callable[[str, str], tuple[TensorRow, ...]], *, gated: bool) -> tuple[TensorRow, ...]:
    """The tensors of Llama, whose names many architectures share."""
    block, mlp = "model.layers.{}.", "model.layers.{}.mlp."
    up = (
        *_layer(f"{mlp}gate_proj", "blocks.{}.feed_forward.up", _gate, biased=False),
        *_layer(f"{mlp}up_proj", "blocks.{}.feed_forward.up", _gated, biased=False),
    )
    return (
        TensorRow("model.embed_tokens.weight", "embedding.weight", padded=True),
        *norms(f"{block}input_layernorm", "blocks.{}.norms.0"),
        *_projections(f"{block}self_attn.", biased=False),
        *_layer(f"{block}self_attn.o_proj", "blocks.{}.attention.output", biased=False),
        *norms(f"{block}post_attention_layernorm", "blocks.{}.norms.1"),
        *(up if gated else _layer(f"{mlp}up_proj", "blocks.{}.feed_forward.up", biased=False)),
        *_layer(f"{mlp}down_proj", "blocks.{}.feed_forward.down", biased=False),
        *norms("model.norm", "final_norm"),
        TensorRow("lm_head.weight", "head.weight", padded=True),
    )


def _projections(theirs: str, *, biased: bool) -> tuple[TensorRow, ...]:
    """Queries, keys and values, which are one matrix in our networks."""
    return tuple(
        row
        for name, rows in (("q_proj", _queries), ("k_proj", _keys), ("v_proj", _values))
        for row in _layer(f"{theirs}{name}", "blocks.{}.attention.project", rows, biased=biased)
    )


def _head_of_ones(model: Model) -> Tensor:
    """The weight of a per-head norm that has no weights in our networks."""
    return torch.ones(model.width // model.heads)


QK_NORM = tuple(TensorRow(f"model.layers.{{}}.self_attn.{one}_norm.weight", "none", default=_head_of_ones) for one in "qk")

PHI = (
    TensorRow("model.embed_tokens.weight", "embedding.weight", padded=True),
    *_norm("model.layers.{}.input_layernorm", "blocks.{}.norms.0"),
    *_projections("model.layers.{}.self_attn.", biased=True),
    *_layer("model.layers.{}.self_attn.dense", "blocks.{}.attention.output"),
    *_layer("model.layers.{}.mlp.fc1", "blocks.{}.feed_forward.up"),
    *_layer("model.layers.{}.mlp.fc2", "blocks.{}.feed_forward.down"),
    *_norm("model.final_layernorm", "final_norm"),
    TensorRow("lm_head.weight", "head.weight", padded=True),
    TensorRow("lm_head.bias", "embedding.bias", default=0.0),  # our networks have none: as many zeros as there are tokens
)


# Vision Transformer; lab/export/transformers_vit.py changes the layout of the first three.
VIT = (
    TensorRow("vit.embeddings.cls_token", "pooling.start"),
    TensorRow("vit.embeddings.position_embeddings", "position.weight", default=_positions),
    *_layer("vit.embeddings.patch_embeddings.projection", "patches.map"),
    *_norm("vit.layers.{}.layernorm_before", "blocks.{}.norms.0"),
    *_projections("vit.layers.{}.attention.", biased=True),
    *_layer("vit.layers.{}.attention.o_proj", "blocks.{}.attention.output"),
    *_norm("vit.layers.{}.layernorm_after", "blocks.{}.norms.1"),
    *_layer("vit.layers.{}.mlp.fc1", "blocks.{}.feed_forward.up"),
    *_layer("vit.layers.{}.mlp.fc2", "blocks.{}.feed_forward.down"),
    *_norm("vit.layernorm", "final_norm"),
    *_layer("classifier", "head"),
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


def gpt2_knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "depth": config["n_layer"],
        "width": config["n_embd"],
        "heads": config["n_head"],
        "mlp_ratio": config["n_inner"] / config["n_embd"] if config["n_inner"] else 4.0,
        "activation": _ours(UNGATED, config["activation_function"]),
        "tie_embeddings": config["tie_word_embeddings"],
    }


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


def knobs_by(activations: Mapping[str, str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def knobs(config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "depth": config["num_hidden_layers"],
            "width": config["hidden_size"],
            "heads": config["num_attention_heads"],
            "kv_heads": _kv_heads_knob(config["num_key_value_heads"], config["num_attention_heads"]),
            "rotary_base": float(config["rope_parameters"]["rope_theta"]),
            "mlp_ratio": config["intermediate_size"] / config["hidden_size"],
            "activation": _ours(activations, config["hidden_act"]),
            "tie_embeddings": config["tie_word_embeddings"],
            **({"bias": config["attention_bias"]} if "attention_bias" in config else {}),
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
    return _norm(theirs, ours, biased=False)


def norm_1p(theirs: str, ours: str) -> tuple[TensorRow, ...]:
    """Nemotron stores the weight of a norm minus 1."""
    return _norm(theirs, ours, offset=1.0)


def no_norm(theirs: str, ours: str) -> tuple[TensorRow, ...]:
    return ()
