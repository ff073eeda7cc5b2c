"""Signs before training: the sanity checks of the untrained network, and whether the splits are separate."""

from __future__ import annotations

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import FITTED, LANGUAGE, RULE, Range, Sign


def start_excess(case: Case) -> float | None:
    """|loss − ln V − var(logits) / 2| before the first step beyond four standard deviations of chance, nats.

    Source: the expansion of ln E[exp z] for logits z drawn from a normal distribution. It fails for a variance above about 4,
    where the largest logits dominate; there the sign has no value.
    """
    excess, variance = case.sanity.get("start_excess"), case.sanity.get("logit_variance", 0.0)
    chance = 4 * case.sanity.get("start_chance", 0.0)
    return None if excess is None or variance > 4 else max(abs(excess) - chance, 0.0)


def start_loss(case: Case) -> float | None:
    """The loss before the first step less ln V, nats: how confident the network is before it has learned anything."""
    loss = case.sanity.get("loss")
    return None if loss is None or case.uniform_loss is None else loss - case.uniform_loss


def future_leak(case: Case) -> float | None:
    """The largest |gradient| of a prediction to a later input, or its change with that input: 0 in a causal network."""
    return case.sanity.get("future")


def batch_leak(case: Case) -> float | None:
    """The largest |gradient| of a prediction to an input of another example: exactly 0 where examples are independent."""
    return case.sanity.get("across_batch")


def cache_difference(case: Case) -> float | None:
    """The largest |difference| of the logits with and without a KV cache, relative to the largest |logit|."""
    difference, largest = case.sanity.get("cache_difference"), case.sanity.get("largest_logit")
    return None if difference is None else difference / largest if largest else difference


def overlap(case: Case) -> float | None:
    """The share of validation windows that occur in the training text word for word."""
    return case.levels.get("overlap")


START = {
    "start_excess": Sign(
        start_excess,
        "The loss before the first step is {value} nats away from what uniform guessing and the variance of the logits"
        " predict.",
        Range("Rally's RESULTS A1: .03 in ten good runs, above .3 broken", high=0.1, sick_high=0.3),
        "loss",
    ),
    "start_loss": Sign(
        start_loss,
        "Before the first step the loss is {value} nats above that of uniform guessing.",
        Range(FITTED, high=1.2, sick_high=2.8),
        "loss",
    ),
    "future_leak": Sign(
        future_leak,
        "A prediction changes by {value} with a later token; it must not change.",
        Range(RULE + "a causal network does not depend on later tokens", high=0.0, sick_high=0.0),
        "attention",
        LANGUAGE,
    ),
    "batch_leak": Sign(
        batch_leak,
        "A prediction changes by {value} with another example of the batch; it must not change.",
        Range(RULE + "examples of a batch are independent", high=0.0, sick_high=0.0),
        "attention",
    ),
    "cache_difference": Sign(
        cache_difference,
        "With the KV cache, token by token, the logits differ by up to {value} from those of one pass; they should be the"
        " same.",
        Range(RULE + "the same function; rounding of float32 stays below 1e-4", high=1e-4, sick_high=1e-2),
        "loss",
        LANGUAGE,
    ),
    "overlap": Sign(
        overlap,
        "Data leakage: {value} of the validation split occurs in the training split word for word.",
        Range(RULE + "half of a text is not a coincidence; set phrases make a tenth of a manual", high=0.25, sick_high=0.5),
        "loss",
    ),
}
