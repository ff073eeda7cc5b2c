"""Contamination: the share of the held-out text that occurs in the training text, by windows of tokens; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import tokens_of
from pipeline.artifacts.writing import rounded

WINDOW = 48  # tokens: new text rarely repeats so many in a row
WINDOWS = 500  # of the held-out split, spread evenly
SEARCHED = 20_000_000  # training tokens at most, the first
BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it is 0 modulo 2^64


def overlap(training: npt.NDArray[np.unsignedinteger] | Sequence[int], held_out: npt.NDArray[np.unsignedinteger]) -> float:
    """The share of windows of the held-out tokens that occur in the training tokens, token by token.

    Healthy: near 0. 1 is text that was trained on. Text that repeats itself by nature (tables, set phrases) shares some.
    Windows are compared by a polynomial hash of 64 bits, which confuses a window with one of 20 million others with a
    probability below 10^-9.

    Source: Karp and Rabin, "Efficient randomized pattern-matching algorithms", 1987.
    """
    known, new = np.asarray(training[:SEARCHED]), np.asarray(held_out)
    if len(known) < WINDOW or len(new) < WINDOW:
        return 0.0
    every = hashes(new)
    some = every[np.linspace(0, len(every) - 1, min(WINDOWS, len(every))).astype(np.int64)]
    return float(np.isin(some, hashes(known)).mean())


def overlaps(tokens: Path, splits: Iterable[str]) -> list[dict[str, str | float]]:
    """The overlap of each held-out split, for metrics/evaluate.json; a list, which DVC leaves out of its tables."""
    training = memory_mapped(tokens_of(tokens, "train"))
    found = {split: overlap(training, memory_mapped(tokens_of(tokens, split))) for split in splits}
    return [{"split": split, "overlap": rounded(share)} for split, share in found.items()]


def hashes(ids: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint64]:
    """The hash of every window of WINDOW tokens: the sum over its tokens of (id + 1) · BASE^place, modulo 2^64."""
    found = np.zeros(len(ids) - WINDOW + 1, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(WINDOW):
            found = found * BASE + (ids[place : place + len(found)].astype(np.uint64) + np.uint64(1))
    return found
