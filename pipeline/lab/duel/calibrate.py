"""The bounds of rule.py, computed by simulation: `python -m pipeline.lab.duel.calibrate 10000000` prints them.

Gains of pairs are normal with unknown mean and spread. Then the distribution of the t statistics of 2, 3, … pairs depends on
nothing but mean / spread, so bounds that hold for one spread hold for all. One bound after another is put where it ends as
large a share of the duels that still go on as its look may spend.

Source: Lan and DeMets, "Discrete Sequential Boundaries for Clinical Trials", 1983 (spending); Jennison and Turnbull, "Group
Sequential Methods with Applications to Clinical Trials", 1999 (t statistics).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

FIRST, LAST = 3, 20  # pairs at the first and the last look
KEPT_WRONGLY = (*8 * [0.005], *10 * [0.001])
"""The share of duels without a gain that each look keeps: 5 % in all, of which 4 % up to 10 pairs."""
DISCARDED_WRONGLY = tuple(2 * share for share in KEPT_WRONGLY)
"""The share of duels with a gain of one standard deviation of the pairs that each look discards: 10 % in all."""


def bounds(spent: Sequence[float], gain: float, draws: int, rng: np.random.Generator, *, upper: bool) -> list[float]:
    """The bound of the t statistic at each look.

    Args:
        spent: the share of all duels that end at each look.
        gain: the true one, in standard deviations of the pairs.
        draws: simulated duels.
        upper: duels end above the bound, not below it.
    """
    sign = 1.0 if upper else -1.0
    first = rng.standard_normal((FIRST - 1, draws)) + gain
    total, squares = first.sum(axis=0), (first**2).sum(axis=0)
    found = []
    for pairs, share in enumerate(spent, FIRST):
        gains = rng.standard_normal(len(total)) + gain
        total, squares = total + gains, squares + gains**2
        mean = total / pairs
        t = sign * mean * np.sqrt(pairs * (pairs - 1) / np.maximum(squares - pairs * mean**2, 1e-300))
        ending = len(t) - round(share * draws)
        bound = np.partition(t, ending)[ending]
        found.append(sign * float(bound))
        going_on = t < bound
        total, squares = total[going_on], squares[going_on]
    return found


if __name__ == "__main__":
    count, generator = int(sys.argv[1]), np.random.default_rng(0)
    for name, spent, gain in (("KEEP_ABOVE", KEPT_WRONGLY, 0.0), ("DISCARD_BELOW", DISCARDED_WRONGLY, 1.0)):
        found = bounds(spent, gain, count, generator, upper=not gain)
        print(f"{name} = ({', '.join(f'{bound:.2f}' for bound in found)})")
