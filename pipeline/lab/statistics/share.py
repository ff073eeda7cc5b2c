"""A share of hits among so many, with its confidence interval, as people say it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.lab.statistics.intervals import wilson


@dataclass(frozen=True)
class Share:
    """How many of how many, with Wilson's 95 % interval; of none it is unknown, and anything from 0 to 1."""

    hits: int
    count: int

    @property
    def share(self) -> float:
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count:
            return 0.0, 1.0
        low, _, high = wilson(self.share, self.count)
        return max(low, 0.0), min(high, 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.hits} of {self.count} ({low:.0%} to {high:.0%})"

    def in_percent(self) -> str:
        """The share first, for many of them side by side.

        >>> Share(83, 90).in_percent()
        '92.2% (85% … 96%; 83 of 90)'
        """
        low, high = self.interval
        return f"{self.share:.1%} ({low:.0%} … {high:.0%}; {self.hits} of {self.count})"
