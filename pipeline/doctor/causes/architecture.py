"""Causes in the network: its mask, attention scale, initialization, depth, residual connections and activations."""

from __future__ import annotations

from pipeline.doctor.causes.base import (
    Cause,
    Hint,
    has_attention,
    has_hidden_layers,
    has_residual_stream,
    is_language,
    knob_is,
    override,
)

NO_CAUSAL_MASK = Cause(
    description="Attention sees later tokens, among them the target.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the attention maps are filled above their diagonal, the mask is missing.",
    votes={
        "mask_missing high": 2,
        "mask_inverted high": -1,
        "attention_off high": 1,
        "attention_off healthy": -3,
        "future_leak high": 3,
        "future_leak healthy": -4,
        "batch_leak healthy": 0.5,
        "batch_leak high": -4,
        "floor_margin low": 1,
        "cache_difference high": 1,
        "previous_token healthy": 0.5,
        "previous_token low": -1,
    },
    applies=is_language,
)

MASK_INVERTED = Cause(
    description="Attention sees later tokens and never earlier ones.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the attention maps are empty below their diagonal, the mask is inverted.",
    votes={
        "mask_inverted high": 4,
        "attention_off healthy": -3,
        "future_leak high": 2.5,
        "future_leak healthy": -4,
        "batch_leak healthy": 0.5,
        "batch_leak high": -4,
        "previous_token low": 2,
        "attention_sink low": 1,
        "floor_margin low": 1,
        "cache_difference high": 1,
    },
    applies=is_language,
)

WRONG_ATTENTION_SCALE = Cause(
    description="Attention scores are not divided by the square root of the head width, so the softmax picks a single key"
    " before anything is learned.",
    knob="model.qk_norm",
    overrides=override("-S model.qk_norm=true"),
    expected="If untrained heads then attend almost uniformly, the scores were too large.",
    votes={
        "attention_sharper high": 4,
        "attention_off healthy": -3,
        "attention_entropy_start low": 3,
        "attention_entropy_start healthy": -1,
        "attention_logit high": 1,
        "attention_entropy low": 1,
        "start_loss high": -1.5,
        "update_ratio high": -0.5,
    },
    applies=has_attention,
)

INITIAL_WEIGHTS_TOO_LARGE = Cause(
    description="The untrained network makes confident predictions, and nearly all of them are wrong.",
    knob="model.init",
    overrides=override("-S model.init=gpt2"),
    expected="If the loss starts at ln V, it was the initialization.",
    votes={
        "initial_size high": 2,
        "start_loss high": 3,
        "start_loss healthy": -2,
        "start_excess high": 1,
        "attention_entropy_start low": 1,
        "attention_entropy_start healthy": -0.5,
        "reach low": 2,  # a step is a small share of a large weight
        "peak high": 0.5,
        "activation_growth high": 0.5,
    },
)

NO_RESIDUALS = Cause(
    description="Without residual connections every layer mixes the tokens further, until their features are the same (rank"
    " collapse).",
    knob="model.residual",
    overrides=override("-S model.residual=pre"),
    expected="If it then does better than token (or class) frequencies, it was the missing residual connections.",
    votes={
        "residual_missing high": 7,
        "predicted_classes low": 1,
        "beyond_majority low": 1,
        "logistic_margin low": 0.5,
        "effective_rank low": 3,
        "beyond_unigram low": 1,
        "gradient_ratio low": 1,
        "gradient_ratio high": 1,
    },
    hints=(
        Hint(2.0, knob_is("model.residual", "none")),
        Hint(-3.0, lambda case: case.knob("model.residual", "none") != "none"),
    ),
    applies=has_residual_stream,
)

TOO_DEEP = Cause(
    description="Many layers pass on a narrow signal, and each of them degrades it.",
    knob="model.depth",
    overrides=lambda case: f"-S model.depth={max(int(case.knob('model.depth', 4)) // 4, 1)}",
    expected="If a quarter of the layers do better, it was too deep.",
    votes={
        "beyond_majority low": 1,
        "logistic_margin low": 0.5,
        "effective_rank low": 1,
        "beyond_unigram low": 1,
        "gain low": 1,
        "gradient_ratio low": 1,
        "gradient_ratio high": 1,
    },
    hints=(
        Hint(2.0, lambda case: case.knob("model.depth", 0) >= 24 and case.knob("model.width", 1024) <= 256),
        Hint(-3.0, lambda case: case.knob("model.depth", 0) < 12),
    ),
    applies=has_hidden_layers,
)

DEAD_UNITS = Cause(
    description="Hidden units of the feed-forward layers are 0 for every token, so no gradient reaches them and they stay"
    " dead.",
    knob="model.activation",
    overrides=override("-S model.activation=gelu"),
    expected="If the share of dead units falls and the loss with it, it was the activation function.",
    votes={
        "feed_forward_off high": 1,
        "initial_spread_off high": 0.5,
        "beyond_majority low": -1,
        "dead high": 3,
        "dead healthy": -3,
        "gain low": -1,
        "beyond_unigram low": -1,
        "update_ratio high": -1,
        "gradient_ratio low": -1,
    },
    applies=has_hidden_layers,
)

SATURATING_ACTIVATION = Cause(
    description="Hidden units are at the flat ends of their activation function, where the gradient almost vanishes.",
    knob="model.activation",
    overrides=override("-S model.activation=gelu"),
    expected="If the gradient reaches the first layers and the loss falls, it was the activation function.",
    votes={
        "feed_forward_off high": 1,
        "initial_spread_off high": 0.5,
        "saturated high": 3,
        "saturated healthy": -2,
        "gradient_ratio low": 0.5,
        "effective_rank low": 0.5,
        "update_ratio high": -1,
    },
    hints=(Hint(1.0, knob_is("model.activation", "sigmoid", "tanh")),),
    applies=has_hidden_layers,
)

EXAMPLES_LEAK = Cause(
    description="Batch leakage: something is computed over the whole batch, so examples see each other.",
    knob="",
    overrides=override("-S train.steps=1"),
    expected="If metrics/sanity.json still has an `across_batch` above 0, they do.",
    votes={
        "network_off high": 1,
        "batch_leak high": 3,
        "batch_leak healthy": -3,
        "future_leak high": -2,
    },
)

WRONG_NETWORK = Cause(
    description="The network sees each pixel by itself or in patches, where neighbouring pixels belong together.",
    knob="model.network",
    overrides=override("-S model.network=cnn"),
    expected="If the CNN classifies better, it was the architecture.",
    votes={"logistic_margin low": 1.5, "beyond_majority low": -1, "reach low": -1, "update_ratio high": -1},
    applies=lambda case: case.kind == "vision" and case.knob("model.network") != "cnn",
)
