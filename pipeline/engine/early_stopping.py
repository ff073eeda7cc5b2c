"""Early stopping of diverged trainings, by rules over the rows of the curve alone.

So a resumed run ends where an uninterrupted one does. The rules are for losses that no training recovers from; one whose
loss is merely bad runs to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

Rows = Sequence[dict[str, float]]

NOT_A_NUMBER = "the loss is not a number"
ABOVE_UNIFORM = "the loss stays above that of uniform guessing and above its start, and does not fall"
SPIKE = "the loss jumped, lost more than half of what had been learned, and does not recover"

WINDOW = 0.1  # share of the training for which the loss must have been bad without falling
MIN_ROWS = 6  # rows: the means of two halves are compared, and a single row is too noisy
MARGIN = 0.1  # nats per target above uniform guessing: confident mistakes, not ignorance
LEARNED = 0.5  # nats per target below uniform guessing: with less learned, there is nothing to lose
FIXED_COLUMNS = frozenset({"step", "targets", "loss", "lr", "gradient_norm", "clipped"})


def reason_to_stop(rows: Rows, steps: int, warmup: float, uniform_loss: float) -> str:
    """Why the training should end now, or ''.

    The last tenth of the training (at least six rows) must be bad, and its second half no better than its first. Never in
    the warmup or in the first fifth, in which high losses still fall. Where a schedule changes the data of a step (longer
    sequences, harder parts) the loss may rise for good reason; it is then compared with uniform guessing only.

    Args:
        rows: of the curve so far, each with `step` and `loss` (nats per target).
        steps: of the whole training.
        warmup: the share of them over which the learning rate rises.
        uniform_loss: the loss of uniform guessing, nats per target.

    Source: the idea, Godbole et al., "Deep Learning Tuning Playbook", 2023 (unstable workloads). The thresholds are our own
    and conservative: they stop none of the 60 healthy runs of `rally doctor benchmark`.
    """
    if not rows or rows[-1]["step"] < (warmup + 2 * WINDOW) * steps:
        return ""
    begin = rows[-1]["step"] - WINDOW * steps
    count = max(MIN_ROWS, sum(row["step"] > begin for row in rows))
    losses = [row["loss"] for row in rows]
    recent, before = losses[-count:], losses[:-count]
    if not before or fmean(recent[count // 2 :]) < fmean(recent[: count // 2]):
        return ""
    # Below its start it may just be slow: a low learning rate, from weights that are worse than uniform guessing.
    if min(recent) > uniform_loss + MARGIN and fmean(recent) >= losses[0]:
        return ABOVE_UNIFORM
    best = min(before)
    scheduled = rows[-1].keys() - FIXED_COLUMNS
    if not scheduled and best < uniform_loss - LEARNED and min(recent) > (best + uniform_loss) / 2:
        return SPIKE
    return ""


def is_good(rows: Rows, uniform_loss: float) -> bool:
    """Whether the last loss is nearer to the best so far than to uniform guessing: weights worth going back to."""
    return bool(rows) and rows[-1]["loss"] <= (min(row["loss"] for row in rows) + uniform_loss) / 2
