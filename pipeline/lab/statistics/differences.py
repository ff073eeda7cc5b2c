"""The difference of two variants over seeds: its interval, its probability, and how many seeds would decide it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipeline.lab.statistics.intervals import ALPHA, Interval, Pairing, pairing, quantile

POWER = 0.8  # how often a difference of the size that is called visible is found
MOST_SEEDS = 30  # a difference that needs more is called too small to find
UNUSUAL = 0.15  # arms whose spread is among the largest such share of those that the other variants let expect keep their own
FEWEST_OTHERS = 2  # variants: the spread of one alone says nothing of how much spreads differ

EARNED = 1.8  # standard errors of r: at 1.5, two equal variants of five seeds are called different in 5.7 %, at 1.8 in 4.9 %

Values = Mapping[int, float]  # seed -> score


@dataclass(frozen=True)
class Evidence:
    """What the seeds of two variants say about the difference of their means.

    Attributes:
        gap: mean of the second minus mean of the first.
        error: its standard error.
        freedom: degrees of freedom of the error.
        seeds: how many values of the first and of the second were used; of pairs, twice their number.
        others: how many other variants helped to estimate the spread of a seed.
    """

    gap: float
    error: float
    freedom: float
    seeds: tuple[int, int]
    pairing: Pairing
    others: int = 0

    @property
    def p(self) -> float:
        """How often a gap at least as large as this is seen where there is none, on either side."""
        return 2 * self._below(-abs(self.gap))

    def interval(self, alpha: float = ALPHA) -> Interval:
        """Student's confidence interval of the gap."""
        half = quantile(self.freedom, alpha) * self.error
        return Interval(self.gap - half, self.gap, self.gap + half)

    def probability(self, *, minimizes: bool) -> float:
        """The probability that the second is the better one, if nothing was known before.

        With flat priors of the means, and of the logarithm of the spread, the true difference has Student's distribution around
        the gap, with the scale `error` and `freedom` degrees of freedom. That is exact in pairs, and of independent seeds where
        both variants spread alike; where nothing is known of either spread it is somewhat bold (by 0.03 at five seeds).

        Source: Box and Tiao, "Bayesian Inference in Statistical Analysis", 1973, sections 2.4 and 2.5.
        """
        return self._below(-self.gap if minimizes else self.gap)

    def visible(self, alpha: float = ALPHA) -> float:
        """The true difference that so many seeds find in POWER of all comparisons."""
        return (quantile(self.freedom, alpha) + quantile(self.freedom, 2 * (1 - POWER))) * self.error

    def needed(self, alpha: float = ALPHA) -> int | None:
        """How many seeds each, in all, find a true difference of this size in POWER of all comparisons; None = too many."""
        if not self.gap:
            return None
        one, other = self.seeds
        paired = self.pairing.is_earned
        spread = self.error * (math.sqrt(one) if paired else 1 / math.sqrt(1 / one + 1 / other))
        for n in range(min(one, other) + 1, MOST_SEEDS + 1):
            freedom, error = (n - 1, spread / math.sqrt(n)) if paired else (2 * n - 2, spread * math.sqrt(2 / n))
            if (quantile(freedom, alpha) + quantile(freedom, 2 * (1 - POWER))) * error <= abs(self.gap):
                return n
        return None

    def _below(self, value: float) -> float:
        """The probability that Student's variable with this scale is less than a value."""
        from scipy.special import ndtr, stdtr

        if self.error == 0.0:
            return 0.5 if value == 0.0 else float(value > 0)
        scaled = value / self.error
        return float(ndtr(scaled) if math.isinf(self.freedom) else stdtr(self.freedom, scaled))


def evidence(first: Values, second: Values, others: Sequence[Values] = ()) -> Evidence | None:
    """What the seeds of two variants say about their difference; None where one of them has fewer than two.

    In pairs where pairing is earned and worth the degrees of freedom that it costs; else Welch's, each variant with its own
    spread, to which other variants lend theirs (`lent`).

    Args:
        others: the values of further variants of the same task and data: they show whether seeds correlate, and how much a seed
            moves a score.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    common = sorted(first.keys() & second.keys())
    found = _correlation(first, second, others, common)
    ahead, behind = np.array(list(second.values())), np.array(list(first.values()))
    n, m = len(behind), len(ahead)
    if found.is_earned:
        gaps = np.array([second[seed] - first[seed] for seed in common])
        error = float(gaps.std(ddof=1)) / math.sqrt(len(common))
        return Evidence(float(gaps.mean()), error, len(common) - 1, (len(common), len(common)), found)
    gap = float(ahead.mean() - behind.mean())
    one, other = float(behind.var(ddof=1)) / n, float(ahead.var(ddof=1)) / m
    if not (variance := one + other):
        return Evidence(gap, 0.0, n + m - 2, (n, m), found)
    freedom = variance**2 / (one**2 / (n - 1) + other**2 / (m - 1))
    own = ((n - 1) * n * one + (m - 1) * m * other) / (n + m - 2)
    rows = [np.array(list(values.values())) for values in others]
    weight, spread, used = lent(own, n + m - 2, rows)
    variance = (weight * spread * (1 / n + 1 / m) + freedom * variance) / (weight + freedom)
    return Evidence(gap, math.sqrt(variance), weight + freedom, (n, m), found, used)


def _correlation(first: Values, second: Values, others: Sequence[Values], common: Sequence[int]) -> Pairing:
    """Whether these two are compared in pairs, by all variants that have their common seeds."""
    if len(common) < 2:
        return Pairing(0.0, False)
    rows = [first, second, *(one for one in others if all(seed in one for seed in common))]
    found = pairing(np.array([[row[seed] for seed in common] for row in rows]), EARNED)
    n = len(common)
    # The interval in pairs is narrower only where what they save outweighs the degrees of freedom that they cost.
    saved = (1 - found.r) * quantile(n - 1, ALPHA) ** 2 / n
    spent = quantile(len(first) + len(second) - 2, ALPHA) ** 2 * (1 / len(first) + 1 / len(second)) / 2
    return Pairing(found.r, found.is_earned and saved < spent)


def lent(own: float, freedom: int, others: Sequence[Float[np.ndarray, " _"]]) -> tuple[float, float, int]:
    """What other variants say about the variance of a seed: (degrees of freedom that they lend, variance, how many lend).

    They lend more, the more alike their variances are, at most as many degrees of freedom as the two arms have themselves, and
    none where the arms are noisier than the others let expect. Two arms of five equally noisy seeds find a difference of two
    standard deviations in 77 % of all comparisons, and no unbiased test in more than 79 %; with two more variants it is 80 %.

    Args:
        own: the variance of a seed in the two arms.
        freedom: the degrees of freedom of `own`.

    Source: Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray Experiments",
    2004, section 6.2, with both limits added.
    """
    from scipy.special import digamma, fdtrc, polygamma

    kept = [row for row in others if len(row) > 1 and np.isfinite(row).all() and row.std() > 0]
    count = len(kept)
    if count < FEWEST_OTHERS or not own:
        return 0.0, 0.0, 0
    variances, freedoms = np.array([row.var(ddof=1) for row in kept]), np.array([len(row) - 1.0 for row in kept])
    logs = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    differ = float(((logs - logs.mean()) ** 2).sum() / (count - 1) - polygamma(1, freedoms / 2).mean())
    most = float(freedoms.sum())
    prior = min(2 * _inverse_trigamma(differ), most) if differ > 0 else most
    if prior < most:
        spread = float(np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2)))
    else:
        spread = float((freedoms * variances).sum() / most)
    if float(fdtrc(freedom, prior, own / spread)) < UNUSUAL:
        return 0.0, 0.0, 0
    return min(prior, float(freedom)), spread, count


def _inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function has a value, by Newton's method."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / math.sqrt(value)
    at = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, at))
        at += (step := now * (1 - now / value) / float(polygamma(2, at)))
        if -step < 1e-8 * at:
            break
    return at


def holm(ps: Sequence[float], alpha: float = ALPHA) -> list[tuple[float, float]]:
    """(adjusted p, level of the interval) of each of several tests, so that any of them is wrong in at most `alpha`.

    The intervals of the tests that are not decided have the level of the first of these, so that all of them hold 0.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    found, so_far, level = [(1.0, alpha)] * len(ps), 0.0, alpha
    is_open = False
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        so_far = max(so_far, min(1.0, ps[place] * (len(ps) - rank)))
        level = level if is_open else alpha / (len(ps) - rank)
        is_open = is_open or so_far > alpha
        found[place] = (so_far, level)
    return found
