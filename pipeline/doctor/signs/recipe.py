"""Signs that the recipe works against the data: a warm-up that does not end, averages that lag, a network below pair counts."""

from __future__ import annotations

import statistics

from pipeline.doctor.case import LAST, Case
from pipeline.doctor.signs.base import FEW, LANGUAGE, RULE, THUMB, Range, Sign, relative

EARLY = 0.25  # of the steps


def late_peak(case: Case) -> float | None:
    """The share of the steps after which the learning rate is highest: where the rise never ends, 1.

    Not for the schedule that rises by design, to find a rate.
    """
    rates = case.curve("lr")
    if len(rates) < FEW or case.knob("train.schedule") == "exponential":
        return None
    highest = max(rate for _, rate in rates)
    return next(step for step, rate in rates if rate >= highest) / rates[-1][0] if highest > 0 and rates[-1][0] else None


def average_gap(case: Case) -> float | None:
    """(validation − training) / training loss where averaged weights are evaluated: the median over the first quarter.

    Training has the newest weights, validation their average. Only in the first pass over the text, which is no memory of it.
    The training loss is that of the three rows around each measurement. Subtracted is by how much the bigram baseline finds the
    validation text harder. Without averages the sign has no value: a gap then has other reasons.
    """
    tokens, rows = case.material.get("training_tokens"), case.curve("loss")
    if not case.knob("train.ema", 0.0) or tokens is None or not rows:
        return None
    counted = dict(zip(case.validation.get("step", ()), case.validation.get("targets", ()), strict=False))
    gaps = []
    for step, loss in case.validation_losses:
        if (seen := counted.get(step)) is None or seen > tokens or step > EARLY * rows[-1][0]:
            continue
        near = statistics.mean(value for _, value in sorted(rows, key=lambda row: abs(row[0] - step))[:3])
        gap = relative(case, loss - near, near)
        gaps += [] if gap is None else [gap]
    return statistics.median(gaps) - max(case.material.get("split_difference", 0.0), 0.0) if gaps else None


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
    "average_gap": Sign(
        average_gap,
        "Early in the training, the averaged weights' validation loss exceeded the newest weights' training loss by {value} of"
        " it.",
        Range(THUMB, high=0.045, sick_high=0.07),
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
