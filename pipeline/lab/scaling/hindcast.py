"""How far a law misses the next budget, seen on the last one: the law of all budgets before it is asked for it. No torch.

A bootstrap knows what the noise of runs leaves open, not that the law may have the wrong form. The miss of the same forecast,
one rung below, shows both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.lab.scaling.fit import law_of
from pipeline.lab.scaling.isoflops import by_budget
from pipeline.lab.scaling.points import FEWEST, Point

RECENCIES = (0.0, 0.5, 1.0, 2.0)  # see `recency` of fit_law
FEWEST_BUDGETS = {True: 3, False: 4}  # by whether the entropy is known; a fitted one takes a budget more


class Hindcast(NamedTuple):
    """The forecast of the last budget by those before it, and what came out.

    Attributes:
        recency: that missed least (see `fit_law`).
        error: root mean square, over the sizes, of the logarithm of the loss (of its excess over a known entropy) minus that
            of the law.
        sizes: how many the last budget has.
        last: its FLOPs.
        factor: how many times those of the budget before it.
    """

    recency: float
    error: float
    sizes: int
    last: float
    factor: float

    def error_at(self, flops: float) -> float:
        """The error to expect at a larger budget: it grows with the logarithm of the distance."""
        return self.error * max(math.log(flops / self.last) / math.log(self.factor), 1.0)


def hindcast(points: Sequence[Point], entropy: float | None) -> Hindcast | None:
    """The hindcast of some points; None where they have too few budgets.

    Args:
        entropy: E in nats per token, where it is known.
    """
    budgets = by_budget(points)
    if len(budgets) < FEWEST_BUDGETS[entropy is not None]:
        return None
    last, before = budgets[-1], [point for point in points if point.flops < budgets[-1][0].flops]
    if len(before) < FEWEST:
        return None
    flops = [float(np.exp(np.mean(np.log([point.flops for point in group])))) for group in budgets[-2:]]
    found, base = [], entropy or 0.0
    for recency in RECENCIES:
        law, groups = law_of(before, entropy, recency), defaultdict[float, list[float]](list)
        for point in last:
            said = float(law.loss(np.array([point.size]), np.array([point.tokens]))[0])
            groups[point.size].append(math.log((point.loss - base) / (said - base)))
        misses = [float(np.mean(group)) for group in groups.values()]
        found.append(Hindcast(recency, math.sqrt(np.mean(np.square(misses))), len(misses), flops[1], flops[1] / flops[0]))
    return min(found, key=lambda one: one.error)
