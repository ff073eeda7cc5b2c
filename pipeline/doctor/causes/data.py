"""Causes in the data: targets, labels, classes, and too little of it."""

from __future__ import annotations

from pipeline.doctor.case import Case
from pipeline.doctor.causes.base import Cause, Hint, is_classifier, is_language, knob_above, knob_is, override

MOST = 0.6  # share of the most frequent class above which classes are imbalanced

TARGETS_NOT_SHIFTED = Cause(
    description="Targets are not shifted by one token: each target is its own input, so copying is enough. The causal mask is"
    " correct.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the most likely next token is the current token everywhere, targets are not shifted.",
    votes={
        "floor_margin low": 3,
        "bigram_share low": 2,
        "future_leak healthy": 1.5,
        "future_leak high": -3,
        "batch_leak high": -3,
        "distinct_2 low": 0.5,
    },
    applies=is_language,
)

SHUFFLED_TARGETS = Cause(
    description="Targets do not belong to their inputs, so only the frequency of each token can be learned.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the targets are not the inputs shifted by one, they are mixed up.",
    votes={
        "beyond_unigram low": 2,
        "gain low": 0.5,
        "reach healthy": 1,
        "reach low": -3,
        "update_ratio high": -1,
        "late_share high": -1,
        "effective_rank low": -1,
        "gradient_ratio low": -2,
        "gradient_ratio healthy": 0.5,
        "gradient_agreement high": -2,
        "start_loss high": -2,
        "stopped_early high": -1,
        "roughness high": -0.5,
        "decay_share high": -2,
    },
    applies=is_language,
)

TOO_LITTLE_TEXT = Cause(
    description="Overfitting: the model is large enough to memorize the training text before it learns what generalizes.",
    knob="model.dropout",
    overrides=override("-S model.dropout=0.2"),
    expected="If the validation loss falls lower, it was overfitting; fewer steps or more text also help.",
    votes={"generalization_gap high": 2, "validation_rise high": 3, "copied_length high": 1},
    applies=is_language,
)

WRONG_LABELS = Cause(
    description="Labels do not belong to their examples, so only class frequencies can be learned; the rest can only be"
    " memorized.",
    knob="prepare.label_noise",
    overrides=override("-S prepare.label_noise=0.0"),
    expected="If the worst mistakes in metrics/samples.md are classified correctly and labelled wrongly, labels are mixed up.",
    votes={
        "beyond_majority low": 2,
        "beyond_majority healthy": -2,
        "logistic_margin low": 0.5,
        "reach healthy": 1,
        "reach low": -3,
        "overfitting high": 1,
        "overfitting healthy": 0.5,
        "update_ratio high": -1,
        "effective_rank low": -2,
        "predicted_classes low": -0.5,
        "start_loss high": -1,
        "stopped_early high": -1,
        "decay_share high": -2,
    },
    hints=(Hint(2.0, knob_above("prepare.label_noise", 0.3)),),
    applies=is_classifier,
)

CLASS_IMBALANCE = Cause(
    description="One class is so frequent that always predicting it costs little.",
    knob="train.class_weights",
    overrides=override("-S train.class_weights=balanced"),
    expected="If more classes are predicted and the macro F1 rises, it was the imbalance.",
    votes={"predicted_classes low": 1.5, "predicted_classes healthy": -2, "beyond_majority low": 0.5},
    hints=(
        Hint(1.5, lambda case: _most_frequent(case) > MOST),
        Hint(-3.0, lambda case: _most_frequent(case) <= MOST),
        Hint(-3.0, knob_is("train.class_weights", "balanced")),
    ),
    applies=is_classifier,
)

TOO_FEW_EXAMPLES = Cause(
    description="Overfitting: the network is large enough to memorize the training examples, and then only grows more"
    " confident in its mistakes.",
    knob="model.dropout",
    overrides=lambda case: f"-S model.dropout=0.2{' -S train.shift=2' if case.kind == 'vision' else ''}",
    expected="If the validation loss no longer rises, it was overfitting; fewer steps or more examples also help.",
    votes={"overfitting high": 3, "overfitting healthy": -2, "logistic_margin low": 0.5, "beyond_majority low": -1},
    applies=is_classifier,
)


def _most_frequent(case: Case) -> float:
    """The share of the most frequent class."""
    return case.levels.get("majority", 0.0)
