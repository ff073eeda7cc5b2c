"""Causes in the evaluation: dropout, the splits and the KV cache."""

from __future__ import annotations

from pipeline.doctor.causes.base import Cause, Hint, is_language, knob_above, override

DROPOUT_IN_EVALUATION = Cause(
    description="Dropout is still active in evaluation (`model.eval()` is missing): the validation loss is that of a thinned"
    " network.",
    knob="model.dropout",
    overrides=override("-S model.dropout=0.0"),
    expected="If the validation loss falls by more than the training loss, dropout was active in both.",
    votes={
        "unrepeatable high": 3,
        "unrepeatable healthy": -3,
        "batch_leak high": 2,
        "cache_difference high": 1.5,
        "future_leak high": 1,
        "future_leak healthy": -1,
        "dropout_gap high": 1.5,
    },
    hints=(
        Hint(1.0, knob_above("model.dropout", 0.0)),
        Hint(-8.0, lambda case: not case.knob("model.dropout", 0.1)),
    ),
    applies=is_language,
)

VALIDATION_TEXT_IN_TRAINING = Cause(
    description="Data leakage: the validation text is also in the training split, so that memorizing it looks like"
    " generalizing.",
    knob="prepare.validation_share",
    overrides=override("-S prepare.validation_share=0.2"),
    expected="If the overlap stays, the splits share documents.",
    votes={"held_out_unlike high": 1, "overlap high": 3, "overlap healthy": -3, "copied_length high": 0.5},
)

WRONG_KV_CACHE = Cause(
    description="Token by token the model computes something else than in one pass: positions or cached keys are off.",
    knob="",
    overrides=override("-S train.steps=1"),
    expected="If metrics/sanity.json still has a large `cache_difference` with untrained weights, it is the cache.",
    votes={"cache_difference high": 2, "future_leak high": -2, "future_leak healthy": 0.5},
    hints=(Hint(-1.5, lambda case: bool(case.knob("model.dropout", 0.0))),),
    applies=is_language,
)
