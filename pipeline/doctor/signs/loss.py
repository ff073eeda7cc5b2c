"""Signs in the loss curves: divergence, distance from the baselines, stability, and the gap between training and validation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import FEW, FITTED, LANGUAGE, RULE, THUMB, Range, Sign, relative
from pipeline.engine.early_stopping import ABOVE_UNIFORM, NOT_A_NUMBER, SPIKE

SURE = 3.0  # standard deviations of a batch's noise that a jump of the loss must exceed to count


def nan_loss(case: Case) -> float | None:
    """1 where training ended because the loss became NaN or infinite, else 0."""
    if "diverged" not in case.progress:
        return None
    return float(case.progress.get("stopped") == NOT_A_NUMBER)


def stopped_early(case: Case) -> float | None:
    """1 where training was stopped because the loss rose and did not come back, else 0; see engine/early_stopping.py."""
    return float(case.progress.get("stopped") in (ABOVE_UNIFORM, SPIKE)) if case.progress else None


# ------------------------------------------------------------------------------------------------ compared with baselines


def gain(case: Case) -> float | None:
    """(ln V − final loss) / (ln V − the best known loss): 1 where the model matches the source's entropy or n-grams."""
    known = [case.levels[name] for name in ("unigram", "bigram", "entropy") if name in case.levels]
    if case.uniform_loss is None or case.final_loss is None or not known or case.uniform_loss - min(known) < 0.05:
        return None
    return (case.uniform_loss - case.final_loss) / (case.uniform_loss - min(known))


def beyond_unigram(case: Case) -> float | None:
    """(unigram loss − final loss) / (unigram loss − the best known loss): the share of the gain from context."""
    known = [case.levels[name] for name in ("bigram", "entropy") if name in case.levels]
    unigram = case.levels.get("unigram")
    if unigram is None or case.final_loss is None or not known or unigram - min(known) < 0.05:
        return None
    return (unigram - case.final_loss) / (unigram - min(known))


def floor_margin(case: Case) -> float | None:
    """(final loss − entropy of the source) / entropy: below 0 only where the target leaks."""
    entropy = case.levels.get("entropy")
    return None if not entropy or case.final_loss is None else (case.final_loss - entropy) / entropy


def bigram_share(case: Case) -> float | None:
    """Final loss / bigram loss: where the source's entropy is unknown, a model far below is too good to be true."""
    bigram = case.levels.get("bigram")
    return None if not bigram or case.final_loss is None else case.final_loss / bigram


# ------------------------------------------------------------------------------------------------ the shape of the curve


def late_share(case: Case) -> float | None:
    """The share of the fall of the training loss in the last quarter of the steps: high where training ended too early."""
    falls = _fallen(case, 0.75)
    return None if falls is None else 1 - falls


def early_share(case: Case) -> float | None:
    """The share of the fall of the training loss in the first tenth of the steps: low where learning is slow."""
    return _fallen(case, 0.1)


def roughness(case: Case) -> float | None:
    """The median distance of a row from the mean of its neighbours, in the second half, as a share of the loss."""
    losses = _losses(case)[len(_losses(case)) // 2 :]
    if len(losses) < FEW:
        return None
    off = [abs(here - (before + after) / 2) for before, here, after in zip(losses, losses[1:], losses[2:], strict=False)]
    return relative(case, statistics.median(off), statistics.mean(losses))


def setback(case: Case) -> float | None:
    """The largest rise of the training loss above its earlier minimum, as a share of ln V (for classes: of ln K).

    What the noise of a batch explains is subtracted: three standard deviations of the difference of the two rows. For a
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
    """(the highest row of the training loss − ln V) / ln V, less its noise: above 0 it is worse than uniform guessing."""
    rows = _rows_with_noise(case)
    return (
        (max(loss - SURE * noise for loss, noise in rows) - case.uniform_loss) / case.uniform_loss
        if rows and case.uniform_loss
        else None
    )


# ------------------------------------------------------------------------------------------------------------ validation


def generalization_gap(case: Case) -> float | None:
    """(validation − training) / training loss, over the last fifth of both; without dropout."""
    return _gap(case) if not case.knob("model.dropout", 0.0) else None


def dropout_gap(case: Case) -> float | None:
    """The same with dropout, which raises the training loss only: validation should be below it."""
    return _gap(case) if case.knob("model.dropout", 0.0) else None


def validation_rise(case: Case) -> float | None:
    """How far the validation loss has risen from its minimum to the end, as a share of the minimum."""
    losses = [loss for _, loss in case.validation_losses]
    return relative(case, losses[-1] - min(losses), min(losses)) if len(losses) > 2 else None


LOSS = {
    "nan_loss": Sign(
        nan_loss,
        "The loss became NaN or infinite (1 = yes; this run: {value}).",
        Range(RULE + "a loss that is not finite has no gradient", high=0.0, sick_high=0.0),
        "loss",
    ),
    "stopped_early": Sign(
        stopped_early,
        "Training was stopped because the loss rose and did not come back (1 = yes; this run: {value}).",
        Range(RULE + "it was stopped", high=0.0, sick_high=0.0),
        "loss",
    ),
    "gain": Sign(
        gain,
        "The loss came {value} of the way from uniform guessing (ln V) to the best known predictor.",
        Range(FITTED, low=0.33, sick_low=0.27),
        "loss",
        LANGUAGE,
    ),
    "beyond_unigram": Sign(
        beyond_unigram,
        "Use of context: of what context is known to gain over token frequencies (unigram), the model gained {value}.",
        Range(FITTED, low=0.31, sick_low=0.23),
        "loss",
        LANGUAGE,
    ),
    "floor_margin": Sign(
        floor_margin,
        "The final loss exceeds the entropy of the source by {value} of it; below 0 the target leaks into the input.",
        Range(RULE + "no predictor is better than the entropy; 5 % for a short split", low=-0.02, sick_low=-0.05),
        "loss",
        LANGUAGE,
    ),
    "bigram_share": Sign(
        bigram_share,
        "The loss ends at {value} times that of the bigram baseline; far below it is too good to be true, above it too bad.",
        Range(FITTED + "; high: a rule of thumb", low=0.16, high=1.1, sick_low=0.039, sick_high=1.16),
        "loss",
        LANGUAGE,
    ),
    "late_share": Sign(
        late_share,
        "Still learning: {value} of the fall of the training loss came in the last quarter of the steps.",
        Range(THUMB, high=0.2, sick_high=0.35),
        "loss",
    ),
    "early_share": Sign(
        early_share,
        "Early progress: {value} of the fall of the training loss came in the first tenth of the steps.",
        Range(THUMB, low=0.1, sick_low=0.02),
        "loss",
    ),
    "roughness": Sign(
        roughness,
        "Noise of the training loss: a row differs from the mean of its neighbours by {value} of the loss.",
        Range(THUMB, high=0.03, sick_high=0.08),
        "loss",
        LANGUAGE,
    ),
    "setback": Sign(
        setback,
        "Loss spike: the training loss once rose above its earlier minimum by {value} of the loss of uniform guessing.",
        Range(THUMB, high=0.12, sick_high=0.2),
        "loss",
    ),
    "peak": Sign(
        peak,
        "The highest training loss exceeds that of uniform guessing by {value} of it (negative: it is lower).",
        Range(THUMB, high=0.3, sick_high=0.6),
        "loss",
    ),
    "generalization_gap": Sign(
        generalization_gap,
        "The validation loss exceeds the training loss by {value} of it (negative: it is lower).",
        Range(THUMB, low=-0.05, high=0.2, sick_low=-0.1, sick_high=0.4),
        "loss",
        LANGUAGE,
    ),
    "dropout_gap": Sign(
        dropout_gap,
        "With dropout, the validation loss exceeds the training loss by {value} of it; it should be lower.",
        Range(THUMB, low=-0.08, high=0.05, sick_low=-0.15, sick_high=0.2),
        "loss",
        LANGUAGE,
    ),
    "validation_rise": Sign(
        validation_rise,
        "Overfitting: the validation loss has risen by {value} of its minimum.",
        Range(THUMB, high=0.03, sick_high=0.1),
        "loss",
        LANGUAGE,
    ),
}


def _rows_with_noise(case: Case) -> list[tuple[float, float]]:
    """(loss, its standard deviation by the choice of examples) of each row of the training curve.

    Where most examples are right and a few wrong, their losses spread like an exponential mixture: a variance of about
    L (1 + L) for a mean of L, up to L = 1; above it examples become more similar. A row averages as many losses as it has
    targets; where that number is unknown the noise counts as 0.
    """
    counted, before = dict(case.curve("targets")), 0.0
    rows = []
    for step, loss in case.curve("loss"):
        targets, wrong = counted.get(step, before) - before, min(max(loss, 0.0), 1.0)
        rows.append((loss, math.sqrt(wrong * (1 + wrong) / targets) if targets > 0 else 0.0))
        before = counted.get(step, before)
    return rows


def _in_twentieths(rows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The means of consecutive rows, with the noise that is left in them."""
    size = max(-(-len(rows) // 20), 1)
    parts = (rows[start : start + size] for start in range(0, len(rows), size))
    return [
        (statistics.mean(loss for loss, _ in part), math.hypot(*(noise for _, noise in part)) / len(part)) for part in parts
    ]


def _losses(case: Case) -> list[float]:
    return [loss for _, loss in case.curve("loss")]


def _fallen(case: Case, share: float) -> float | None:
    """The part of the whole fall of the training loss, from ln V on, that was done at a share of the steps."""
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
    training, held_out = _last_fifth(case.curve("loss")), _last_fifth(case.validation_losses)
    if not training or not held_out:
        return None
    return relative(case, statistics.mean(held_out) - statistics.mean(training), statistics.mean(training))


def _last_fifth(rows: Sequence[tuple[float, float]]) -> list[float]:
    """The losses of the last fifth of the steps."""
    return [loss for step, loss in rows if step > 0.8 * rows[-1][0]]
