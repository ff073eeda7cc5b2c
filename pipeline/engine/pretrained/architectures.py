"""Architectures of the library transformers: which of Rally's networks each can represent.

One table for both directions: `rally export` writes by it, and Hugging Face folders are read by it. Its sources are the
models' files in transformers 5.23; tests compare the logits of both sides.
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
    knobs_by,
    llama,
    no_norm,
    norm_1p,
    older_knobs,
    rms_norm,
    window_knobs,
)
from pipeline.engine.pretrained.neo_names import (
    NEO,
    NEOX,
    neo_config,
    neo_length,
    neox_config,
    neox_knobs,
)
from pipeline.engine.pretrained.weight_map import TensorRow
from pipeline.params.model import Model

# Sizes, which an architecture supports unless it names them, and knobs that do not change what a trained network computes.
UNRESTRICTED = (
    *("depth", "width", "heads", "kv_heads", "context_length", "mlp_ratio", "window"),
    *("ngram_table_size", "rotary_base", "rotary_share", "tie_embeddings"),
    *("dropout", "dropout_schedule", "stochastic_depth", "init", "base_width"),
    *("network", "patch_size", "kernel_size", "downsample", "pooling", "causal"),  # not of language models
)


@dataclass(frozen=True)
class Architecture:
    """An architecture of transformers.

    Attributes:
        name: of its class.
        supports: the supported values of every knob that is not UNRESTRICTED; those with the fewest weights first.
        config: makes its config.json from the knobs.
        knobs: reads our knobs from its config.json; those that it leaves open follow from the weights.
        tensors: its tensors as rows of Rally's tensors.
        defaults: values of keys that its config.json may leave out.
        length: reads from its config.json the longest context, tokens.
    """

    name: str
    supports: Mapping[str, tuple[Any, ...]]
    config: Callable[[Model], dict[str, Any]]
    knobs: Callable[[Mapping[str, Any]], dict[str, Any]]
    tensors: tuple[TensorRow, ...]
    defaults: Mapping[str, Any]
    length: Callable[[Mapping[str, Any]], int] = lambda config: int(config["max_position_embeddings"])


def nearest(model: Model) -> tuple[str, list[str]]:
    """(the architecture that supports most of a network's knobs, the knobs that it does not support)."""
    unsupported = {name: unsupported_knobs(architecture, model) for name, architecture in ARCHITECTURES.items()}
    name = min(unsupported, key=lambda name: len(unsupported[name]))
    return name, unsupported[name]


def unsupported_knobs(architecture: Architecture, model: Model) -> list[str]:
    """The knobs whose values an architecture does not support."""
    return [knob for knob, values in architecture.supports.items() if normalized_value(model, knob) not in values]


def normalized_value(model: Model, knob: str) -> Any:
    """The value of a knob; kv_heads equal to heads becomes 0, which means the same."""
    return 0 if knob == "kv_heads" and model.kv_heads == model.heads else getattr(model, knob)


_PLAIN: dict[str, tuple[Any, ...]] = {
    "embedding_mixer": ("none",),
    "attention": ("full",),
    "qk_norm": (False,),
    "attention_softcap": (0.0,),
    "residual": ("pre",),
}
_PARTLY_ROTARY = _PLAIN | {"position": ("rotary",), "bias": (False, True)}
_ROTARY = _PARTLY_ROTARY | {"rotary_share": (1.0,)}
_DEFAULTS = {"tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "num_key_value_heads": None}


def _biases(model: Model) -> dict[str, bool]:
    return {"attention_bias": model.bias, "mlp_bias": model.bias}


ARCHITECTURES: dict[str, Architecture] = {
    # Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Sinusoidal positions, norms without weights
    # and layers without biases become learned ones that hold sines, ones and zeros.
    "gpt2": Architecture(
        name="GPT2LMHeadModel",
        supports=_PLAIN
        | {
            "kv_heads": (0,),
            "position": ("none", "sinusoidal", "learned"),
            "norm": ("layer_plain", "layer"),
            "bias": (False, True),
            "activation": tuple(UNGATED),
        },
        config=gpt2_config,
        knobs=older_knobs("n_layer", "n_embd", "n_head", "n_inner"),
        tensors=GPT2,
        length=lambda config: int(config["n_positions"]),
        defaults={"tie_word_embeddings": True, "n_inner": None, "layer_norm_epsilon": 1e-5, "scale_attn_weights": True}
        | {"activation_function": "gelu_new", "scale_attn_by_inverse_layer_idx": False},
    ),
    # Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023
    "llama": Architecture(
        name="LlamaForCausalLM",
        supports=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED)},
        config=lambda model: config(model, "rms_norm_eps") | _biases(model),
        knobs=knobs_by(GATED),
        tensors=llama(rms_norm, gated=True),
        defaults=_DEFAULTS | {"hidden_act": "silu", "rms_norm_eps": 1e-6},
    ),
    # Jiang et al., "Mistral 7B", 2023
    "mistral": Architecture(
        name="MistralForCausalLM",
        supports=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED), "attention": ("window",), "bias": (False,)},
        config=lambda model: config(model, "rms_norm_eps") | {"sliding_window": model.window},
        knobs=lambda config: knobs_by(GATED)(config) | window_knobs(config),
        tensors=llama(rms_norm, gated=True),
        defaults={"tie_word_embeddings": False, "num_key_value_heads": 8, "sliding_window": 4096}
        | {"hidden_act": "silu", "rms_norm_eps": 1e-6},
    ),
    # Yang et al., "Qwen3 Technical Report", 2025
    "qwen3": Architecture(
        name="Qwen3ForCausalLM",
        supports=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED), "qk_norm": (True,), "bias": (False,)},
        config=lambda model: config(model, "rms_norm_eps") | {"attention_bias": False, "use_sliding_window": False},
        knobs=knobs_by(GATED),
        tensors=llama(rms_norm, gated=True) + QK_NORM,
        defaults=_DEFAULTS | {"hidden_act": "silu", "rms_norm_eps": 1e-6, "use_sliding_window": False},
    ),
    # Parmar et al., "Nemotron-4 15B Technical Report", 2024
    "nemotron": Architecture(
        name="NemotronForCausalLM",
        supports=_PARTLY_ROTARY | {"norm": ("layer_plain", "layer"), "activation": tuple(UNGATED)},
        config=lambda model: config(model, "norm_eps", partial_rotary_factor=model.rotary_share) | _biases(model),
        knobs=knobs_by(UNGATED, partial=True),
        tensors=llama(norm_1p, gated=False),
        defaults=_DEFAULTS | {"hidden_act": "relu2", "norm_eps": 1e-5, "partial_rotary_factor": 0.5},
    ),
    # Groeneveld et al., "OLMo: Accelerating the Science of Language Models", 2024
    "olmo": Architecture(
        name="OlmoForCausalLM",
        supports=_ROTARY | {"norm": ("layer_plain",), "activation": tuple(GATED), "bias": (False,)},
        config=lambda model: config(model) | {"attention_bias": False, "clip_qkv": None},
        knobs=knobs_by(GATED),
        tensors=llama(no_norm, gated=True),
        defaults=_DEFAULTS | {"hidden_act": "silu", "clip_qkv": None},
    ),
    # Gunasekar et al., "Textbooks Are All You Need", 2023
    "phi": Architecture(
        name="PhiForCausalLM",
        supports=_PARTLY_ROTARY | {"norm": ("layer_plain", "layer"), "activation": tuple(UNGATED), "residual": ("parallel",)},
        config=lambda model: (
            config(model, "layer_norm_eps", partial_rotary_factor=model.rotary_share) | {"qk_layernorm": False}
        ),
        knobs=knobs_by(UNGATED, partial=True),
        tensors=PHI,
        defaults={"tie_word_embeddings": False, "num_key_value_heads": None, "qk_layernorm": False}
        | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5},
    ),
    # Black et al., "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022; Pythia's models are of this shape
    "gpt_neox": Architecture(
        name="GPTNeoXForCausalLM",
        supports=_PARTLY_ROTARY
        | {"norm": ("layer_plain", "layer"), "activation": tuple(UNGATED), "residual": ("parallel_norms",), "kv_heads": (0,)},
        config=neox_config,
        knobs=neox_knobs,
        tensors=NEOX,
        defaults={"tie_word_embeddings": False, "attention_bias": True, "use_parallel_residual": True}
        | {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_emb_base": 10_000, "rotary_pct": 0.25},
    ),
}

# What is read, and not written: their layouts have places for less than our networks have.
IMPORT_ONLY: dict[str, Architecture] = {
    # Yang et al., "Qwen2 Technical Report", 2024. Biases of queries, keys and values only: the others become zeros
    "qwen2": Architecture(
        name="Qwen2ForCausalLM",
        supports=_ROTARY | {"norm": ("rms",), "activation": tuple(GATED), "bias": (True,)},
        config=lambda model: config(model, "rms_norm_eps") | {"use_sliding_window": False},
        knobs=knobs_by(GATED),
        tensors=llama(rms_norm, gated=True),
        defaults={"tie_word_embeddings": False, "num_key_value_heads": 32, "use_sliding_window": False}
        | {"hidden_act": "silu", "rms_norm_eps": 1e-6},
    ),
    # Black et al., "GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-Tensorflow", 2021; also TinyStories' models
    "gpt_neo": Architecture(
        name="GPTNeoForCausalLM",
        supports=_PLAIN
        | {"position": ("learned",), "norm": ("layer",), "bias": (True,), "activation": tuple(UNGATED), "kv_heads": (0,)},
        config=neo_config,
        knobs=older_knobs("num_layers", "hidden_size", "num_heads", "intermediate_size"),
        tensors=NEO,
        defaults={"tie_word_embeddings": True, "intermediate_size": None, "activation_function": "gelu_new"}
        | {"layer_norm_epsilon": 1e-5, "window_size": 256, "attention_types": [[["global", "local"], 12]]},
        length=neo_length,
    ),
}
