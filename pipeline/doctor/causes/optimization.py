"""Causes in the optimization: learning rate, gradients, optimizer, precision, batch size and number of steps."""

from __future__ import annotations

from pipeline.doctor.causes.base import Cause, Hint, is_classifier, knob_above, knob_is, override, scaled

LEARNING_RATE_TOO_HIGH = Cause(
    description="Each step goes further than the gradient holds, and overshoots the minimum.",
    knob="train.lr",
    overrides=scaled("train.lr", 0.1, 1e-3),
    expected="If the curve becomes smooth and the loss falls lower, it was the learning rate.",
    votes={
        "moves_faster high": 1.5,
        "predicted_classes low": 1,
        "beyond_majority low": 0.5,
        "logistic_margin low": 0.5,
        "nan_loss high": 2,
        "stopped_early high": 1.5,
        "update_ratio high": 2.5,
        "reach low": -3,
        "roughness high": 1,
        "setback high": 1,
        "peak high": 1,
        "log_partition high": 1,
        "attention_logit high": 1,
        "activation_growth high": 1,
        "gradient_spike high": 0.5,
        "gain low": 0.5,
        "effective_rank low": 0.5,
        "context_gain low": 0.5,
        "start_loss high": -1.5,
        "gradient_agreement high": -2,
        "decay_share high": -1,
    },
)

LEARNING_RATE_TOO_LOW = Cause(
    description="The steps are so short that training ends before the loss has fallen.",
    knob="train.lr",
    overrides=scaled("train.lr", 10, 1e-3),
    expected="If the loss falls faster and ends lower, it was the learning rate.",
    votes={
        "moves_slower high": 1.5,
        "predicted_classes low": -1,
        "beyond_majority low": 0.5,
        "logistic_margin low": 0.5,
        "reach low": 3,
        "update_ratio high": -3,
        "late_share high": 2,
        "early_share low": 1,
        "gain low": 1,
        "beyond_unigram low": 0.5,
        "roughness high": -1,
        "start_loss high": -3,
        "effective_rank low": -1,
        "gradient_agreement high": -2,
        "unreached high": -4,
        "schedule_followed low": -4,
    },
)

NO_WARM_UP = Cause(
    description="The learning rate starts at its peak: the first steps have full length, while the gradient still changes"
    " direction and Adam has no estimate of its scale.",
    knob="train.warmup_ratio",
    overrides=override("-S train.warmup_ratio=0.1"),
    expected="If the loss no longer rises in the first steps, it was the missing warm-up.",
    votes={
        "beyond_majority low": 0.5,
        "nan_loss high": 1,
        "update_ratio high": 1.5,
        "reach low": -3,
        "setback high": 1,
        "peak high": 1,
        "gradient_ratio low": 1.5,
        "effective_rank low": 0.5,
        "beyond_unigram low": 0.5,
        "dead high": 0.5,
        "start_loss high": -2,
        "gradient_agreement high": -2,
        "decay_share high": -1,
    },
    hints=(
        Hint(1.0, knob_is("train.warmup_ratio", 0.0)),
        Hint(-6.0, knob_above("train.warmup_ratio", 0.01)),
        Hint(1.5, knob_is("model.residual", "post")),  # whose gradients are largest at the start (Xiong et al., 2020)
    ),
)

GRADIENTS_NOT_ZEROED = Cause(
    description="Gradients are never zeroed, so every step follows their running sum, like momentum without damping.",
    knob="",
    overrides=override("-S train.steps=20 -S train.log_points=20"),
    expected="If the gradient norm grows with every step, `optimizer.zero_grad()` is missing.",
    votes={
        "gradient_kept high": 4,
        "gradient_off healthy": -3,
        "gradient_agreement high": 4,
        "gradient_agreement healthy": -3,
        "gradient_growth high": 1.5,
        "stopped_early high": 1,
        "setback high": 1,
        "clipped_steps high": 0.5,
        "wandering high": -1,
        "first_pass_gap high": -2,
    },
)

FROZEN_LAYER = Cause(
    description="A layer is not trained: its weights have `requires_grad=False`, or were not passed to the optimizer.",
    knob="",
    overrides=override("-S train.steps=20"),
    expected="If that layer's update:weight ratio is still 0, it is not trained.",
    votes={"weights_still high": 3, "weights_still healthy": -1, "least_update low": 3, "least_update healthy": -3},
)

LOSSES_AVERAGED_WRONGLY = Cause(
    description="A mean of means: micro-batches with few targets count as much as those with many.",
    knob="train.accumulation_steps",
    overrides=override("-S train.accumulation_steps=1"),
    expected="If the training loss changes, micro-batches of unequal size are averaged as if they were equal.",
    votes={
        "minimized_loss_off high": 2.5,
        "minimized_loss_off healthy": -3,
        "gradient_agreement high": 3,
        "gradient_agreement healthy": -2,
        "generalization_gap low": 2,
        "targets_counted low": 1,
        "gradient_growth high": -1,
        "stopped_early high": -1,
    },
    hints=(
        Hint(1.5, knob_above("train.accumulation_steps", 1)),
        Hint(-4.0, knob_is("train.accumulation_steps", 1)),
    ),
)

FLOAT16_WITHOUT_SCALING = Cause(
    description="Gradients below 6e-8 underflow to 0 in float16, those above 65,504 overflow to infinity.",
    knob="train.precision",
    overrides=override("-S train.precision=float32"),
    expected="If the run is healthy then, it was the precision.",
    votes={
        "nan_loss high": 2,
        "gradient_agreement low": 1.5,
        "gradient_agreement high": 1,
        "skipped_steps high": 2,
        "gain low": 0.5,
        "beyond_unigram low": 0.5,
        "validation_rise high": 0.5,
        "log_partition high": 0.5,
    },
    hints=(Hint(2.0, knob_is("train.precision", "float16")), Hint(-4.0, knob_is("train.precision", "float32", "bfloat16"))),
)

EPSILON_TOO_LARGE = Cause(
    description="Adam divides by the size of the gradient plus epsilon, so with a large epsilon small gradients give small"
    " steps.",
    knob="train.epsilon",
    overrides=override("-S train.epsilon=1e-8"),
    expected="If the loss falls faster, it was epsilon.",
    votes={
        "beyond_majority low": 0.5,
        "logistic_margin low": 0.5,
        "reach low": 2.5,
        "update_ratio high": -3,
        "start_loss high": -2,
        "late_share high": 1,
        "early_share low": 1,
        "gain low": 0.5,
        "beyond_unigram low": 0.5,
    },
    hints=(Hint(2.0, knob_above("train.epsilon", 1e-4)), Hint(-3.0, lambda case: case.knob("train.epsilon", 1.0) <= 1e-5)),
)

WEIGHT_DECAY_TOO_STRONG = Cause(
    description="Weight decay pulls the weights to 0 faster than the gradient can restore them.",
    knob="train.weight_decay",
    overrides=override("-S train.weight_decay=0.1"),
    expected="If the loss falls lower, it was the weight decay.",
    votes={
        "extra_decay high": 8,
        "beyond_majority low": 0.5,
        "predicted_classes low": 0.5,
        "logistic_margin low": 0.5,
        "decay_share high": 4,
        "decay_share healthy": -3,
        "gain low": 0.5,
        "beyond_unigram low": 0.5,
        "reach low": -1,
        "gradient_growth high": 0.5,
    },
    hints=(
        Hint(2.0, knob_above("train.weight_decay", 1.0)),
        Hint(-3.0, lambda case: case.knob("train.weight_decay", 9) <= 0.5),
    ),
)

BATCH_TOO_SMALL = Cause(
    description="The gradient of so few examples is mostly noise, and the direction of the steps nearly random.",
    knob="train.batch_size",
    overrides=lambda case: f"-S train.batch_size={int(case.knob('train.batch_size', 4)) * 8}",
    expected="If the loss falls lower after as many steps, it was the noise; an eighth of the learning rate also helps.",
    votes={
        "beyond_majority low": 0.5,
        "logistic_margin low": 0.5,
        "roughness high": 1,
        "beyond_unigram low": 0.5,
        "gain low": 0.5,
    },
    hints=(Hint(1.5, lambda case: case.knob("train.batch_size", 99) <= 4), Hint(-3.0, knob_above("train.batch_size", 8))),
)

CLIPPING_TOO_STRONG = Cause(
    description="Gradient clipping changes nearly every step, so that the limit sets the size of a step, not the gradient.",
    knob="train.grad_clip",
    overrides=scaled("train.grad_clip", 10, 1.0),
    expected="If the loss does not jump, the limit was too low; if it does, the learning rate is too high.",
    votes={"gradient_scaled high": 1.5, "clipped_steps high": 2, "reach low": 1},
)

TOO_FEW_STEPS = Cause(
    description="Training ended while the loss was still falling.",
    knob="train.steps",
    overrides=lambda case: f"-S train.steps={int(case.knob('train.steps', 1000)) * 3}",
    expected="If three times the steps end better, they were too few.",
    votes={
        "late_share high": 2,
        "reach healthy": 1,
        "logistic_margin low": 0.5,
        "overfitting high": -3,
        "reach low": -1,
        "update_ratio high": -2,
    },
    applies=is_classifier,
)
