"""Confidence intervals of a mean, of a difference and of a share, and whether seeds are compared in pairs."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

ALPHA = 0.05  # the share of 95 % intervals that do not hold the truth


class Interval(NamedTuple):
    """A mean and its confidence interval; all infinite where a training diverged."""

    low: float
    mean: float
    high: float


def interval(values: Float[np.ndarray, " n"], alpha: float = ALPHA) -> Interval:
    """Student's confidence interval of a mean; unbounded for a single value, and all infinite where a training diverged.

    Args:
        alpha: how often it misses the mean, at both ends together.

    Source: Student, "The Probable Error of a Mean", 1908.
    """
    if not np.isfinite(values).all():
        return Interval(np.inf, np.inf, np.inf)
    n, mean = len(values), float(values.mean())
    half = quantile(n - 1, alpha) * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else np.inf
    return Interval(mean - half, mean, mean + half)


def difference(more: Float[np.ndarray, " n"], less: Float[np.ndarray, " n"], *, paired: bool, alpha: float = ALPHA) -> Interval:
    """The confidence interval of the difference of two means: in pairs, seed by seed, or Welch's, of independent seeds.

    Source: Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved", 1947.
    """
    with np.errstate(invalid="ignore"):
        if paired or len(more) < 2 or not (np.isfinite(more).all() and np.isfinite(less).all()):
            return interval(more - less, alpha)
    n, mean = len(more), float(more.mean() - less.mean())
    one, other = float(more.var(ddof=1)) / n, float(less.var(ddof=1)) / n
    if not (variance := one + other):
        return Interval(mean, mean, mean)
    freedom = variance**2 / ((one**2 + other**2) / (n - 1))
    half = quantile(freedom, alpha) * math.sqrt(variance)
    return Interval(mean - half, mean, mean + half)


@functools.lru_cache(maxsize=4096)
def quantile(freedom: float, alpha: float) -> float:
    """How many standard errors Student's interval reaches to each side."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - alpha / 2))


def deviation_interval(values: Float[np.ndarray, " n"], alpha: float = ALPHA) -> Interval:
    """The confidence interval of the standard deviation of normally distributed values."""
    from scipy.special import chdtri

    n, found = len(values), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if n < 2:
        return Interval(0.0, found, np.inf)
    ends = (math.sqrt((n - 1) / float(chdtri(n - 1, tail))) for tail in (alpha / 2, 1 - alpha / 2))
    low, high = (found * end for end in ends)
    return Interval(low, found, high)


def share_interval(count: int, n: int, alpha: float = ALPHA) -> Interval:
    """The exact confidence interval of a share of n independent trials, which misses it at most alpha / 2 on either side.

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial", 1934.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(count, n - count + 1, alpha / 2)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - alpha / 2)) if count < n else 1.0
    return Interval(low, count / n, high)


def wilson(share: float, n: int, alpha: float = ALPHA) -> Interval:
    """Wilson's confidence interval of a share of n independent examples.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z = quantile(np.inf, alpha)
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = ((middle + side * half) / (1 + z**2 / n) for side in (-1, 1))
    return Interval(min(low, share), share, max(high, share))


def joined(mean: float, *sources: Interval) -> Interval:
    """The interval of a mean with several independent sources of error: on each side the root of the sum of squares.

    Source: Zou and Donner, "Construction of confidence limits about effect measures: a general approach", 2008.
    """
    low, high = math.hypot(*(one.mean - one.low for one in sources)), math.hypot(*(one.high - one.mean for one in sources))
    return Interval(mean - low, mean, mean + high)


class Pairing(NamedTuple):
    """Whether seeds are compared in pairs: only where they correlate over places, by more than chance would often show.

    Attributes:
        r: the mean correlation of all pairs of places over seeds.
    """

    r: float
    is_earned: bool

    def text(self) -> str:
        """How seeds are compared, for a sentence."""
        return f"{'in pairs' if self.is_earned else 'not in pairs'}, r = {self.r:.2f}"


def pairing(values: Float[np.ndarray, "places seeds"], errors: float = 1.5) -> Pairing:
    """Whether these values are compared in pairs; places where a training diverged, or where all seeds are equal, do not count.

    The bound is one and a half standard errors: to choose the pairs at every r above 0 would make one interval in thirty wrong
    instead of one in forty.

    Args:
        errors: the bound, in standard errors of r.
    """
    kept = values[np.isfinite(values).all(axis=-1)]
    seeds = kept.shape[-1]
    if seeds < 2 or not len(kept):
        return Pairing(0.0, False)
    spread = kept.std(axis=-1, keepdims=True)
    varying = spread[:, 0] > 1e-12 * (1e-300 + np.abs(kept).max(axis=-1))
    if (places := int(varying.sum())) < 2:
        return Pairing(0.0, False)
    scores = (kept[varying] - kept[varying].mean(axis=-1, keepdims=True)) / spread[varying]
    r = float((places**2 * (scores.mean(axis=0) ** 2).mean() - places) / (places * (places - 1)))
    return Pairing(r, r > errors / math.sqrt((seeds - 1) * places * (places - 1) / 2))
