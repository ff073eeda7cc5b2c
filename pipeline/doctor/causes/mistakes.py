"""Causes in the code that leave the curves of a training smooth: what was trained is not what was meant."""

from __future__ import annotations

from pipeline.doctor.causes.base import Cause, Hint, is_language, knob_is, override

SCHEDULE_NOT_FOLLOWED = Cause(
    description="The optimizer does not use the learning rate that is recorded: the scheduler is called more than once per"
    " step, or its rate does not reach the optimizer.",
    knob="",
    overrides=override("-S train.schedule=constant -S train.warmup_ratio=0.0"),
    expected="If the update:weight ratio then stays the same to the end and the loss ends lower, it was the schedule.",
    votes={"rate_off high": 4, "rate_off healthy": -2, "schedule_followed low": 4, "schedule_followed healthy": -4},
)

SHIFTED_TWICE = Cause(
    description="Targets are shifted twice, by the loader and by the loss: each position predicts the token after the next, and"
    " the last has no target.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the most likely next token is that after the next, targets are shifted twice.",
    votes={
        "target_distance high": 4,
        "targets_unlike healthy": -3,
        "targets_counted low": 2.5,
        "targets_counted healthy": -3,
        "beyond_unigram low": 0.5,
        "bigram_share high": 0.5,
        "gradient_agreement high": -1,
    },
    hints=(Hint(-1.0, lambda case: case.knob("train.accumulation_steps", 1) > 1),),
    applies=is_language,
)

PADDING_COUNTED = Cause(
    description="The training loss counts targets that are easy, such as padding, which validation has not: it falls without"
    " anything being learned about the text.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If training examples hold padding, repetition or prompts whose targets count, mask them in the loss.",
    votes={
        "padded_windows high": 3,
        "padded_windows healthy": -2,
        "first_pass_gap high": 3,
        "first_pass_gap healthy": -3,
        "split_difference high": -3,
        "jump high": -1.5,
        "batch_leak high": -2,
    },
    applies=is_language,
)

NOT_SHUFFLED = Cause(
    description="Training examples are not shuffled: those of a batch are neighbours in the text, and so are those of the next,"
    " so that each batch pulls the weights towards a single passage.",
    knob="",
    overrides=override("--page look.html"),
    program="rally look",
    expected="If the examples of a batch overlap or follow one another, they are not shuffled.",
    votes={
        "windows_neighbours high": 4,
        "windows_undrawn high": 1,
        "windows_neighbours healthy": -3,
        "windows_spread high": 1.5,
        "windows_again high": 1,
        "wandering high": 2,
        "wandering healthy": -0.5,
        "first_pass_gap high": 1,
        "gradient_agreement high": 1,
        "jump high": 0.5,
        "split_difference high": -3,
        "update_ratio high": -1.5,
        "reach low": -2,
        "decay_share high": -2,
        "late_peak high": -2,
    },
    hints=(Hint(-3.0, lambda case: bool(case.knob("model.dropout", 0.0))),),
    applies=is_language,
)

SOFTMAX_BEFORE_LOSS = Cause(
    description="The loss takes probabilities for logits (softmax is applied twice): they differ by 1 at most, so no prediction"
    " can be sure, and the loss cannot fall further.",
    knob="",
    overrides=override("--overfit"),
    program="rally check-model",
    expected="If the network cannot memorize one batch, look at what its last layer returns.",
    votes={
        "probabilities high": 2,
        "output_off high": 1,
        "output_off healthy": -2,
        "probability_range low": 4,
        "probability_range healthy": -4,
    },
    applies=is_language,
)

GRADIENT_CUT_OFF = Cause(
    description="The graph is cut: a `detach()`, `no_grad()` or `.data` on the way keeps the gradient from the layers before,"
    " which only weight decay still moves.",
    knob="",
    overrides=override("-S train.steps=20"),
    expected="If layers still have a gradient of exactly 0, the graph is cut between them and the first that has one.",
    votes={"backward_off high": 2, "unreached high": 4, "unreached healthy": -4},
    hints=(Hint(-8.0, knob_is("train.freeze", True)),),
)

OLD_WEIGHTS = Cause(
    description="Training went on from weights that it had had long before: a resume took another checkpoint than the newest.",
    knob="",
    overrides=override("-S seed=2"),
    expected="If a training without an interruption does not jump, look at which checkpoint the resume took.",
    votes={
        "late_change high": 1,
        "jump high": 3,
        "jump healthy": -3,
        "first_pass_gap high": -2,
        "gradient_agreement high": -3,
        "update_ratio high": -2,
        "decay_share high": -2,
        "gradient_growth high": -1,
        "stopped_early high": -2,
        "late_peak high": -2,
    },
)
