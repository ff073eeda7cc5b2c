"""Signs of attention and context: how sharp the heads are, where they attend, and what context is worth."""

from __future__ import annotations

import statistics

from pipeline.doctor.case import FIRST, LAST, Case
from pipeline.doctor.signs.base import FITTED, LANGUAGE, RULE, THUMB, Range, Sign


def attention_entropy_start(case: Case) -> float | None:
    """Entropy of the attention at the first snapshot, mean over heads: 1 is uniform, and an untrained head is near it."""
    return _mean(case.at("attention_entropy", FIRST))


def attention_entropy(case: Case) -> float | None:
    """The same at the end, of the sharpest head."""
    return min(case.at("attention_entropy", LAST), default=None)


def attention_logit(case: Case) -> float | None:
    """The largest |score| of any head at any snapshot."""
    return max((value for heads in case.at_each("attention_logit") for value in heads), default=None)


def previous_token(case: Case) -> float | None:
    """The attention to the previous token, of the head that attends to it most, at the end. Exactly 0: the mask forbids it."""
    return max(case.at("previous_token", LAST), default=None)


def attention_sink(case: Case) -> float | None:
    """The attention to the first token, mean over heads, at the end. Exactly 0: the mask forbids looking back."""
    return _mean(case.at("attention_sink", LAST))


def context_gain(case: Case) -> float | None:
    """Loss at the first positions less that at the last, nats, at the end: what context is worth to the model."""
    found = case.readings.get("loss_by_position")
    if found is None or not found.values:
        return None
    losses = [float(loss) for loss in found.values[LAST] if loss is not None]
    few = max(len(losses) // 8, 1)
    return statistics.mean(losses[:few]) - statistics.mean(losses[-few:]) if len(losses) > 2 * few else None


ATTENTION = {
    "attention_entropy_start": Sign(
        attention_entropy_start,
        "Attention entropy before training: {value} of that of uniform attention, mean over heads.",
        Range(FITTED, low=0.5, sick_low=0.31),
        "attention_entropy",
    ),
    "attention_entropy": Sign(
        attention_entropy,
        "Attention entropy at the end: {value} of that of uniform attention, in the sharpest head.",
        Range("Rally's RESULTS B: below .1 in all heads of a layer broken", low=0.02, sick_low=0.0),
        "attention_entropy",
    ),
    "attention_logit": Sign(
        attention_logit,
        "The largest attention score is {value}; with very large scores the softmax picks a single key.",
        Range("Rally's RESULTS B: 52 still trained, above 1,000 broken", high=60.0, sick_high=1000.0),
        "attention_logit",
    ),
    "previous_token": Sign(
        previous_token,
        "The head that attends most to the previous token gives it {value} of its attention.",
        Range(RULE + "a softmax leaves some attention on every key that the mask allows", low=1e-6, sick_low=1e-12),
        "previous_token",
        LANGUAGE,
    ),
    "attention_sink": Sign(
        attention_sink,
        "Heads give {value} of their attention to the first token.",
        Range(RULE + "a softmax leaves some attention on every key that the mask allows", low=1e-8, sick_low=1e-12),
        "attention_sink",
    ),
    "context_gain": Sign(
        context_gain,
        "Value of context: the loss at the last positions is {value} nats below that at the first.",
        Range(THUMB, low=-0.4, sick_low=-1.0),
        "loss_by_position",
        LANGUAGE,
    ),
}


def _mean(numbers: list[float]) -> float | None:
    return statistics.mean(numbers) if numbers else None
