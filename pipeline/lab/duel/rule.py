"""The sequential test of a duel, as pure numbers: after each pair of trainings keep, discard, or go on.

A gain is how much better the challenger is than the champion with the same seed. The t statistic of the gains (their mean / its
standard error) is compared with two bounds. A duel of equals is kept in at most 5 %, however often one looks: the bounds
spend this error look by look, whatever the largest number of pairs is. So a duel may stop early, and an undecided one may go on
with more pairs. The lower bound is only there to stop sooner: who goes on below it keeps the error rate.

Source: calibrate.py, which computed the bounds and names the method; Robbins, "Statistical Aspects of Sequential Experiments",
1970, and Jennison and Turnbull, "Interim Analyses: the Repeated Confidence Interval Approach", 1989 (the interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from pipeline.lab.statistics.intervals import Interval
from pipeline.params.errors import UserError

NAME = "t test with error spending, one-sided"
ALPHA = 0.05  # the share of duels of equals that are kept, at most
FIRST, LAST = 3, 20  # pairs: two tell too little of their spread

# `python -m pipeline.lab.duel.calibrate 10000000`: bounds of the t statistic at 3, 4, … 20 pairs
KEEP_ABOVE = (9.94, 5.34, 4.03, 3.41, 3.06, 2.82, 2.65, 2.51, 2.71, 2.79, 2.82, 2.81, 2.80, 2.77, 2.75, 2.73, 2.70, 2.67)
DISCARD_BELOW = (-0.83, -0.19, 0.20, 0.51, 0.78, 1.02, 1.25, 1.46, 1.33, 1.43, 1.54, 1.66, 1.78, 1.91, 2.03, 2.16, 2.28, 2.40)

NO_SPREAD = 1e-9  # relative to the gains: below it they are equal up to rounding


class Verdict(StrEnum):
    """How a duel ends."""

    KEEP = "keep"
    DISCARD = "discard"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Options:
    """What a duel is asked.

    Attributes:
        at_least: the smallest gain worth keeping, in units of the metric.
        least, most: pairs at the first look, and at the last.
    """

    at_least: float = 0.0
    least: int = FIRST
    most: int = 10

    def __post_init__(self) -> None:
        problems = []
        if not math.isfinite(self.at_least) or self.at_least < 0:
            problems.append(f"--at-least {self.at_least:g}: is not a gain; use 0 or a positive number, in units of the metric")
        if not FIRST <= self.least <= LAST:
            problems.append(f"--least {self.least}: use {FIRST} to {LAST} pairs; two tell too little of their spread")
        if not max(self.least, FIRST) <= self.most <= LAST:
            problems.append(f"--most {self.most}: use --least ({self.least}) to {LAST} pairs, for which bounds were computed")
        if problems:
            raise UserError(*problems)


@dataclass(frozen=True)
class Standing:
    """Where a duel stands after some pairs.

    Attributes:
        verdict: KEEP and DISCARD are final; UNDECIDED goes on while there are seeds.
        gain: the mean gain and its interval. The lower end holds with 95 % at all looks together, and so does the upper one.
        reason: why, in words.
    """

    verdict: Verdict
    gain: Interval
    reason: str


def judge(gains: Float[np.ndarray, " n"], options: Options) -> Standing:
    """The standing after n pairs of finite scores.

    Args:
        gains: of the challenger, pair by pair; positive is better.
    """
    n, bar = len(gains), options.at_least
    gain = gain_interval(gains)
    worth = f"the smallest gain worth keeping, {bar:g}" if bar else "0"
    if n < max(options.least, FIRST):
        return Standing(Verdict.UNDECIDED, gain, f"{n} of at least {options.least} pairs")
    error = standard_error(gains)
    if not error:
        if gain.mean <= bar:
            same = not gains.any()
            return Standing(
                Verdict.DISCARD, gain, "the scores are the same" if same else f"every gain is the same, and not above {worth}"
            )
        return Standing(Verdict.UNDECIDED, gain, "every gain is the same, so nothing is known of their spread")
    t = (gain.mean - bar) / error
    if t >= KEEP_ABOVE[n - FIRST]:
        return Standing(Verdict.KEEP, gain, f"the interval of the gain is above {worth}")
    if t <= DISCARD_BELOW[n - FIRST]:
        is_worse = gain.high < 0
        return Standing(Verdict.DISCARD, gain, "it is worse" if is_worse else "a gain worth having would have shown by now")
    return Standing(Verdict.UNDECIDED, gain, f"the interval of the gain holds {worth}")


def gain_interval(gains: Float[np.ndarray, " n"]) -> Interval:
    """The mean gain and its repeated confidence interval, right at all looks together; unbounded below FIRST pairs.

    Raises:
        ValueError: there are more than LAST pairs.
    """
    n = len(gains)
    if n > LAST:
        raise ValueError(f"bounds were computed for up to {LAST} pairs, not {n}")
    mean = float(gains.mean()) if n else 0.0
    half = KEEP_ABOVE[n - FIRST] * standard_error(gains) if n >= FIRST else math.inf
    return Interval(mean - half, mean, mean + half)


def standard_error(gains: Float[np.ndarray, " n"]) -> float:
    """The standard error of the mean gain; 0 where all gains are equal up to rounding."""
    deviation = float(gains.std(ddof=1))
    return deviation / math.sqrt(len(gains)) if deviation > NO_SPREAD * float(np.abs(gains).max()) else 0.0
