"""Scores of forecasts, lower is better. Each is proper: the lowest is expected of a forecast that says what is believed.

Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", 2007.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from pipeline.lab.bets.question import LEVEL

CLIP = 0.01  # the log score of a probability below it is that of this one


def interval_score(low: float, high: float, truth: float, level: float = LEVEL) -> float:
    """The width of an interval, plus 2 / (1 - level) times the distance by which it misses the truth: 10 times at 80 %.

    Source: Gneiting and Raftery, 2007, equation 43; Winkler, "A Decision-Theoretic Approach to Interval Estimation", 1972.
    """
    return (high - low) + 2 / (1 - level) * max(low - truth, truth - high, 0.0)


def pinball(quantile: float, level: float, truth: float) -> float:
    """The loss that the quantile of this level minimizes: level times the shortfall, or 1 - level times the excess.

    Source: Koenker and Bassett, "Regression Quantiles", 1978.
    """
    return max(level * (truth - quantile), (level - 1) * (truth - quantile))


def crps(low: float, median: float, high: float, truth: float) -> float:
    """The continuous ranked probability score of three quantiles (10, 50 and 90 %): twice the mean of their pinball losses.

    Of a forecast that is a single number it is the absolute error.

    Source: Gneiting and Ranjan, "Comparing Density Forecasts Using Threshold- and Quantile-Weighted Scoring Rules", 2011.
    """
    tail = (1 - LEVEL) / 2
    return 2 * (pinball(low, tail, truth) + pinball(median, 0.5, truth) + pinball(high, 1 - tail, truth)) / 3


def brier(probability: float, outcome: bool) -> float:
    """The squared error of the probability of yes: 0 to 1, and 0.25 for "50 %".

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950 (half of its two-class form).
    """
    return (probability - outcome) ** 2


def brier_of_choice(probabilities: Mapping[str, float], truth: str) -> float:
    """The sum over labels of (probability - whether it came out)²: 0 to 2.

    Source: Brier, 1950.
    """
    return sum((share - (label == truth)) ** 2 for label, share in probabilities.items())


def log_score(probability: float) -> float:
    """-ln of the probability of what came out, limited to 0.01 … 0.99: in nats, 0.69 for "50 %". Proper between the limits.

    Source: Good, "Rational Decisions", 1952.
    """
    return -math.log(min(max(probability, CLIP), 1 - CLIP))


def kendall_distance(order: Sequence[str], truth: Sequence[str]) -> int:
    """How many pairs of labels stand in the wrong order.

    The order that one believes to have the fewest expected has the lowest expected score.

    Source: Kendall, "A New Measure of Rank Correlation", 1938.
    """
    place = {label: at for at, label in enumerate(truth)}
    return sum(place[first] > place[second] for first, second in itertools.combinations(order, 2))


def expected_distance(count: int) -> float:
    """The mean Kendall distance of a random order of so many labels: half of all pairs."""
    return count * (count - 1) / 4


def skill(score: float, naive: float) -> float | None:
    """1 - score / the naive forecaster's: 1 is perfect, 0 equally good, below 0 worse; None where the naive one was perfect."""
    return 1 - score / naive if naive else None
