"""Which stock architectures GGUF files can hold: names of keys and tensors, read both ways (no torch).

A network goes to GGUF by way of its form in transformers (`pipeline/engine/pretrained/architectures.py`), and comes back by the
same way. Sources: gguf-py/gguf/constants.py and src/models in the repository of llama.cpp; tests compare the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.lab.gguf.container import Value

EPSILON = 1e-5  # of the norms of OLMo, which its config.json does not say
RMS, CENTRED = "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"


@dataclass(frozen=True)
class GgufArchitecture:
    """An architecture of llama.cpp, as one of transformers.

    Attributes:
        name: in general.architecture, and before its keys.
        model_type: in config.json.
        class_name: in transformers.
        activation: the one that llama.cpp computes, which no key of the file says: (Rally's name, that in config.json).
        keys: our key in config.json by key of the file.
        tensors: theirs by ours, without ".weight" and ".bias".
        fixed: of config.json, what no key of the file says.
        pairs: whether queries and keys have the two rotated features of a pair next to each other.
        transposed: our tensors that are [inputs, outputs].
        offset: theirs = ours + offset, of the weights of norms.
        own_head: whether a tied head must be stored a second time.
        in_transformers: whether transformers 5.23 reads such files.
    """

    name: str
    model_type: str
    class_name: str
    activation: tuple[str, str]
    keys: Mapping[str, str]
    tensors: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    pairs: bool = False
    transposed: tuple[str, ...] = ()
    offset: float = 0.0
    own_head: bool = False
    in_transformers: bool = True


# ------------------------------------------------------------------------------------------------------------ metadata


def metadata_of(config: Mapping[str, Any], architecture: GgufArchitecture) -> dict[str, Value]:
    """The keys of a file that describe its network, from config.json."""
    head = config.get("head_dim")
    theta = (config.get("rope_parameters") or {}).get("rope_theta")
    known = {**config, "rope_theta": theta, "rotary": head, "epsilon": EPSILON}
    ours = {key: known[name] for key, name in architecture.keys.items() if known.get(name) is not None}
    return {f"{architecture.name}.{key}": value for key, value in ours.items()}


def config_of(metadata: Mapping[str, Any], names: Mapping[str, Any], architecture: GgufArchitecture) -> dict[str, Any]:
    """The config.json of a file.

    Args:
        names: its tensors by name.

    Raises:
        KeyError: it lacks a key.
        ValueError: a key has a value that Rally's networks do not support.
    """
    own = {key.partition(".")[2]: value for key, value in metadata.items() if key.startswith(f"{architecture.name}.")}
    if problems := [*_unsupported(own, architecture)]:
        raise ValueError(problems[0])
    given = DEFAULTS | {key: shortest(value) for key, value in own.items()}
    given.setdefault("attention.head_count_kv", given["attention.head_count"])
    given.setdefault("attention.key_length", given["embedding_length"] // max(given["attention.head_count"], 1))
    given.setdefault("rope.dimension_count", given["attention.key_length"])
    config = {name: given[key] for key, name in architecture.keys.items() if key in given or key not in OPTIONAL}
    if config.pop("epsilon", EPSILON) != EPSILON:
        raise ValueError(f"{architecture.name}.{CENTRED} is not {EPSILON}, which is not supported")
    if "rotary" in config:
        rope = {"rope_type": "default", "rope_theta": float(config.pop("rope_theta"))}
        part = config.pop("rotary") / max(config["head_dim"], 1)
        config["rope_parameters"] = rope | ({"partial_rotary_factor": part} if "partial" in architecture.fixed else {})
        if "partial" not in architecture.fixed and part != 1:
            raise ValueError(f"{architecture.name}.rope.dimension_count is smaller than a head, which is not supported")
    vocabulary = len(metadata["tokenizer.ggml.tokens"]) if "tokenizer.ggml.tokens" in metadata else config["vocab_size"]
    biases = {"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_up.bias"}
    return (
        config
        | {key: value for key, value in architecture.fixed.items() if key not in ("partial", *biases)}
        | {key: name in names for key, name in biases.items() if key in architecture.fixed}
        | {"model_type": architecture.model_type, "architectures": [architecture.class_name], "vocab_size": vocabulary}
    )


def shortest(value: Any) -> Any:
    """A number that was stored in 32 bits, as the shortest decimal that is stored so: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _unsupported(own: Mapping[str, Any], architecture: GgufArchitecture) -> Iterator[str]:
    """What a file asks for that Rally's networks do not do: any key that is not known."""
    for key, value in own.items():
        name = f"{architecture.name}.{key}"
        if key in PLAIN:
            if value not in PLAIN[key]:
                yield f"{name}: {value!r:.60} is not supported; only {PLAIN[key][0]!r} is"
        elif key not in architecture.keys and key not in ("vocab_size", *IGNORED):
            yield f"{name}: {value!r:.60} asks for something that Rally's networks do not have"
        elif type(value) not in (int, float):
            yield f"{name}: {value!r:.60} is not one number"


DEFAULTS = {"rope.freq_base": 10_000.0}  # of llama.cpp, where a file leaves them out
OPTIONAL = ("vocab_size",)
IGNORED = ("attention.value_length", "attention.key_length", "rope.dimension_count", "attention.head_count_kv")
# Keys that change nothing as long as they have one of these values.
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "use_parallel_residual": (True,),
    "tensor_data_layout": ("Meta AI original pth",),
    "expert_count": (0,),
    "expert_used_count": (0,),
}

# --------------------------------------------------------------------------------------------------------------- tables

HEAD = "lm_head"

_SIZES = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "rope.dimension_count": "rotary",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
}
_LLAMA = {
    "model.embed_tokens": "token_embd",
    "model.layers.{}.input_layernorm": "blk.{}.attn_norm",
    "model.layers.{}.self_attn.q_proj": "blk.{}.attn_q",
    "model.layers.{}.self_attn.k_proj": "blk.{}.attn_k",
    "model.layers.{}.self_attn.v_proj": "blk.{}.attn_v",
    "model.layers.{}.self_attn.o_proj": "blk.{}.attn_output",
    "model.layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm",
    "model.layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    "model.layers.{}.post_attention_layernorm": "blk.{}.ffn_norm",
    "model.layers.{}.mlp.gate_proj": "blk.{}.ffn_gate",
    "model.layers.{}.mlp.up_proj": "blk.{}.ffn_up",
    "model.layers.{}.mlp.down_proj": "blk.{}.ffn_down",
    "model.norm": "output_norm",
    HEAD: "output",
}
_GPT2 = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.h.{}.ln_1": "blk.{}.attn_norm",
    "transformer.h.{}.attn.c_attn": "blk.{}.attn_qkv",
    "transformer.h.{}.attn.c_proj": "blk.{}.attn_output",
    "transformer.h.{}.ln_2": "blk.{}.ffn_norm",
    "transformer.h.{}.mlp.c_fc": "blk.{}.ffn_up",
    "transformer.h.{}.mlp.c_proj": "blk.{}.ffn_down",
    "transformer.ln_f": "output_norm",
    HEAD: "output",
}
_PHI = {
    name.replace("mlp.up_proj", "mlp.fc1")
    .replace("mlp.down_proj", "mlp.fc2")
    .replace("o_proj", "dense")
    .replace("model.norm", "model.final_layernorm"): theirs
    for name, theirs in _LLAMA.items()
    if not name.endswith(("_norm", "gate_proj", "post_attention_layernorm"))
}
_BIASES = {"attention_bias": None, "mlp_bias": None}  # by whether the file has them

GGUF_ARCHITECTURES: dict[str, GgufArchitecture] = {
    "llama": GgufArchitecture(
        name="llama",
        model_type="llama",
        class_name="LlamaForCausalLM",
        activation=("swiglu", "silu"),
        keys=_SIZES | {RMS: "rms_norm_eps"},
        tensors=_LLAMA,
        fixed={"hidden_act": "silu"} | _BIASES,
        pairs=True,
    ),
    "gpt2": GgufArchitecture(
        name="gpt2",
        model_type="gpt2",
        class_name="GPT2LMHeadModel",
        activation=("gelu_tanh", "gelu_pytorch_tanh"),
        keys={
            "context_length": "n_positions",
            "embedding_length": "n_embd",
            "block_count": "n_layer",
            "feed_forward_length": "n_inner",
            "attention.head_count": "n_head",
            "vocab_size": "vocab_size",
            CENTRED: "layer_norm_epsilon",
        },
        tensors=_GPT2,
        fixed={"activation_function": "gelu_pytorch_tanh"},
        transposed=("c_attn", "c_proj", "c_fc"),
    ),
    "qwen3": GgufArchitecture(
        name="qwen3",
        model_type="qwen3",
        class_name="Qwen3ForCausalLM",
        activation=("swiglu", "silu"),
        keys=_SIZES | {RMS: "rms_norm_eps"},
        tensors=_LLAMA,
        fixed={"hidden_act": "silu", "attention_bias": None, "use_sliding_window": False},
    ),
    "nemotron": GgufArchitecture(
        name="nemotron",
        model_type="nemotron",
        class_name="NemotronForCausalLM",
        activation=("relu2", "relu2"),
        keys=_SIZES | {CENTRED: "norm_eps"},
        tensors=_LLAMA,
        fixed={"hidden_act": "relu2", "partial": True} | _BIASES,
        offset=1.0,
        own_head=True,
    ),
    "olmo": GgufArchitecture(
        name="olmo",
        model_type="olmo",
        class_name="OlmoForCausalLM",
        activation=("swiglu", "silu"),
        keys=_SIZES | {CENTRED: "epsilon"},
        tensors=_LLAMA,
        fixed={"hidden_act": "silu", "attention_bias": None, "clip_qkv": None},
        pairs=True,
        in_transformers=False,
    ),
    "phi2": GgufArchitecture(
        name="phi2",
        model_type="phi",
        class_name="PhiForCausalLM",
        activation=("gelu_tanh", "gelu_pytorch_tanh"),
        keys=_SIZES | {CENTRED: "layer_norm_eps"},
        tensors=_PHI,
        fixed={"hidden_act": "gelu_pytorch_tanh", "partial": True, "qk_layernorm": False},
        own_head=True,
        in_transformers=False,
    ),
}
