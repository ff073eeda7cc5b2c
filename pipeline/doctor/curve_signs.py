"""Signs in what every run leaves: its curves, its numbers before the first step, and simpler predictors.

Each is a number of one case, or None where the case does not hold what it hangs on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pipeline.doctor.case import Case
from pipeline.engine.early_stopping import ABOVE_UNIFORM, NOT_A_NUMBER, SPIKE

FEW = 8  # rows of a curve below which its shape says nothing
LEAST = 0.01  # of ln V: a loss below it counts as that much where others are compared with it, so that 0 divides nothing
SURE = 3.0  # standard deviations of a batch's noise that a jump of the loss must exceed to be one


def not_a_number(case: Case) -> float | None:
    """1 where the training ended because its loss was no number any more, else 0."""
    if "diverged" not in case.progress:
        return None
    return float(case.progress.get("stopped") == NOT_A_NUMBER)


def ran_away(case: Case) -> float | None:
    """1 where the training was given up because its loss had left for good, else 0; see engine/early_stopping.py."""
    return float(case.progress.get("stopped") in (ABOVE_UNIFORM, SPIKE)) if case.progress else None


# ------------------------------------------------------------------------------------------------- before the first step


def start_excess(case: Case) -> float | None:
    """|loss − ln V − var(logits) / 2| before the first step beyond four standard deviations of chance, nats.

    Source: the expansion of ln E[exp z] for logits z drawn from a normal distribution. Above a variance of 4 or so the largest
    logits take over and the expansion fails, so that nothing is said.
    """
    excess, variance = case.sanity.get("start_excess"), case.sanity.get("logit_variance", 0.0)
    chance = 4 * case.sanity.get("start_chance", 0.0)
    return None if excess is None or variance > 4 else max(abs(excess) - chance, 0.0)


def start_loss(case: Case) -> float | None:
    """The loss before the first step less ln V, nats: how sure the network is of what it cannot know."""
    loss = case.sanity.get("loss")
    return None if loss is None or case.uniform_loss is None else loss - case.uniform_loss


def future(case: Case) -> float | None:
    """The largest |gradient| of a prediction to an input that comes after it, or its change with that: 0 where it is causal."""
    return case.sanity.get("future")


def across_batch(case: Case) -> float | None:
    """The largest |gradient| of a prediction to an input of another example: exactly 0 where examples do not mix."""
    return case.sanity.get("across_batch")


def cache_difference(case: Case) -> float | None:
    """The largest |difference| of the logits of one forward pass and of piece by piece with a cache, to the largest |logit|."""
    difference, largest = case.sanity.get("cache_difference"), case.sanity.get("largest_logit")
    return None if difference is None else difference / largest if largest else difference


def overlap(case: Case) -> float | None:
    """The share of held-out windows that stand in the training text word for word."""
    return case.levels.get("overlap")


# ------------------------------------------------------------------------------------------------------ how far it came


def gain(case: Case) -> float | None:
    """(ln V − loss at the end) / (ln V − the best that is known): 1 where the model is as good as the source or the n-grams."""
    known = [case.levels[name] for name in ("unigram", "bigram", "entropy") if name in case.levels]
    if case.uniform_loss is None or case.final is None or not known or case.uniform_loss - min(known) < 0.05:
        return None
    return (case.uniform_loss - case.final) / (case.uniform_loss - min(known))


def beyond_unigram(case: Case) -> float | None:
    """How far the loss at the end is below that of the bare frequencies, as a share of how far context is known to reach."""
    known = [case.levels[name] for name in ("bigram", "entropy") if name in case.levels]
    unigram = case.levels.get("unigram")
    if unigram is None or case.final is None or not known or unigram - min(known) < 0.05:
        return None
    return (unigram - case.final) / (unigram - min(known))


def floor_margin(case: Case) -> float | None:
    """(loss at the end − entropy of the source) / entropy: nobody who does not see the answer comes below 0."""
    entropy = case.levels.get("entropy")
    return None if not entropy or case.final is None else (case.final - entropy) / entropy


def bigram_share(case: Case) -> float | None:
    """Loss at the end / loss of bigrams: where the source's entropy is unknown, a model far below is too good to be true."""
    bigram = case.levels.get("bigram")
    return None if not bigram or case.final is None else case.final / bigram


# ------------------------------------------------------------------------------------------------ the shape of the curve


def late_share(case: Case) -> float | None:
    """Of all that the training loss fell, the share that came in the last quarter of the steps: high where it only began."""
    falls = _fallen(case, 0.75)
    return None if falls is None else 1 - falls


def early_share(case: Case) -> float | None:
    """Of all that the training loss fell, the share that came in the first tenth of the steps: low where it crawls."""
    return _fallen(case, 0.1)


def roughness(case: Case) -> float | None:
    """How far rows of the second half stand off the mean of their neighbours (median), as a share of the loss."""
    losses = _losses(case)[len(_losses(case)) // 2 :]
    if len(losses) < FEW:
        return None
    off = [abs(here - (before + after) / 2) for before, here, after in zip(losses, losses[1:], losses[2:], strict=False)]
    return _relative(case, statistics.median(off), statistics.mean(losses))


def setback(case: Case) -> float | None:
    """The largest climb of the training loss above its lowest before, as a share of ln V (of classes: of ln K).

    What the noise of a batch explains is taken off: three standard deviations of the difference of the two rows. For a
    classifier the means of twentieths of the training are compared, because a row holds only a few dozen examples.
    """
    rows = _rows_with_noise(case)
    if case.kind != "language":
        rows = _in_twentieths(rows)
    if len(rows) < 2 or not case.uniform_loss:
        return None
    (lowest, chance), worst = rows[0], 0.0
    for loss, noise in rows:
        worst = max(worst, loss - lowest - SURE * math.hypot(noise, chance))
        if loss < lowest:
            lowest, chance = loss, noise
    return worst / case.uniform_loss


def peak(case: Case) -> float | None:
    """(the highest row of the training loss − ln V) / ln V, less its noise: above 0 the model is worse than knowing nothing."""
    rows = _rows_with_noise(case)
    return (
        (max(loss - SURE * noise for loss, noise in rows) - case.uniform_loss) / case.uniform_loss
        if rows and case.uniform_loss
        else None
    )


def gap(case: Case) -> float | None:
    """(validation − training) / training loss, over the last fifth of both."""
    return _gap(case) if not case.knob("model.dropout", 0.0) else None


def dropped_gap(case: Case) -> float | None:
    """The same of a run with dropout, whose training loss is that of a thinned network: validation should be below it."""
    return _gap(case) if case.knob("model.dropout", 0.0) else None


def rise(case: Case) -> float | None:
    """How far the validation loss has risen from its lowest to the end, as a share of the lowest."""
    losses = [loss for _, loss in case.validations]
    return _relative(case, losses[-1] - min(losses), min(losses)) if len(losses) > 2 else None


# ------------------------------------------------------------------------------------------------------------- gradients


def gradient_growth(case: Case) -> float | None:
    """Mean gradient norm of the last tenth of the steps over that of the second tenth (the first may be the start's own)."""
    norms = [norm for _, norm in case.curve("gradient_norm")]
    if len(norms) < 2 * FEW:
        return None
    tenth = len(norms) // 10 or 1
    early, late = statistics.mean(norms[tenth : 2 * tenth]), statistics.mean(norms[-tenth:])
    return late / early if early > 0 else None


def gradient_spike(case: Case) -> float | None:
    """The largest gradient norm of the second half over its median."""
    norms = [norm for _, norm in case.curve("gradient_norm")]
    norms = norms[len(norms) // 2 :]
    return max(norms) / statistics.median(norms) if len(norms) >= FEW and statistics.median(norms) > 0 else None


def clipped(case: Case) -> float | None:
    """The share of steps whose gradient was shortened; nothing where no limit is set."""
    shares = [share for _, share in case.curve("clipped")]
    return statistics.mean(shares) if shares and case.knob("train.grad_clip", 0.0) else None


def skipped(case: Case) -> float | None:
    """The share of steps that float16 overflowed in, so that they were left out."""
    steps = case.progress.get("step")
    return case.progress["skipped_steps"] / steps if steps and "skipped_steps" in case.progress else None


def _rows_with_noise(case: Case) -> list[tuple[float, float]]:
    """(loss, its standard deviation by the choice of examples) of each row of the training curve.

    Where most examples are right and a few wrong, their losses spread like an exponential mixture: a variance of about
    L (1 + L) for a mean of L, up to L = 1; above it examples grow more alike, not less. A row averages as many as it has
    targets; where that is not known the noise counts as 0.
    """
    counted, before = dict(case.curve("targets")), 0.0
    rows = []
    for step, loss in case.curve("loss"):
        targets, wrong = counted.get(step, before) - before, min(max(loss, 0.0), 1.0)
        rows.append((loss, math.sqrt(wrong * (1 + wrong) / targets) if targets > 0 else 0.0))
        before = counted.get(step, before)
    return rows


def _in_twentieths(rows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The means of rows that follow one another, with the noise that is left in them."""
    size = max(-(-len(rows) // 20), 1)
    parts = (rows[start : start + size] for start in range(0, len(rows), size))
    return [
        (statistics.mean(loss for loss, _ in part), math.hypot(*(noise for _, noise in part)) / len(part)) for part in parts
    ]


def _relative(case: Case, difference: float, loss: float) -> float | None:
    """A difference as a share of a loss, which counts as a hundredth of ln V at least; None where neither says anything."""
    least = max(loss, LEAST * (case.uniform_loss or 0.0))
    return difference / least if least > 0 else None


def _losses(case: Case) -> list[float]:
    return [loss for _, loss in case.curve("loss")]


def _fallen(case: Case, share: float) -> float | None:
    """Which part of the whole fall of the training loss, from ln V on, was behind it at a share of the steps."""
    rows = case.curve("loss")
    if len(rows) < FEW or case.uniform_loss is None:
        return None
    end = statistics.mean(loss for _, loss in rows[-max(len(rows) // 20, 1) :])
    whole = case.uniform_loss - end
    if whole <= 0.02 * case.uniform_loss:
        return None
    by_then = [loss for step, loss in rows if step <= share * rows[-1][0]]
    there = statistics.mean(by_then[-max(len(rows) // 40, 1) :]) if by_then else case.uniform_loss
    return (case.uniform_loss - there) / whole


def _gap(case: Case) -> float | None:
    training, held_out = _last_fifth(case.curve("loss")), _last_fifth(case.validations)
    if not training or not held_out:
        return None
    return _relative(case, statistics.mean(held_out) - statistics.mean(training), statistics.mean(training))


def _last_fifth(rows: Sequence[tuple[float, float]]) -> list[float]:
    """The losses of the last fifth of the steps."""
    return [loss for step, loss in rows if step > 0.8 * rows[-1][0]]
