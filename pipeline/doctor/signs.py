"""What the doctor looks at: every sign by name, with its words for a learner and the picture that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.doctor import class_signs as classes
from pipeline.doctor import curve_signs as curve
from pipeline.doctor import probe_signs as reading
from pipeline.doctor.case import Case

LANGUAGE = ("language",)
CLASSES = ("classify", "vision")
ALL = (*LANGUAGE, *CLASSES)


@dataclass(frozen=True)
class Sign:
    """A number of a case that tells healthy from sick.

    Attributes:
        read: the number; None where the case does not hold what it hangs on.
        says: a sentence for a learner, with {value} in it.
        picture: of the report, in which one sees it.
        kinds: of task that it is looked at for.
    """

    read: Callable[[Case], float | None]
    says: str
    picture: str
    kinds: tuple[str, ...] = ALL


SIGNS: dict[str, Sign] = {
    # before the first step
    "start_excess": Sign(
        curve.start_excess,
        "The loss before the first step is {value} nats off what guessing and the spread of the logits cost.",
        "loss",
    ),
    "start_loss": Sign(
        curve.start_loss, "Before the first step the loss is {value} nats above that of knowing nothing.", "loss"
    ),
    "future": Sign(
        curve.future,
        "A prediction changes by {value} with a token that comes after it; it must not change.",
        "attention",
        LANGUAGE,
    ),
    "across_batch": Sign(
        curve.across_batch, "A prediction changes by {value} with another example; it must not change.", "attention"
    ),
    "cache_difference": Sign(
        curve.cache_difference,
        "Token by token the logits are up to {value} other than in one pass; they should be the same.",
        "loss",
        LANGUAGE,
    ),
    "overlap": Sign(curve.overlap, "{value} of what is held out stands in the training data as it is.", "loss"),
    # the curves
    "not_a_number": Sign(curve.not_a_number, "The loss stopped being a number ({value} is yes).", "loss"),
    "ran_away": Sign(curve.ran_away, "The loss left for good, and the training was ended early ({value} is yes).", "loss"),
    "gain": Sign(
        curve.gain, "The loss came {value} of the way from knowing nothing (ln V) to the best that is known.", "loss", LANGUAGE
    ),
    "beyond_unigram": Sign(
        curve.beyond_unigram,
        "Of what context is known to be worth beyond bare frequencies, the model found {value}.",
        "loss",
        LANGUAGE,
    ),
    "floor_margin": Sign(
        curve.floor_margin,
        "The loss ends {value} of the source's entropy above it; below 0 somebody sees the answer.",
        "loss",
        LANGUAGE,
    ),
    "bigram_share": Sign(
        curve.bigram_share, "The loss ends at {value} times that of bigrams; far less is too good to be true.", "loss", LANGUAGE
    ),
    "late_share": Sign(
        curve.late_share, "{value} of the fall of the training loss came in the last quarter of the steps.", "loss"
    ),
    "early_share": Sign(
        curve.early_share, "{value} of the fall of the training loss was done after a tenth of the steps.", "loss"
    ),
    "roughness": Sign(curve.roughness, "Neighbouring rows of the loss differ by {value} of it.", "loss", LANGUAGE),
    "setback": Sign(
        curve.setback, "The training loss once climbed by {value} of that of guessing above where it had been.", "loss"
    ),
    "peak": Sign(
        curve.peak,
        "The highest row of the training loss is {value} of that of guessing above it; above 0 it is worse than guessing.",
        "loss",
    ),
    "gap": Sign(curve.gap, "The validation loss is {value} of the training loss above it (negative: below).", "loss", LANGUAGE),
    "dropped_gap": Sign(
        curve.dropped_gap,
        "With dropout, the validation loss is {value} of the training loss above it; it should be below.",
        "loss",
        LANGUAGE,
    ),
    "rise": Sign(curve.rise, "The validation loss has risen by {value} of its lowest value.", "loss", LANGUAGE),
    # what is said of held-out examples, where classes are told
    "beyond_majority": Sign(
        classes.beyond_majority,
        "Of what the most frequent class leaves to be told, {value} is told right.",
        "scores",
        CLASSES,
    ),
    "logistic_margin": Sign(
        classes.logistic_margin,
        "The accuracy is {value} above that of logistic regression (negative: below).",
        "scores",
        CLASSES,
    ),
    "classes_said": Sign(
        classes.classes_said,
        "Classes that are said are {value} times as many and as even as those that occur.",
        "scores",
        CLASSES,
    ),
    "by_heart": Sign(
        classes.by_heart,
        "With nothing left to learn of the training examples, the held-out loss has risen by {value} of ln K.",
        "loss",
        CLASSES,
    ),
    # gradients
    "gradient_growth": Sign(
        curve.gradient_growth, "The gradient's length at the end is {value} times that early on.", "updates"
    ),
    "gradient_spike": Sign(
        curve.gradient_spike, "The longest gradient of the second half is {value} times the usual one.", "updates", LANGUAGE
    ),
    "clipped": Sign(curve.clipped, "{value} of the steps had their gradient shortened.", "updates"),
    "skipped": Sign(curve.skipped, "{value} of the steps were left out because float16 overflowed.", "updates"),
    "gradient_agreement": Sign(
        reading.gradient_agreement,
        "The gradient that training wrote down is {value} times as long as one computed afresh.",
        "updates",
        LANGUAGE,
    ),
    "gradient_ratio": Sign(
        reading.gradient_ratio, "The first block's gradient is {value} times as long as the last block's.", "gradient_norm"
    ),
    "update_ratio": Sign(reading.update_ratio, "A step moves the middle layer by up to {value} of its length.", "update_ratio"),
    "reach": Sign(reading.reach, "In all its steps the middle layer could move by {value} times its length.", "update_ratio"),
    "decay_share": Sign(
        reading.decay_share, "Weight decay alone makes {value} of the way that a step moves a layer.", "update_ratio"
    ),
    "least_update": Sign(
        reading.least_update, "The layer that moves least moves {value} times as far as the middle one.", "update_ratio"
    ),
    # layers
    "activation_growth": Sign(
        reading.activation_growth,
        "Features leave the last block {value} times as large as they entered the first.",
        "activation_rms",
    ),
    "effective_rank": Sign(
        reading.effective_rank,
        "After the last block, tokens (places in images) differ in {value} directions.",
        "effective_rank",
    ),
    "saturated": Sign(reading.saturated, "In one block {value} of the hidden features stand at a flat end.", "saturation"),
    "dead": Sign(reading.dead, "In one block {value} of the hidden features are never switched on.", "dead_units"),
    "log_partition": Sign(
        reading.log_partition, "The logits' common level (ln Z) drifted by {value} nats.", "log_partition", LANGUAGE
    ),
    # attention
    "attention_entropy_start": Sign(
        reading.attention_entropy_start,
        "Untrained heads spread their attention to {value} of an even one.",
        "attention_entropy",
    ),
    "attention_entropy": Sign(
        reading.attention_entropy, "The sharpest head ends at {value} of an even spread.", "attention_entropy"
    ),
    "attention_logit": Sign(
        reading.attention_logit,
        "The largest attention score is {value}; the softmax of such scores picks one key.",
        "attention_logit",
    ),
    "previous_token": Sign(
        reading.previous_token, "The head that looks most at the token before puts {value} there.", "previous_token", LANGUAGE
    ),
    "attention_sink": Sign(
        reading.attention_sink, "Heads put {value} of their attention on the first token.", "attention_sink"
    ),
    "context_gain": Sign(
        reading.context_gain,
        "The loss at the last positions is {value} nats below that at the first.",
        "loss_by_position",
        LANGUAGE,
    ),
    # what it writes
    "distinct_2": Sign(
        reading.distinct_2, "{value} of the pairs of tokens that it writes are different ones.", "sample_quality", LANGUAGE
    ),
    "copied_length": Sign(
        reading.copied_length,
        "The longest piece that it copies from the training text has {value} characters.",
        "copied_length",
        LANGUAGE,
    ),
}
