"""Signs that a run is not what its knobs and curves say: rates, targets, losses, outputs and gradients that do not agree.

A rate that is not applied, targets that are missing, two losses that should be the same, outputs that are no logits, layers
without a gradient, a curve that starts again, noise that repeats itself.
"""

from __future__ import annotations

import itertools
import math
import statistics

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import FEW, LANGUAGE, RULE, Range, Sign, relative
from pipeline.doctor.signs.loss import beyond_unigram

KEPT = " (70 healthy and 216 faulty runs, all of them known when the bounds were chosen)"
AT_PEAK = 0.05  # of the highest rate; below it a step is too short to be measured against the rate
NEAR = 3  # rows of the training curve, before and after a jump, or around a measurement on the validation split
LOCAL = 16  # rows in which the trend of the loss counts as a straight line
NARROWEST = 0.004  # nats
ROUNDED = 0.0005  # nats: readings have four digits


def schedule_followed(case: Case) -> float | None:
    """The least of (update ratio / recorded learning rate) over the snapshots, over the largest.

    The steps of an optimizer that normalizes the gradient shrink with the rate, and with little else. Not for SGD, whose steps
    also shrink with the gradient. Only where the rate is above a twentieth of its peak.
    """
    rates, found = case.curve("lr"), case.readings.get("update_ratio")
    if not rates or found is None or case.knob("train.optimizer") == "sgd":
        return None
    floor = AT_PEAK * max(rate for _, rate in rates)
    shares = []
    for snapshot, step in enumerate(case.snapshots("update_ratio")):
        layers, rate = case.at("update_ratio", snapshot), next((rate for at, rate in rates if at >= step), 0.0)
        if step > 0 and layers and rate > floor:
            shares.append(statistics.median(layers) / rate)
    return min(shares) / max(shares) if len(shares) > 1 and max(shares) > 0 else None


def targets_counted(case: Case) -> float | None:
    """The targets that the loss counted, as a share of batch size · context length · steps.

    Only where all batches have one size and windows start anywhere, so that every position has a target.
    """
    rows, grows = case.curve("targets"), ("train.batch_start", "train.length_start")
    if case.knob("train.windows") != "anywhere" or any(case.knob(knob) != 1.0 for knob in grows) or not rows:
        return None
    (step, counted), each = rows[-1], case.knob("train.batch_size", 0) * case.knob("model.context_length", 0)
    return counted / (step * each) if step and each and counted else None


def first_pass_gap(case: Case) -> float | None:
    """(validation − training) / training loss while the text is read for the first time: the mean of the second half of it.

    What was not read before cannot have been memorized, so the two agree, unless they are not the same loss of the same kind of
    text. The training loss is that of the rows around each measurement. Subtracted is by how much the bigram baseline finds the
    validation text harder, and what so short a split leaves to chance. Text that occurs twice counts once. No value where
    averaged weights are evaluated: see average_gap.
    """
    tokens, rows = case.material.get("training_tokens"), case.curve("loss")
    if tokens is None or not rows or case.knob("train.ema", 0.0):
        return None
    fresh = tokens * (1 - case.material.get("repeated", 0.0))
    counted = dict(zip(case.validation.get("step", ()), case.validation.get("targets", ()), strict=False))
    gaps = []
    for step, loss in case.validation_losses:
        if (seen := counted.get(step)) is None or seen > fresh:
            continue
        near = statistics.mean(value for _, value in sorted(rows, key=lambda row: abs(row[0] - step))[:NEAR])
        gap = relative(case, loss - near, near)
        gaps += [] if gap is None else [gap]
    if not gaps:
        return None
    expected = max(case.material.get("split_difference", 0.0), 0.0) + case.material.get("held_out_error", 0.0)
    return statistics.mean(gaps[len(gaps) // 2 :]) - expected


def probability_range(case: Case) -> float | None:
    """The largest distance of ln Z from the middle of where it is for outputs that are probabilities, in half widths of that.

    Probabilities p as logits have ln V + 1 / V ≤ ln Σ exp p ≤ ln (V − 1 + e): Jensen's inequality, and a single p of 1. At most
    1 at every snapshot, the first included, is no coincidence. For large V the range is too narrow for a reading.
    """
    means = [values[0] for values in case.at_each("log_partition")]
    if len(means) < NEAR or not case.uniform_loss:
        return None
    tokens = math.exp(case.uniform_loss)
    low, high = case.uniform_loss + 1 / tokens, math.log(tokens - 1 + math.e)
    half = (high - low) / 2
    off = max(abs(mean - (low + high) / 2) for mean in means) - ROUNDED
    return off / half if 2 * half > NARROWEST else None


def unreached(case: Case) -> float | None:
    """The share of layers whose gradient is exactly 0 at every snapshot after the first; none where layers are to be frozen."""
    found = case.readings.get("gradient_norm")
    if found is None or not any(step > 0 for step in case.snapshots("gradient_norm")) or case.knob("train.freeze"):
        return None
    later = [[value for value in row[1:] if value is not None] for row in found.values]
    told = [row for row in later if row]
    return statistics.mean(float(not any(row)) for row in told) if any(map(any, told)) else None


def unigram_distance(case: Case) -> float | None:
    """|final loss − unigram loss| / (unigram loss − the best known loss): 0 where frequencies were learned, and no more."""
    share = beyond_unigram(case)
    return None if share is None else abs(share)


def jump(case: Case) -> float | None:
    """By how much the lowest of three rows of the training loss is above the highest of the three before, in ln V, at most.

    Less two standard deviations of the noise of a row, by the median distance of rows from the mean of their neighbours (of
    normal noise, this median is .83 of the standard deviation).
    """
    losses = [loss for _, loss in case.curve("loss")]
    if len(losses) < 2 * FEW or not case.uniform_loss:
        return None
    rises = (min(losses[at : at + NEAR]) - max(losses[at - NEAR : at]) for at in range(NEAR, len(losses) - NEAR + 1))
    off = [abs(here - (before + after) / 2) for before, here, after in zip(losses, losses[1:], losses[2:], strict=False)]
    return (max(rises) - 2 * statistics.median(off) / 0.83) / case.uniform_loss


def wandering(case: Case) -> float | None:
    """√(covariance of a row of the training loss with the next), as a share of the loss: the part of its noise that lasts.

    In the second half, less a straight line for every sixteen rows, so that the trend of the loss does not count. Batches that
    are drawn independently have independent noise, whose covariance is 0.
    """
    losses = [loss for _, loss in case.curve("loss")]
    losses = losses[len(losses) // 2 :]
    products = []
    for start in range(0, len(losses) - LOCAL + 1, LOCAL):
        part = losses[start : start + LOCAL]
        slope, level = statistics.linear_regression(range(LOCAL), part)
        rest = [loss - level - slope * at for at, loss in enumerate(part)]
        products += [here * after for here, after in itertools.pairwise(rest)]
    return relative(case, math.sqrt(max(statistics.mean(products), 0.0)), statistics.mean(losses)) if products else None


CONSISTENCY = {
    "schedule_followed": Sign(
        schedule_followed,
        "Measured against the recorded learning rate, the shortest steps are {value} times as long as the longest.",
        Range("healthy runs .17 and more, without warm-up .06, a rate of 0 gives 0" + KEPT, low=0.03, sick_low=0.01),
        "update_ratio",
    ),
    "targets_counted": Sign(
        targets_counted,
        "The loss counted {value} of the targets that batches of this size and length have.",
        Range(RULE + "where windows start anywhere, every position has a target", low=0.9999, sick_low=0.9999),
        "loss",
        LANGUAGE,
    ),
    "first_pass_gap": Sign(
        first_pass_gap,
        "While the text was read for the first time, the validation loss exceeded the training loss by {value} of it.",
        Range("healthy runs up to .01, .07 in a short run on real text" + KEPT, high=0.08, sick_high=0.2),
        "loss",
        LANGUAGE,
    ),
    "probability_range": Sign(
        probability_range,
        "At its farthest, ln Z was {value} times as far off as outputs between 0 and 1 with a sum of 1 allow; logits know no"
        " such limit.",
        Range(RULE + "logits that are probabilities stay within 1", low=1.02, sick_low=1.02),
        "log_partition",
        LANGUAGE,
    ),
    "unreached": Sign(
        unreached,
        "Of the layers, {value} never had a gradient, though the loss depends on them.",
        Range(RULE + "a layer that the loss depends on has a gradient", high=0.0, sick_high=0.0),
        "gradient_norm",
    ),
    "unigram_distance": Sign(
        unigram_distance,
        "The loss is {value} of what context gains away from that of token frequencies (unigram): at 0 these were learned, and"
        " nothing else.",
        Range("shuffled targets up to .024, healthy runs .37 and more" + KEPT, low=0.08, sick_low=0.04),
        "loss",
        LANGUAGE,
    ),
    "jump": Sign(
        jump,
        "Beyond its noise, the training loss once jumped up by {value} of that of uniform guessing, and stayed there.",
        Range("healthy runs below 0" + KEPT, high=0.01, sick_high=0.02),
        "loss",
        LANGUAGE,
    ),
    "wandering": Sign(
        wandering,
        "The noise of the training loss lasts longer than a row: this part of it is {value} of the loss.",
        Range("healthy runs up to .015" + KEPT, high=0.02, sick_high=0.03),
        "loss",
        LANGUAGE,
    ),
}
