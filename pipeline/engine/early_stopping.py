"""When is going on senseless? Rules over the rows of the curve alone, so that a resumed run ends where an unbroken one does.

Each says what no recovery is known from; a loss that is merely bad is an outcome that one wants to see to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

Rows = Sequence[dict[str, float]]

NOT_A_NUMBER = "the loss is no number any more"
ABOVE_UNIFORM = "the loss stays above that of blind guessing and above where it began, and does not fall"
SPIKE = "the loss jumped, gave back more than half of what had been learned, and does not come back"

WINDOW = 0.1  # of the training: for so long a loss must have been bad without falling
FEWEST = 6  # rows: the means of two halves are compared, and a lone row is noise
ABOVE = 0.1  # nats a target over blind guessing: confident mistakes, not ignorance
LEARNED = 0.5  # nats a target below blind guessing: before that, there is nothing to give back
USUAL = frozenset({"step", "targets", "loss", "lr", "gradient_norm", "clipped"})


def reason_to_stop(rows: Rows, steps: int, warmup: float, uniform: float) -> str:
    """Why the training should end now, or ''.

    The last tenth of the training (and no fewer than six rows) must be bad, and the second half of it no better than the first.
    Never in the warm-up or in the first fifth, in which high losses fall. Where a dial changes what a step sees (a longer text,
    a harder part of it) the loss may rise for good reason, so that only blind guessing is a measure.

    Args:
        rows: of the curve so far, each with `step` and `loss` (nats a target).
        steps, warmup: of the whole training; the share of it over which the rate climbs.
        uniform: the loss of blind guessing.

    Source: of the idea, Godbole et al., "Deep Learning Tuning Playbook", 2023 (unstable workloads); the numbers are rules of
    ours, on the safe side: of the 60 healthy runs of `rally doctor benchmark` they end none.
    """
    if not rows or rows[-1]["step"] < (warmup + 2 * WINDOW) * steps:
        return ""
    begin = rows[-1]["step"] - WINDOW * steps
    count = max(FEWEST, sum(row["step"] > begin for row in rows))
    losses = [row["loss"] for row in rows]
    recent, before = losses[-count:], losses[:-count]
    if not before or fmean(recent[count // 2 :]) < fmean(recent[: count // 2]):
        return ""
    # Below where it began it may only be slow: a low rate, from weights that guess worse than blindly.
    if min(recent) > uniform + ABOVE and fmean(recent) >= losses[0]:
        return ABOVE_UNIFORM
    best = min(before)
    moving = rows[-1].keys() - USUAL
    if not moving and best < uniform - LEARNED and min(recent) > (best + uniform) / 2:
        return SPIKE
    return ""


def is_good(rows: Rows, uniform: float) -> bool:
    """Whether the last row is nearer to the best so far than to blind guessing: weights that one would go back to."""
    return bool(rows) and rows[-1]["loss"] <= (min(row["loss"] for row in rows) + uniform) / 2
