"""The forecast of a run by a law: its quantiles from the bootstrap, and the spread of one run around the law. No torch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.lab.scaling.fit import Fit
from pipeline.lab.scaling.law import Cost, best_use
from pipeline.lab.scaling.points import Point

DRAWS = 50  # of a run around each bootstrap's law
SEED = 2


class Forecast(NamedTuple):
    """The 10, 50 and 90 % quantiles of the loss of a run that has not run."""

    low: float
    median: float
    high: float


def forecast(
    fit: Fit, size: float, tokens: float, seeds_spread: float = 0.0, form: tuple[float, int] | None = None
) -> Forecast:
    """The loss that a run of this size and length will have, by the law.

    Args:
        seeds_spread: of runs that differ in their seed alone (see `seeds_spread`); the spread around the law is used if it is
            larger, because it holds the seeds' and what the law misses.
        form: how far the law's form is to be off at this budget, in the logarithm, and from how many sizes this is known (see
            `Hindcast`): so many degrees of freedom has its Student distribution. None = not known, so left out.
    """
    rng, spread = np.random.default_rng(SEED), max(fit.spread, seeds_spread)
    at = np.array([size]), np.array([tokens])
    values = []
    for law in fit.again:
        off = form[0] * rng.standard_t(form[1], DRAWS) if form else 0.0
        noise = np.exp(rng.normal(0, spread, DRAWS) + off)
        base = law.entropy if fit.known else 0.0
        values.append(base + (law.loss(*at) - base) * noise)
    low, median, high = np.quantile(np.concatenate(values), [0.1, 0.5, 0.9])
    return Forecast(float(low), float(median), float(high))


def seeds_spread(points: Sequence[Point], entropy: float | None) -> float:
    """The standard deviation of the logarithm of the loss (of its excess over a known entropy) among runs of equal size and
    length, pooled; 0 where no two are equal.
    """
    groups = defaultdict(list)
    for point in points:
        groups[point.size, point.tokens].append(math.log(point.loss - (entropy or 0.0)))
    several = [np.array(group) for group in groups.values() if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    return math.sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in several) / freedom) if freedom else 0.0


class Advice(NamedTuple):
    """How many tokens to train each parameter on, at some compute, with an 80 % interval."""

    flops: float
    tokens_per_parameter: float
    low: float
    high: float


def advice(fit: Fit, cost: Cost, flops: float) -> Advice:
    """What a fit says at this compute."""
    low, high = fit.interval(lambda law: best_use(law, flops, cost).tokens_per_parameter)
    return Advice(flops, best_use(fit.law, flops, cost).tokens_per_parameter, low, high)


def between(table: Sequence[Advice], flops: float) -> Advice:
    """The advice at some compute from a table of it, between its rows and beyond them by straight lines of the logarithms."""
    x = np.log([row.flops for row in table])
    at = min(max(int(np.searchsorted(x, math.log(flops))), 1), len(x) - 1)
    share = (math.log(flops) - x[at - 1]) / (x[at] - x[at - 1])
    numbers = (
        math.exp((1 - share) * math.log(one) + share * math.log(other))
        for one, other in zip(table[at - 1][1:], table[at][1:], strict=True)
    )
    return Advice(flops, *numbers)
