"""Stock architectures of the library transformers: which of our networks each can hold.

One table both ways: `rally export` writes by it, and a Hugging Face folder is read by it. Sources are the models'
files in transformers 5.23; tests hold the logits of both sides to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.engine.pretrained.names import (
    GATED,
    GPT2,
    PHI,
    QK_NORM,
    UNGATED,
    config,
    gpt2_config,
    gpt2_knobs,
    knobs_by,
    llama,
    no_norm,
    norm_1p,
    rms_norm,
    slides,
)
from pipeline.engine.pretrained.weight_map import TensorRow
from pipeline.params.model import Model

# Sizes, for which every architecture has a place, and knobs that leave no trace in what a trained network computes.
UNRESTRICTED = (
    *("depth", "width", "heads", "kv_heads", "context_length", "mlp_ratio", "window"),
    *("ngram_table_size", "rotary_base", "tie_embeddings"),
    *("dropout", "dropout_schedule", "stochastic_depth", "init", "base_width"),
    *("network", "patch_size", "kernel_size", "downsample", "pooling", "causal"),  # which no language model has
)


@dataclass(frozen=True)
class Architecture:
    """A stock architecture.

    Attributes:
        name: of the class that loads it.
        holds: the values that have a place in it, of every knob that is not FREE; those with the fewest weights first.
        config: what its config.json says of a network.
        knobs: what such a config.json says of our knobs. What it leaves open the weights tell.
        pieces: its tensors, of ours.
        usual: what its config.json means where it does not say it.
    """

    name: str
    holds: Mapping[str, tuple[Any, ...]]
    config: Callable[[Model], dict[str, Any]]
    knobs: Callable[[Mapping[str, Any]], dict[str, Any]]
    pieces: tuple[TensorRow, ...]
    usual: Mapping[str, Any]


def nearest(model: Model) -> tuple[str, list[str]]:
    """(the architecture that holds most of a network's knobs, the knobs that have no place in it)."""
    lacking = {name: unsupported_knobs(stock, model) for name, stock in ARCHITECTURES.items()}
    name = min(lacking, key=lambda name: len(lacking[name]))
    return name, lacking[name]


def unsupported_knobs(stock: Architecture, model: Model) -> list[str]:
    """The knobs whose values have no place in an architecture."""
    return [knob for knob, values in stock.holds.items() if normalized_value(model, knob) not in values]


def normalized_value(model: Model, knob: str) -> Any:
    """What a knob says; as many heads of keys and values as of queries are 0, however they are told."""
    return 0 if knob == "kv_heads" and model.kv_heads == model.heads else getattr(model, knob)


_PLAIN: dict[str, tuple[Any, ...]] = {
    "embedding_mixer": ("none",),
    "attention": ("full",),
    "qk_norm": (False,),
    "attention_softcap": (0.0,),
    "residual": ("pre",),
}
_ROTARY = _PLAIN | {"position": ("rotary",), "bias": (False, True)}
_USUAL = {"tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "num_key_value_heads": None}


def _biases(model: Model) -> dict[str, bool]:
    return {"attention_bias": model.bias, "mlp_bias": model.bias}


ARCHITECTURES: dict[str, Architecture] = {
    # Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Places that are not learned, a norm
    # without weights and layers without biases are learned ones that hold sines, ones and zeros.
    "gpt2": Architecture(
        name="GPT2LMHeadModel",
        holds=_PLAIN
        | {
            "kv_heads": (0,),
            "position": ("none", "sinusoidal", "learned"),
            "norm": ("layer_plain", "layer"),
            "bias": (False, True),
            "activation": tuple(UNGATED),
        },
        config=gpt2_config,
        knobs=gpt2_knobs,
        pieces=GPT2,
        usual={"tie_word_embeddings": True, "n_inner": None, "layer_norm_epsilon": 1e-5, "scale_attn_weights": True}
        | {"activation_function": "gelu_new", "scale_attn_by_inverse_layer_idx": False},
    ),
    # Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023
    "llama": Architecture(
        name="LlamaForCausalLM",
        holds=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED)},
        config=lambda model: config(model, "rms_norm_eps") | _biases(model),
        knobs=knobs_by(GATED),
        pieces=llama(rms_norm, gated=True),
        usual=_USUAL | {"hidden_act": "silu", "rms_norm_eps": 1e-6},
    ),
    # Jiang et al., "Mistral 7B", 2023
    "mistral": Architecture(
        name="MistralForCausalLM",
        holds=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED), "attention": ("window",), "bias": (False,)},
        config=lambda model: config(model, "rms_norm_eps") | {"sliding_window": model.window},
        knobs=lambda said: knobs_by(GATED)(said) | slides(said),
        pieces=llama(rms_norm, gated=True),
        usual={"tie_word_embeddings": False, "num_key_value_heads": 8, "sliding_window": 4096}
        | {"hidden_act": "silu", "rms_norm_eps": 1e-6},
    ),
    # Yang et al., "Qwen3 Technical Report", 2025
    "qwen3": Architecture(
        name="Qwen3ForCausalLM",
        holds=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED), "qk_norm": (True,), "bias": (False,)},
        config=lambda model: config(model, "rms_norm_eps") | {"attention_bias": False, "use_sliding_window": False},
        knobs=knobs_by(GATED),
        pieces=llama(rms_norm, gated=True) + QK_NORM,
        usual=_USUAL | {"hidden_act": "silu", "rms_norm_eps": 1e-6, "use_sliding_window": False},
    ),
    # Parmar et al., "Nemotron-4 15B Technical Report", 2024
    "nemotron": Architecture(
        name="NemotronForCausalLM",
        holds=_ROTARY | {"norm": ("layer_plain", "layer"), "activation": tuple(UNGATED)},
        config=lambda model: config(model, "norm_eps", partial_rotary_factor=1.0) | _biases(model),
        knobs=knobs_by(UNGATED),
        pieces=llama(norm_1p, gated=False),
        usual=_USUAL | {"hidden_act": "relu2", "norm_eps": 1e-5},
    ),
    # Groeneveld et al., "OLMo: Accelerating the Science of Language Models", 2024
    "olmo": Architecture(
        name="OlmoForCausalLM",
        holds=_ROTARY | {"norm": ("layer_plain",), "activation": tuple(GATED), "bias": (False,)},
        config=lambda model: config(model) | {"attention_bias": False, "clip_qkv": None},
        knobs=knobs_by(GATED),
        pieces=llama(no_norm, gated=True),
        usual=_USUAL | {"hidden_act": "silu", "clip_qkv": None},
    ),
    # Gunasekar et al., "Textbooks Are All You Need", 2023
    "phi": Architecture(
        name="PhiForCausalLM",
        holds=_ROTARY | {"norm": ("layer_plain", "layer"), "activation": tuple(UNGATED), "residual": ("parallel",)},
        config=lambda model: config(model, "layer_norm_eps", partial_rotary_factor=1.0) | {"qk_layernorm": False},
        knobs=knobs_by(UNGATED),
        pieces=PHI,
        usual={"tie_word_embeddings": False, "num_key_value_heads": None, "qk_layernorm": False}
        | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
    ),
}
