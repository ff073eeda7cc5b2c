"""Causes that a checked step localizes: a part of the training that is not what the knobs and the stored data say."""

from __future__ import annotations

from pipeline.doctor.causes.base import Cause, is_language, override

BATCHES_NOT_STORED = Cause(
    description="What the network is trained on is not what is stored: the tokens in memory, the windows or their targets were"
    " changed, or only some of the text is drawn.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If a decoded batch is not a piece of the text, look at what happens between disk and batch.",
    votes={
        "text_unlike high": 3,
        "windows_unlike high": 3,
        "targets_unlike high": 3,
        "windows_undrawn high": 2.5,
        "windows_spread high": 0.5,
        "windows_again high": 0.5,
    },
    applies=is_language,
)

LOSS_NOT_CROSS_ENTROPY = Cause(
    description="The loss is not that of the knobs on the outputs and targets that it was given: it is scaled, averaged over"
    " other targets, or another function.",
    knob="",
    overrides=override("--overfit"),
    program="rally check-model",
    expected="If one batch is not memorized, compare the loss function with log Σ exp z − z[target] by hand.",
    votes={"logged_loss_off high": 3, "minimized_loss_off high": 3},
)

GRADIENT_NOT_OF_LOSS = Cause(
    description="The gradient that the optimizer gets is not that of the loss: scaled, clipped, changed or mixed with another"
    " on its way, or computed by a wrong backward pass.",
    knob="",
    overrides=override("-S train.steps=20 -S train.accumulation_steps=1 -S train.grad_clip=0.0"),
    expected="If it is right then, it was accumulation or clipping; if not, look for hooks, detach() and own backward passes.",
    votes={"gradient_off high": 3, "backward_off high": 3, "minimized_loss_off high": -1},
)

UPDATE_NOT_OPTIMIZERS = Cause(
    description="Weights do not move as the optimizer of the knobs moves them: other constants, another formula, averages that"
    " are lost or mixed up, or weights changed by something else.",
    knob="train.optimizer",
    overrides=override("-S train.optimizer=sgd -S train.steps=20"),
    expected="If plain SGD passes the check, it is the optimizer; if not, something else changes the weights.",
    votes={"update_off high": 3, "weights_still high": 1, "rate_off high": 2},
)

NETWORK_NOT_OF_KNOBS = Cause(
    description="The network computes something else than its knobs say, with the same weights, or starts from other weights.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="The evidence names the part (attention, feed-forward, norm, residual, embedding, output); look there.",
    votes={
        "network_off high": 3,
        "not_thinned high": 3,
        "initial_spread_off high": 2,
        "unrepeatable high": 1,
        **dict.fromkeys((f"{part}_off high" for part in ("feed_forward", "norm", "residual", "embedding", "mode")), 0.5),
    },
)

EVALUATION_NOT_OF_MODEL = Cause(
    description="The validation loss is not that of the trained weights on the stored validation text: other weights, another"
    " text, or another way to compute it.",
    knob="",
    overrides=override("-S train.ema=0.0 -S model.dropout=0.0 -S train.steps=20"),
    expected="If the check is right then, it was the average or the dropout; if not, look at what validation reads.",
    votes={
        "validation_off high": 3,
        "recorded_validation_off high": 3,
        "average_off high": 3,
        "held_out_unlike high": 2,
        "unrepeatable high": 1,
        "targets_unlike high": -4.5,  # which then concerns both splits, and what they are cut into
        "windows_unlike high": -4.5,
        "logged_loss_off high": -4.5,
    },
)

CHANGED_ON_THE_WAY = Cause(
    description="The training is not the same to its end: from some step on, data, loss, gradients, rate or weights are treated"
    " in another way.",
    knob="",
    overrides=override("-S train.steps=40 -S train.snapshots=[0.0,0.25,0.5,0.75,1.0]"),
    expected="If the curve breaks at the same share of the training, look for what depends on the step.",
    votes={"late_change high": 3, "recorded_loss_off high": 3, "minimized_loss_off high": -1, "unrepeatable high": -2},
)
