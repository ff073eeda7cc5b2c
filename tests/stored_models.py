"""Published language models as they are stored: fields of config.json, names and types of tensors; small, with random weights.

    python -m tests.stored_models    # the table of docs/importing.md

Each has the config.json that its source publishes, with small sizes; tests/test_stored_models.py writes and reads it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TOKENS = 300  # ids of each tokenizer
PADDED = 320  # rows of an embedding that is rounded up
LENGTH = 16


class Stored(NamedTuple):
    """A model as it is stored.

    Attributes:
        source: whose config.json it has.
        what: what is particular about it.
        config: the fields of its config.json.
        tokenizer: what kind its tokenizer.json is of (TOKENIZERS).
        weights: the largest difference of logits from transformers' that is allowed, or the line that refuses it.
        stored: how the weights lie in the folder (LAYOUTS of the test), besides float32 under the names of transformers.
    """

    source: str
    what: str
    config: dict[str, Any]
    tokenizer: str
    weights: float | str
    stored: tuple[str, ...] = ()


# Kind of tokenizer.json -> "" if it is read, or the line that refuses it.
TOKENIZERS: dict[str, str] = {
    "GPT-2": "",
    "Llama 3": "",
    "SmolLM2": "",
    "GPT-NeoX": "",
    "Qwen": "",
    "SentencePiece": "'normalizer' is 'Sequence', which changes the text; set it to null",
}

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
    "max_position_embeddings": LENGTH,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": TOKENS,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OLD_LLAMA = LLAMA | {"pretraining_tp": 1, "rope_scaling": None, "torch_dtype": "float16", "transformers_version": "4.31.0"}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
MISTRAL = LLAMA | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_key_value_heads": 2}
QWEN2 = LLAMA | {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "attention_dropout": 0.0,
    "max_window_layers": 2,
    "sliding_window": LENGTH,
    "use_sliding_window": False,
    "vocab_size": PADDED,
}
QWEN3 = QWEN2 | {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 16,
    "rope_scaling": None,
    "sliding_window": None,
    "tie_word_embeddings": True,
}
GPT2: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 256,
    "embd_pdrop": 0.1,
    "eos_token_id": 256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": LENGTH,
    "n_embd": 64,
    "n_head": 4,
    "n_layer": 2,
    "n_positions": LENGTH,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": TOKENS,
}
OLMO = {key: value for key, value in LLAMA.items() if key != "rms_norm_eps"} | {
    "architectures": ["OlmoForCausalLM"],
    "model_type": "olmo",
    "attention_bias": False,
    "clip_qkv": None,
    "pad_token_id": 1,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "vocab_size": PADDED,
}
PYTHIA: dict[str, Any] = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 256,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": LENGTH,
    "model_type": "gpt_neox",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": PADDED,
}
NEO: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPTNeoForCausalLM"],
    "attention_dropout": 0,
    "attention_layers": ["global", "local"],
    "attention_types": [[["global", "local"], 1]],
    "bos_token_id": 256,
    "embed_dropout": 0,
    "eos_token_id": 256,
    "gradient_checkpointing": False,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": None,
    "layer_norm_epsilon": 1e-05,
    "max_position_embeddings": 2 * LENGTH,
    "model_type": "gpt_neo",
    "num_heads": 4,
    "num_layers": 2,
    "resid_dropout": 0,
    "use_cache": True,
    "vocab_size": TOKENS,
    "window_size": LENGTH,
}
PHI = {key: value for key, value in LLAMA.items() if key != "rms_norm_eps"} | {
    "architectures": ["PhiForCausalLM"],
    "model_type": "phi",
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-05,
    "num_key_value_heads": None,
    "partial_rotary_factor": 0.5,
    "qk_layernorm": False,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "vocab_size": PADDED,
}
NEMOTRON = {key: value for key, value in LLAMA.items() if key != "rms_norm_eps"} | {
    "architectures": ["NemotronForCausalLM"],
    "model_type": "nemotron",
    "hidden_act": "relu2",
    "attention_bias": False,
    "mlp_bias": False,
    "head_dim": 16,
    "norm_eps": 1e-05,
    "num_key_value_heads": 2,
    "partial_rotary_factor": 0.5,
    "rope_theta": 10000.0,
    "vocab_size": PADDED,
}

SCALED = (
    "rope_parameters: {{'rope_type': {kind!r}, … is not supported; Rally's rotary positions have one base and are not scaled"
)
PICKLES = (
    "has no model.safetensors; weights in other formats (pickles) are not read; load them with `transformers` and save them by"
    " `save_pretrained`, which writes safetensors"
)


def other(family: str, why: str) -> str:
    return f"model_type: '{family}' is not supported. {why}"


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


STORED: tuple[Stored, ...] = (
    Stored(
        "openai-community/gpt2",
        "names without `transformer.`, masks stored as `attn.bias`, no head, no `tie_word_embeddings`",
        GPT2,
        "GPT-2",
        5e-6,
        ("inner names", "masks"),
    ),
    Stored(
        "distilbert/distilgpt2",
        "an `id2label` in a language model",
        GPT2 | {"_num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}},
        "GPT-2",
        5e-6,
        ("masks",),
    ),
    Stored("openai-community/gpt2-medium", "the tied head stored a second time", GPT2, "GPT-2", 5e-6, ("masks", "head again")),
    Stored("openai-community/gpt2, saved as pickles", "`pytorch_model.bin` alone", GPT2, "GPT-2", PICKLES, ("pickles",)),
    Stored(
        "stanford-crfm/alias-gpt2-small-x21",
        "`scale_attn_by_inverse_layer_idx`",
        GPT2 | {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
        "GPT-2",
        "scale_attn_by_inverse_layer_idx: True is not supported; Rally's layers scale their scores alike",
    ),
    Stored(
        "meta-llama/Llama-2-7b-hf",
        "float16, two files and an index, frequencies stored",
        OLD_LLAMA,
        "SentencePiece",
        5e-6,
        ("float16", "frequencies", "two files"),
    ),
    Stored(
        "meta-llama/Llama-2-7b-hf, half downloaded",
        "one of two files",
        OLD_LLAMA,
        "Llama 3",
        "has 1 of 2 files of weights (model-00002-of-00002.safetensors and others)",
        ("two files", "one is missing"),
    ),
    Stored(
        "huggyllama/llama-7b", "`rms_norm_eps` 1e-6", OLD_LLAMA | {"rms_norm_eps": 1e-6}, "SentencePiece", 5e-6, ("float16",)
    ),
    Stored(
        "JackFram/llama-68m",
        "`rms_norm_eps` 1e-6, no `num_key_value_heads`",
        without(OLD_LLAMA, "num_key_value_heads") | {"rms_norm_eps": 1e-6},
        "SentencePiece",
        5e-6,
    ),
    Stored(
        "a `LlamaConfig()` of transformers 5",
        "`rope_parameters`, `rms_norm_eps` 1e-6, `head_dim`",
        LLAMA | {"rms_norm_eps": 1e-6, "head_dim": 16, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
        "GPT-2",
        5e-6,
    ),
    Stored(
        "meta-llama/Meta-Llama-3-8B",
        "bfloat16, grouped keys, base 500,000",
        LLAMA | {"num_key_value_heads": 2, "rope_theta": 500000.0, "rope_scaling": None, "torch_dtype": "bfloat16"},
        "Llama 3",
        5e-6,
        ("bfloat16", "two files"),
    ),
    Stored(
        "meta-llama/Llama-3.1-8B",
        "scaled rotary positions",
        LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3 | {"rope_type": "llama3"}},
        "Llama 3",
        SCALED.format(kind="llama3"),
        ("bfloat16",),
    ),
    Stored(
        "meta-llama/Llama-3.2-1B",
        "scaled rotary positions, tied, `head_dim`",
        LLAMA
        | {"head_dim": 16, "rope_theta": 500000.0, "rope_scaling": LLAMA3 | {"factor": 32.0, "rope_type": "llama3"}}
        | {"tie_word_embeddings": True},
        "Llama 3",
        SCALED.format(kind="llama3"),
        ("bfloat16",),
    ),
    Stored(
        "meta-llama/Llama-3.2-1B, saved by transformers 5",
        "scaled rotary positions in `rope_parameters`",
        LLAMA | {"rope_parameters": LLAMA3 | {"rope_type": "llama3", "rope_theta": 500000.0}},
        "Llama 3",
        SCALED.format(kind="llama3"),
    ),
    Stored(
        "deepseek-ai/deepseek-coder-1.3b-base",
        "`rope_scaling` of `type` linear",
        LLAMA | {"rope_theta": 100000, "rope_scaling": {"type": "linear", "factor": 4.0}},
        "Llama 3",
        SCALED.format(kind="linear"),
    ),
    Stored(
        "HuggingFaceTB/SmolLM2-135M",
        "tied, 9 heads and 3 of keys, base 100,000, bfloat16, keys of other programs",
        LLAMA
        | {"hidden_size": 72, "num_attention_heads": 9, "num_key_value_heads": 3, "rope_theta": 100000, "rope_scaling": None}
        | {"tie_word_embeddings": True, "is_llama_config": True, "rope_interleaved": False, "mlp_bias": False}
        | {"attention_bias": False, "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}},
        "SmolLM2",
        5e-6,
        ("bfloat16",),
    ),
    Stored(
        "HuggingFaceTB/SmolLM3-3B",
        "layers without positions",
        LLAMA | {"model_type": "smollm3", "no_rope_layers": [1, 0]},
        "Llama 3",
        other("smollm3", "Some of its layers have no positions"),
    ),
    Stored(
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
        "grouped keys, float32",
        OLD_LLAMA | {"num_key_value_heads": 1, "torch_dtype": "float32"},
        "SentencePiece",
        5e-6,
    ),
    Stored(
        "nickypro/tinyllama-15M",
        "llama2.c's stories15M: 6 heads, hidden features that are not a round multiple of the width",
        OLD_LLAMA | {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 6, "intermediate_size": 127},
        "SentencePiece",
        5e-6,
    ),
    Stored(
        "nickypro/tinyllama-15M, tied",
        "as llama2.c trains it: one matrix, stored as embedding and as head",
        OLD_LLAMA | {"tie_word_embeddings": True},
        "SentencePiece",
        5e-6,
        ("head again",),
    ),
    Stored(
        "internlm/internlm2 as Llama",
        "biases in attention alone",
        LLAMA | {"attention_bias": True, "mlp_bias": False},
        "Llama 3",
        5e-6,
    ),
    Stored(
        "a GPTQ of Llama",
        "quantized weights",
        OLD_LLAMA | {"quantization_config": {"bits": 4, "quant_method": "gptq"}},
        "Llama 3",
        "model.layers.0.self_attn.q_proj.qweight has the type I32; only F64, F32, F16, BF16 can be read, quantized weights"
        " cannot",
        ("quantized",),
    ),
    Stored(
        "mistralai/Mistral-7B-v0.1",
        "a window as long as the context, two files",
        MISTRAL | {"sliding_window": LENGTH, "rope_theta": 10000.0, "torch_dtype": "bfloat16"},
        "SentencePiece",
        5e-6,
        ("bfloat16", "two files"),
    ),
    Stored(
        "mistralai/Mistral-7B-v0.3",
        "no window, base 1,000,000, a second copy named `consolidated.safetensors`",
        MISTRAL | {"sliding_window": None, "rope_theta": 1000000.0, "attention_dropout": 0.0},
        "SentencePiece",
        5e-6,
        ("bfloat16", "consolidated"),
    ),
    Stored(
        "a Mistral with a window",
        "a window shorter than the context",
        MISTRAL | {"sliding_window": 5, "rope_theta": 10000.0},
        "GPT-2",
        5e-6,
    ),
    Stored(
        "mistralai/Mistral-Nemo-Base-2407",
        "`head_dim` other than width / heads",
        MISTRAL | {"sliding_window": None, "head_dim": 8, "rope_theta": 1000000.0},
        "GPT-2",
        "head_dim: 8 is not supported; Rally's heads have width / heads features each",
    ),
    Stored(
        "Qwen/Qwen2.5-0.5B",
        "biases of queries, keys and values alone, tied, `rms_norm_eps` 1e-6, padded",
        QWEN2 | {"tie_word_embeddings": True, "use_mrope": False, "torch_dtype": "bfloat16"},
        "Qwen",
        5e-6,
        ("bfloat16",),
    ),
    Stored("Qwen/Qwen2.5-7B", "not tied", QWEN2, "Qwen", 5e-6, ("two files",)),
    Stored(
        "Qwen/Qwen3-0.6B",
        "`head_dim` other than width / heads",
        QWEN3 | {"head_dim": 32},
        "Qwen",
        "head_dim: 32 is not supported; Rally's heads have width / heads features each",
    ),
    Stored(
        "Qwen/Qwen3-1.7B",
        "trained norms of queries and keys",
        QWEN3,
        "Qwen",
        "model.layers.0.self_attn.q_norm.weight has trained weights of a norm of queries or keys, which Rally's (model.qk_norm)"
        " do not have",
    ),
    Stored(
        "a Qwen3 whose norms of queries and keys stayed ones",
        "`rms_norm_eps` 1e-6, tied, padded",
        QWEN3,
        "Qwen",
        5e-6,
        ("ones in the norms of queries and keys",),
    ),
    Stored("allenai/OLMo-1B-hf", "norms without weights, tied, padded", OLMO | {"tie_word_embeddings": True}, "GPT-NeoX", 1e-5),
    Stored(
        "allenai/OLMo-1.7-7B-hf",
        "`clip_qkv`",
        OLMO | {"clip_qkv": 8.0},
        "GPT-NeoX",
        "clip_qkv: 8.0 is not supported; Rally does not clip queries, keys and values",
    ),
    Stored(
        "allenai/OLMo-2-0425-1B",
        "norms after the branches",
        OLMO | {"model_type": "olmo2", "rms_norm_eps": 1e-6},
        "GPT-NeoX",
        other("olmo2", "It norms the outputs of its branches alone, and queries and keys over all heads"),
    ),
    Stored(
        "EleutherAI/pythia-70m",
        "a quarter of each head rotated, a norm for each parallel branch, queries, keys and values as one tensor by head,"
        " float16, head named `embed_out`, masks of truth values, padded",
        PYTHIA,
        "GPT-NeoX",
        5e-6,
        ("float16", "masks", "embed_out", "frequencies"),
    ),
    Stored(
        "EleutherAI/pythia-70m, saved by transformers 5",
        "`rope_parameters`",
        without(PYTHIA, "rotary_emb_base", "rotary_pct")
        | {"rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 10000, "rope_type": "default"}}
        | {"attention_bias": True, "dtype": "float32"},
        "GPT-NeoX",
        5e-6,
        ("embed_out",),
    ),
    Stored(
        "togethercomputer/RedPajama-INCITE-Base-3B-v1",
        "branches one after the other, whole heads rotated",
        PYTHIA | {"use_parallel_residual": False, "rotary_pct": 1.0},
        "GPT-NeoX",
        5e-6,
        ("float16", "masks", "embed_out"),
    ),
    Stored(
        "roneneldan/TinyStories-33M",
        "windows of 256 in every other layer (contexts up to 256 are read), scores that are not divided, masks stored",
        NEO,
        "GPT-2",
        5e-6,
        ("masks",),
    ),
    Stored("roneneldan/TinyStories-1M", "`pytorch_model.bin` alone", NEO, "GPT-2", PICKLES, ("pickles",)),
    Stored(
        "EleutherAI/gpt-neo-125m", "the tied head stored a second time, float16", NEO, "GPT-2", 5e-6, ("float16", "head again")
    ),
    Stored(
        "microsoft/phi-1_5",
        "half of each head rotated, a bias in the output head, padded",
        PHI,
        "GPT-2",
        "lm_head.bias is a bias of the output head, which Rally's networks do not have",
    ),
    Stored(
        "a Phi without a trained bias in its head", "half of each head rotated, padded", PHI, "GPT-2", 5e-6, ("no head bias",)
    ),
    Stored(
        "nvidia/Minitron-4B-Base",
        "half of each head rotated, norms stored minus 1, padded, bfloat16",
        NEMOTRON,
        "SentencePiece",
        5e-6,
        ("bfloat16",),
    ),
    Stored(
        "microsoft/Phi-3-mini-4k-instruct",
        "queries, keys and values as one tensor",
        LLAMA | {"model_type": "phi3"},
        "SentencePiece",
        other("phi3", "Its queries, keys and values are one tensor; published ones scale their rotary positions"),
    ),
    Stored(
        "google/gemma-2-2b",
        "embeddings scaled, logits capped",
        LLAMA | {"model_type": "gemma2"},
        "SentencePiece",
        other("gemma2", "It scales its embeddings, caps its logits, and its windows alternate"),
    ),
    Stored(
        "facebook/opt-125m",
        "positions shifted by two",
        LLAMA | {"model_type": "opt"},
        "GPT-2",
        other("opt", "It shifts its positions by two"),
    ),
    Stored(
        "state-spaces/mamba-130m-hf",
        "no attention",
        LLAMA | {"model_type": "mamba"},
        "GPT-NeoX",
        other("mamba", "It has no attention"),
    ),
)


def table() -> list[str]:
    """The rows of docs/importing.md."""
    head = ["| as stored by | what is particular | weights | tokenizer |", "|---|---|---|---|"]
    return head + [f"| {one.source} | {one.what} | {_weights(one.weights)} | {_tokenizer(one.tokenizer)} |" for one in STORED]


def _weights(outcome: float | str) -> str:
    return f"**refused**: {outcome}" if isinstance(outcome, str) else f"load, within {outcome:.0e}".replace("e-0", "e-")


def _tokenizer(kind: str) -> str:
    return f"{kind}: **refused**" if TOKENIZERS[kind] else f"{kind}: read"


if __name__ == "__main__":
    print("\n".join(table()))
