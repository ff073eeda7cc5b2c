"""The forecast of a run, with an 80 % interval, from what is known when it begins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pipeline.lab.plan.checkpoints import Interval
from pipeline.lab.plan.form import Plan
from pipeline.lab.plan.law import FittedLaw, law
from pipeline.lab.plan.steps import Run

# Of the loss, half of the interval of a run like one that has ended: another seed; another option of a stage.
SEED, OPTION = 0.015, 0.03
WORSE = 2.0  # times as far up as down: what is changed in a recipe that works makes it worse more often
DOUBT = 0.5  # of the change that the law foretells, that may be wrong
NEAR = math.log(3)  # apart in tokens, that runs of one size may be to be compared without the law
UNKNOWN = (0.35, 0.6, 0.9)  # of ln V: where small runs of this lab on plays, stories and generated texts ended


def forecast(plan: Plan, run: Run, done: Sequence[tuple[Run, float]]) -> Interval:
    """The validation loss of a run at its end, nats per token.

    From the run of the plan that is most like it, by the slope of the law; without one from the law, if it is of these data;
    else from the baselines of the text, or ln V, which is hardly more than a guess and says so.
    """
    fit = law(plan.data["prepare.dataset"])
    ended = [(other, loss) for other, loss in done if math.isfinite(loss)]
    size, tokens = plan.tier(run.tier).parameters, tokens_of(run)
    is_of_law = fit.is_of(plan.data["prepare.dataset"], plan.vocabulary, plan.levels) and tokens > size
    if ended:
        like, loss = _most_like(run, ended)
        if not is_of_law or (like.tier == run.tier and abs(math.log(tokens_of(like) / tokens)) < NEAR):
            return _from_run(plan, run, like, loss, fit)
        # As far off as the law was there, but half of it at most: it may be off by the size or the length of that run alone.
        off = (loss - fit.loss(plan.tier(like.tier).parameters, tokens_of(like))) / 2
        middle = fit.loss(size, tokens) + max(-fit.error, min(off, fit.error))
        return Interval(middle - fit.error, middle, middle + fit.error, f"{fit.source}; {like.name} ended at {loss:.3f}")
    if is_of_law:
        middle = fit.loss(size, tokens)
        return Interval(middle - fit.error, middle, middle + fit.error, fit.source)
    if "unigram" in plan.levels and "bigram" in plan.levels:
        low = 0.7 * plan.levels["bigram"]
        if "entropy" in plan.levels:
            low = max(low, 0.99 * plan.levels["entropy"])
        high = plan.levels["unigram"]
        middle = low + 0.4 * (high - low)
        return Interval(low, middle, high, "the losses of unigram and bigram on this text: a guess, wide on purpose")
    nats = math.log(plan.vocabulary)
    low, middle, high = (share * nats for share in UNKNOWN)
    return Interval(low, middle, high, "shares of ln V at which small runs have ended: a guess, wide on purpose")


def tokens_of(run: Run) -> int:
    """The tokens that a run reads."""
    knobs = run.knobs
    return int(knobs["train.steps"] * knobs["train.batch_size"] * knobs["model.context_length"])


def _most_like(run: Run, ended: Sequence[tuple[Run, float]]) -> tuple[Run, float]:
    """The run at its size that read about as many tokens, the best of those; else the best of the nearest size."""

    def distance(pair: tuple[Run, float]) -> tuple[bool, bool, float, float]:
        other, loss = pair
        tokens = abs(math.log(tokens_of(other) / tokens_of(run)))
        return other.tier != run.tier, other.arm != run.arm or other.stage != run.stage, round(tokens, 2), loss

    return min(ended, key=distance)


def _from_run(plan: Plan, run: Run, like: Run, loss: float, fit: FittedLaw) -> Interval:
    here = fit.loss(plan.tier(run.tier).parameters, tokens_of(run))
    there = fit.loss(plan.tier(like.tier).parameters, tokens_of(like))
    floor = _floor(plan.levels, fit, loss)
    middle = floor + (loss - floor) * (here - fit.law.entropy) / (there - fit.law.entropy)
    same = (run.stage, run.arm, run.tier) == (like.stage, like.arm, like.tier)
    down = (SEED if same else OPTION) * loss + DOUBT * abs(middle - loss)
    up = down if same else (OPTION * WORSE) * loss + DOUBT * abs(middle - loss)
    because = f"{like.name} ended at {loss:.3f}" + ("" if math.isclose(here, there) else f"; the slope is of {fit.source}")
    return Interval(max(middle - down, 0.98 * floor), middle, middle + up, because)


def _floor(levels: Mapping[str, float], fit: FittedLaw, loss: float) -> float:
    """What no training goes below: the entropy of a generated text, else that of the law, where it is lower than the loss."""
    floor = levels.get("entropy", fit.law.entropy)
    return floor if floor < loss else 0.0
