"""Signs of the checked steps: where a part of a training step is not what a second, plain implementation of it gives.

The numbers are made by pipeline/conformance. Each is 0 up to rounding where the run is what its knobs say, whatever they say.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import LANGUAGE, RULE, THUMB, Range, Sign
from pipeline.doctor.signs.gradients import update_ratio

PICTURE = "checked_steps"
EXACT = Range(RULE + "what is stored is what is used", high=0.001, sick_high=0.01)
ROUNDED = Range(
    RULE + "the same number, computed twice, differs by rounding: healthy runs up to 2e-4", high=1e-3, sick_high=5e-3
)
MOVED = Range(
    RULE + "the same step, computed twice, differs by float32's rounding of the weights: healthy runs up to 3e-3",
    high=0.01,
    sick_high=0.03,
)
RARE = Range(RULE + "windows drawn at random are less likely than one in a hundred million", high=6.0, sick_high=8.0)
WHOLE = Range(RULE + "none", high=0.0, sick_high=0.0)

SAME = 0.01
FROM_THE_START = ("text", "inputs", "targets", "undrawn", "loss")  # checks
STEPS = 5.0  # update ratios by which the loss of a row may change
PARTS = ("attention", "feed_forward", "norm", "residual", "embedding", "output", "forward", "structure", "mode")

ELSEWHERE = ("padded_windows", "target_distance")  # text may have long runs by nature; a distance can be too small, too


def one(name: str) -> Callable[[Case], float | None]:
    """The number of a check."""
    return lambda case: case.checked(name)


def largest(*names: str) -> Callable[[Case], float | None]:
    """The largest of some checks that were made."""

    def read(case: Case) -> float | None:
        found = [value for name in names if (value := case.checked(name)) is not None]
        return max(found, default=None)

    return read


def not_thinned(case: Case) -> float | None:
    """1 where features are to be dropped in training and are not."""
    return None if (thinned := case.checked("thinned")) is None else 1 - thinned


def recorded_loss(case: Case) -> float | None:
    """recorded_loss of the checks, less what the few steps in between may change: five times their largest update ratio.

    No value where the loss or the batches are wrong from the start, which explains it.
    """
    off, ratio = case.checked("recorded_loss"), update_ratio(case)
    if any((case.checked(name) or 0.0) > SAME for name in FROM_THE_START) and not case.checked("late_batches"):
        return None
    return None if off is None else max(off - STEPS * (ratio or 0.0), 0.0)


CHECKED = {
    "text_unlike": Sign(
        one("text"), "Of the training tokens in memory, {value} are not those on disk.", EXACT, PICTURE, LANGUAGE
    ),
    "held_out_unlike": Sign(
        one("held_out_text"), "Of the validation tokens in memory, {value} are not those on disk.", EXACT, PICTURE, LANGUAGE
    ),
    "windows_unlike": Sign(
        one("inputs"), "Of the windows that the network was fed, {value} stand nowhere in the text.", EXACT, PICTURE, LANGUAGE
    ),
    "padded_windows": Sign(
        one("padded"),
        "Of the windows that the network was fed, {value} end in a long run of one token.",
        Range(THUMB, high=0.3, sick_high=0.8),
        PICTURE,
        LANGUAGE,
    ),
    "targets_unlike": Sign(
        one("targets"), "Of the targets, {value} are not the token after their input.", EXACT, PICTURE, LANGUAGE
    ),
    "target_distance": Sign(
        one("shift"),
        "Targets are {value} tokens after their inputs.",
        Range(RULE + "the next token is 1 after", low=0.5, high=1.5, sick_low=0.5, sick_high=1.5),
        PICTURE,
        LANGUAGE,
    ),
    "targets_permuted": Sign(
        one("permuted"),
        "The targets of a batch are its tokens in another order (1 = yes; here {value}).",
        WHOLE,
        PICTURE,
        LANGUAGE,
    ),
    "windows_undrawn": Sign(
        one("undrawn"), "Of the windows, {value} are not those that the seed and the step draw.", EXACT, PICTURE, LANGUAGE
    ),
    "windows_spread": Sign(
        one("spread"), "That windows lie so unevenly in the text has a chance of 1 in 10^{value}.", RARE, PICTURE, LANGUAGE
    ),
    "windows_neighbours": Sign(
        one("neighbours"),
        "That so many windows follow the one before, or move on with the step, has a chance of 1 in 10^{value}.",
        RARE,
        PICTURE,
        LANGUAGE,
    ),
    "windows_again": Sign(
        one("again"), "That the same windows come again so often has a chance of 1 in 10^{value}.", RARE, PICTURE, LANGUAGE
    ),
    "logged_loss_off": Sign(
        one("loss"), "The logged loss is off the plain cross-entropy of the same outputs by {value} of it.", ROUNDED, PICTURE
    ),
    "minimized_loss_off": Sign(
        one("minimized"), "What is minimized is off the loss that the knobs describe by {value} of it.", ROUNDED, PICTURE
    ),
    "gradient_off": Sign(
        one("gradient"),
        "The gradient that reaches the optimizer differs from that of the plain loss by {value} of it (worst weight).",
        ROUNDED,
        PICTURE,
    ),
    "gradient_kept": Sign(one("kept"), "Of the gradient of the step before, {value} is still in this one.", EXACT, PICTURE),
    "backward_off": Sign(
        one("backward"),
        "The network's gradient differs from a plain network's by {value} of it (worst weight), though the outputs agree.",
        ROUNDED,
        PICTURE,
        LANGUAGE,
    ),
    "update_off": Sign(
        one("update"),
        "A weight moved by {value} of the step farther or elsewhere than the knobs' optimizer moves it.",
        MOVED,
        PICTURE,
    ),
    "rate_off": Sign(
        largest("rate", "schedule"),
        "All weights moved at another learning rate than the schedule's: |ln| of the factor is {value}.",
        MOVED,
        PICTURE,
    ),
    "weights_still": Sign(one("still"), "Of the weights with a gradient, {value} did not move at all.", WHOLE, PICTURE),
    "average_off": Sign(
        one("average"), "The weights that are evaluated are off those of the knob train.ema by {value}.", ROUNDED, PICTURE
    ),
    "network_off": Sign(
        largest(*PARTS),
        "A part of the network differs from a plain one with the same weights by {value} of its output.",
        ROUNDED,
        PICTURE,
    ),
    "attention_off": Sign(one("attention"), "An attention layer differs from a plain one by {value}.", ROUNDED, PICTURE),
    "mask_missing": Sign(
        one("unmasked"),
        "An attention layer is that of a network without a mask (1 = yes; here {value}).",
        WHOLE,
        PICTURE,
        LANGUAGE,
    ),
    "mask_inverted": Sign(
        one("inverted"), "An attention layer looks at later positions alone (1 = yes; here {value}).", WHOLE, PICTURE, LANGUAGE
    ),
    "norm_missing": Sign(one("norm_missing"), "A norm changes nothing (1 = yes; here {value}).", WHOLE, PICTURE),
    "residual_missing": Sign(
        one("residual_missing"), "A block does not add its input to its output (1 = yes; here {value}).", WHOLE, PICTURE
    ),
    "probabilities": Sign(
        one("probabilities"), "The logits are probabilities (1 = yes; here {value}).", WHOLE, PICTURE, LANGUAGE
    ),
    "gradient_scaled": Sign(
        one("gradient_scale"), "The gradient is that of the loss but for a factor, whose |ln| is {value}.", MOVED, PICTURE
    ),
    "moves_faster": Sign(
        one("faster"), "All weights move farther than the schedule says: ln of the factor is {value}.", MOVED, PICTURE
    ),
    "moves_slower": Sign(
        one("slower"), "All weights move less than the schedule says: −ln of the factor is {value}.", MOVED, PICTURE
    ),
    "extra_decay": Sign(
        one("extra_decay"),
        "Beyond their decay, weights lose {value} of themselves in a step.",
        Range(RULE + "none, but for rounding", high=1e-5, sick_high=1e-4),
        PICTURE,
    ),
    "attention_sharper": Sign(
        one("attention_scale"),
        "The attention is that of scores which are too large by the head width to the power of {value}.",
        WHOLE,
        PICTURE,
    ),
    "feed_forward_off": Sign(
        one("feed_forward"), "A feed-forward layer differs from a plain one by {value}.", ROUNDED, PICTURE
    ),
    "norm_off": Sign(one("norm"), "A norm differs from a plain one by {value}.", ROUNDED, PICTURE),
    "residual_off": Sign(one("residual"), "How a block adds its branches differs from the knob by {value}.", ROUNDED, PICTURE),
    "embedding_off": Sign(
        one("embedding"), "Embeddings with their positions differ from plain ones by {value}.", ROUNDED, PICTURE, LANGUAGE
    ),
    "output_off": Sign(
        one("output"),
        "The logits differ from those of a plain head on the same features by {value}.",
        ROUNDED,
        PICTURE,
        LANGUAGE,
    ),
    "mode_off": Sign(
        one("mode"), "In training mode the outputs differ by {value}, though nothing is to be dropped.", ROUNDED, PICTURE
    ),
    "not_thinned": Sign(
        not_thinned, "Features are to be dropped in training, and none are (1 = yes; here {value}).", WHOLE, PICTURE
    ),
    "unrepeatable": Sign(
        one("repeatable"), "The outputs in evaluation change by {value} from one pass to the next.", ROUNDED, PICTURE
    ),
    "initial_spread_off": Sign(
        one("initial_spread"),
        "The spread of an initial weight is off that of the knob by a factor of e^{value}, beyond chance.",
        Range(RULE + "five standard deviations of chance are allowed for", high=0.02, sick_high=0.1),
        PICTURE,
    ),
    "initial_size": Sign(
        one("initial_size"),
        "An initial weight is {value} times as large as the knob says.",
        Range(RULE + "five standard deviations of chance are allowed for", high=1.2, sick_high=1.5),
        PICTURE,
    ),
    "validation_off": Sign(
        one("validation"), "The validation loss is off that of the stored text by {value} of it.", ROUNDED, PICTURE, LANGUAGE
    ),
    "recorded_validation_off": Sign(
        one("recorded_validation"),
        "The validation loss that was recorded is off that of the snapshot's weights by {value} of it.",
        Range(RULE + "the same loss, computed twice; bfloat16 has three digits", high=0.01, sick_high=0.03),
        PICTURE,
        LANGUAGE,
    ),
    "recorded_loss_off": Sign(
        recorded_loss,
        "The training loss that was recorded is off that of the snapshot's weights on the batches drawn by {value} of it, more"
        " than the steps in between explain.",
        Range(THUMB + "; healthy runs up to .03", high=0.12, sick_high=0.25),
        PICTURE,
        LANGUAGE,
    ),
    "late_change": Sign(
        largest("late", "late_batches"),
        "A part that was right in the first steps is off by {value} in later ones.",
        MOVED,
        PICTURE,
    ),
}
