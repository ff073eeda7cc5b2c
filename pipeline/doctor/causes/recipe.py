"""Causes in the recipe: regularization, averages, warm-up, size, norms, what attention may see, and the optimizer's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.doctor.case import Case
from pipeline.doctor.causes.base import (
    Cause,
    Hint,
    has_attention,
    has_hidden_layers,
    is_language,
    knob_above,
    knob_is,
    override,
)

HEAVY: Mapping[str, float] = {  # regularization beyond which little of the data is left
    "model.dropout": 0.5,
    "model.stochastic_depth": 0.5,
    "train.label_smoothing": 0.3,
    "train.mixup": 2.0,
    "train.z_loss": 0.1,
}
GENTLE = 0.5  # of those limits
NARROW, WIDE = 16, 32  # features
SEEN = 8  # tokens that a position attends to at least
LONGEST = 0.97  # momentum


def is_heavy(case: Case) -> bool:
    """Whether one kind of regularization is beyond its limit."""
    return any(float(case.knob(knob, 0.0)) > limit for knob, limit in HEAVY.items())


def _unknown(case: Case) -> bool:
    """Whether no knob is known; then what a knob alone makes likely is not."""
    return not case.knobs


def _is_gentle(case: Case) -> bool:
    """Whether all kinds are known, and far below their limits."""
    return all(float(case.knob(knob, 1e9)) <= GENTLE * limit for knob, limit in HEAVY.items())


def _without_regularization(case: Case) -> str:
    used = [knob for knob in HEAVY if knob == "model.dropout" or case.knob(knob, 0.0)]
    return " ".join(f"-S {knob}=0.0" for knob in used)


REGULARIZED_TO_DEATH = Cause(
    description="Dropout, label smoothing or other regularization is so strong that it drowns the data.",
    knob="model.dropout",
    overrides=_without_regularization,
    expected="If the loss falls lower without it, it was the regularization; add it again where the model overfits.",
    votes={
        "gradient_agreement low": 2.5,  # what is minimized is not the loss that is shown
        "gradient_agreement high": -2,
        "dropout_gap low": 2,
        "beyond_unigram low": 1,
        "bigram_share high": 1,
        "gain low": 1,
        "early_share low": 0.5,
        "beyond_majority low": 1,
        "logistic_margin low": 1,
        "reach low": -2,
        "update_ratio high": -1,
        "overfitting high": -2,
        "setback high": -1,
        "split_difference high": -2,
        "first_pass_gap high": -2,  # it makes the training loss higher, not that of validation
    },
    hints=(Hint(3.0, is_heavy), Hint(-4.0, _is_gentle), Hint(-1.0, _unknown)),
)

AVERAGES_LAG = Cause(
    description="What is evaluated is an average of the weights that reaches far back, to when the model was worse.",
    knob="train.ema",
    overrides=override("-S train.ema=0.0"),
    expected="If the validation loss falls lower, the average was too long for so few steps.",
    votes={
        "average_gap high": 3,
        "average_gap healthy": -1,
        "gradient_agreement high": 3,  # that of the newest weights over that of the average
        "gradient_agreement low": 0.5,
        "generalization_gap high": 0.5,
        "split_difference high": -2,
        "held_out_error high": -1,
    },
    hints=(
        Hint(2.0, lambda case: (1 - float(case.knob("train.ema", 0.0))) * float(case.knob("train.steps", 1e9)) < 3),
        Hint(-8.0, knob_is("train.ema", 0.0)),
    ),
)

ENDS_BEFORE_WARM_UP = Cause(
    description="The learning rate rises for most of the training, so that it never falls, or only in a hurry.",
    knob="train.warmup_ratio",
    overrides=override("-S train.warmup_ratio=0.05"),
    expected="If the loss ends lower, it was the warm-up.",
    votes={"late_peak high": 3, "late_peak healthy": -4, "early_share low": 1, "late_share high": 0.5},
)

TOO_SMALL = Cause(
    description="The network has too few features to hold what there is to learn.",
    knob="model.width",
    overrides=lambda case: f"-S model.width={int(case.knob('model.width', 64)) * 4}",
    expected="If a network four times as wide ends lower after as many steps, it was too small.",
    votes={
        "rank_used high": 2,
        "bigram_share high": 1,
        "beyond_unigram low": 1,
        "gain low": 1,
        "beyond_majority low": 1,
        "logistic_margin low": 1,
        "generalization_gap high": -2,
        "overfitting high": -2,
        "setback high": -1,
        "update_ratio high": -1,
        "reach low": -2,
        "gradient_agreement high": -1,
        "late_share high": -1,
    },
    hints=(
        Hint(2.5, lambda case: case.knob("model.width", NARROW) < NARROW),
        Hint(-4.0, lambda case: case.knob("model.width", 0) >= WIDE),
        Hint(-1.5, _unknown),
    ),
)

CONTENT_IGNORED = Cause(
    description="Attention weighs all earlier tokens alike, whatever they are: queries and keys are missing, or not trained.",
    knob="model.attention",
    overrides=override("-S model.attention=full"),
    expected="If heads then prefer some tokens and the loss ends lower, it was the attention.",
    votes={"attention_off high": 1, "attention_choice low": 4, "attention_choice healthy": -4, "context_gain low": 0.5},
    hints=(Hint(1.0, knob_is("model.attention", "average")),),
    applies=has_attention,
)

CONTEXT_TOO_SHORT = Cause(
    description="The network sees only the last few tokens, and what it would have to know stands before them.",
    knob="model.context_length",
    overrides=lambda case: f"-S model.context_length={int(case.knob('model.context_length', 32)) * 4} -S model.attention=full",
    expected="If the loss ends lower with four times the context, it was too short.",
    votes={"bigram_share high": 1, "beyond_unigram low": 1, "gain low": 1, "reach low": -2, "setback high": -1},
    hints=(
        Hint(2.5, lambda case: _visible(case) < SEEN),
        Hint(-4.0, lambda case: _visible(case) >= SEEN),
        Hint(-1.5, _unknown),
    ),
    applies=is_language,
)

SQUARES_FORGOTTEN = Cause(
    description="Adam's average of squared gradients forgets so fast that a rare large gradient is hardly divided down.",
    knob="train.beta2",
    overrides=override("-S train.beta2=0.98"),
    expected="If the loss no longer jumps, it was the average.",
    votes={
        "setback high": 1.5,
        "peak high": 1,
        "roughness high": 1,
        "gradient_spike high": 1,
        "update_ratio high": 0.5,
        "reach low": -2,
    },
    hints=(
        Hint(3.0, lambda case: case.knob("train.beta2", 1.0) < 0.85 and case.knob("train.optimizer") != "lion"),
        Hint(-6.0, lambda case: case.knob("train.beta2", 0.0) >= 0.85 or case.knob("train.optimizer") in ("lion", "sgd")),
        Hint(-2.0, _unknown),
    ),
)

MOMENTUM_TOO_LONG = Cause(
    description="Momentum averages so many gradients that steps still follow those of a place left long ago.",
    knob="train.momentum",
    overrides=override("-S train.momentum=0.9 -S train.beta1=0.9"),
    expected="If the loss no longer swings, it was the momentum.",
    votes={
        "setback high": 1.5,
        "peak high": 1,
        "early_share low": 1,
        "update_ratio high": 1,
        "gain low": 0.5,
        "beyond_unigram low": 0.5,
        "log_partition high": 0.5,
        "reach low": -1,
    },
    hints=(
        Hint(2.5, lambda case: _momentum(case) > LONGEST),
        Hint(-5.0, lambda case: 0 <= _momentum(case) <= LONGEST),
        Hint(-2.0, _unknown),
    ),
)

NO_NORMALIZATION = Cause(
    description="Without norms the size of the features is not controlled: it grows or shrinks from layer to layer.",
    knob="model.norm",
    overrides=override("-S model.norm=layer_plain"),
    expected="If the run is healthy then, the norms were missing.",
    votes={
        "norm_missing high": 10,
        "activation_growth high": 1.5,
        "activation_growth low": 1.5,
        "gradient_ratio low": 1,
        "gradient_ratio high": 1,
        "nan_loss high": 1,
        "setback high": 0.5,
        "peak high": 0.5,
        "gain low": 0.5,
        "beyond_unigram low": 0.5,
        "bigram_share high": 0.5,
        "start_loss high": 0.5,
        "logistic_margin low": 0.5,
        "reach low": -1,
    },
    hints=(
        Hint(2.5, knob_is("model.norm", "none")),
        Hint(-6.0, lambda case: case.knob("model.norm", "none") != "none"),
        Hint(-1.5, _unknown),
    ),
    applies=has_hidden_layers,
)

EXPLAINED: tuple[Callable[[Case], bool], ...] = (  # knobs that are enough to learn little; damaged data need not be suspected
    is_heavy,
    knob_above("train.epsilon", 1e-4),
    knob_above("train.weight_decay", 1.0),
    knob_above("train.warmup_ratio", 0.5),
    knob_is("model.residual", "none"),
    knob_is("model.norm", "none"),
    knob_is("model.attention", "average"),
    lambda case: case.knob("model.width", NARROW) < NARROW,
    lambda case: _visible(case) < SEEN,
    lambda case: _momentum(case) > LONGEST,
)


def explained_by_a_knob(case: Case) -> bool:
    """Whether a knob alone is enough of a reason that little is learned."""
    return any(holds(case) for holds in EXPLAINED)


def _visible(case: Case) -> float:
    """How many tokens a position attends to; many where that is unknown."""
    window = case.knob("model.window", 1e9) if case.knob("model.attention") == "window" else 1e9
    return float(min(case.knob("model.context_length", 1e9), window))


def _momentum(case: Case) -> float:
    """The factor on the average of the gradients; -1 where it is unknown."""
    optimizer = case.knob("train.optimizer", "")
    if optimizer in ("muon", "sgd"):
        return float(case.knob("train.momentum", -1.0))
    return float(case.knob("train.beta1", -1.0)) if optimizer and optimizer != "adafactor" else -1.0
