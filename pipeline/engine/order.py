"""Which examples does a step see? A pure function of (seed, step): nothing to remember, nothing to get out of step."""

from __future__ import annotations

import numpy as np


def rows_of(seed: int, step: int, batch: int, examples: int) -> np.ndarray:
    """The numbers of a step's examples, int64 [batch], drawn evenly with replacement from 0 .. examples - 1."""
    return np.random.Generator(np.random.Philox(key=[seed, step])).integers(0, examples, size=batch)
