"""Signs that the recipe works against the data: a warm-up that does not end, averages that lag, a network below pair counts."""

from __future__ import annotations

import statistics

from pipeline.doctor.case import LAST, Case
from pipeline.doctor.signs.base import FEW, LANGUAGE, RULE, THUMB, Range, Sign, relative

FEWEST = 2  # measurements of the first pass over the text


def late_peak(case: Case) -> float | None:
    """The share of the steps after which the learning rate is highest: where the rise never ends, 1.

    Not for the schedule that rises by design, to find a rate.
    """
    rates = case.curve("lr")
    if len(rates) < FEW or case.knob("train.schedule") == "exponential":
        return None
    highest = max(rate for _, rate in rates)
    return next(step for step, rate in rates if rate >= highest) / rates[-1][0] if highest > 0 and rates[-1][0] else None


def early_gap(case: Case) -> float | None:
    """(validation − training) / training loss, the median over the first pass over the text, which is no memory of it.

    The training loss is that of the three rows around each measurement. Subtracted is by how much the bigram baseline finds
    the validation text harder.
    """
    tokens, rows = case.material.get("training_tokens"), case.curve("loss")
    counted = dict(zip(case.validation.get("step", ()), case.validation.get("targets", ()), strict=False))
    gaps = []
    for step, loss in case.validation_losses:
        if tokens is None or not rows or (seen := counted.get(step)) is None or seen > tokens:
            continue
        near = [value for _, value in sorted(rows, key=lambda row: abs(row[0] - step))[:3]]
        gap = relative(case, loss - statistics.mean(near), statistics.mean(near))
        gaps += [] if gap is None else [gap]
    harder = max(case.material.get("split_difference", 0.0), 0.0)
    return statistics.median(gaps) - harder if len(gaps) >= FEWEST else None


def attention_choice(case: Case) -> float | None:
    """1 − the entropy of the attention at the end, of the sharpest head: 0 where all heads weigh all tokens alike."""
    entropies = case.at("attention_entropy", LAST)
    return 1 - min(entropies) if entropies else None


def rank_used(case: Case) -> float | None:
    """In how many directions tokens differ after the last block, as a share of the width: near 1 the width is the limit."""
    ranks, width = case.at("effective_rank", LAST), case.knob("model.width")
    return ranks[-1] / width if ranks and width else None


RECIPE = {
    "late_peak": Sign(
        late_peak,
        "The learning rate was highest after {value} of the steps; only after that can it fall and the loss settle.",
        Range(RULE + "a rate that still rises after half of the steps leaves no time to settle", high=0.4, sick_high=0.6),
        "updates",
    ),
    "early_gap": Sign(
        early_gap,
        "In the first pass over the text, when nothing is memorized, the validation loss exceeded the training loss by {value}"
        " of it.",
        Range(THUMB, high=0.03, sick_high=0.05),
        "loss",
        LANGUAGE,
    ),
    "attention_choice": Sign(
        attention_choice,
        "The sharpest head is {value} away from weighing all tokens alike (1 − attention entropy).",
        Range(RULE + "a head that has learned anything prefers some tokens", low=1e-5, sick_low=1e-6),
        "attention_entropy",
        LANGUAGE,
    ),
    "rank_used": Sign(
        rank_used,
        "After the last block, tokens differ in {value} of all directions that the width allows.",
        Range(THUMB, high=0.66, sick_high=0.75),
        "effective_rank",
        LANGUAGE,
    ),
}
