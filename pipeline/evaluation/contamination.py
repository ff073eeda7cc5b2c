"""Contamination: the share of the held-out text that occurs in the training text, by windows of tokens; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import tokens_of
from pipeline.artifacts.writing import rounded

Hashes = npt.NDArray[np.uint64]

WINDOW = 48  # tokens: new text rarely repeats so many in a row
WINDOWS = 500  # of the held-out split, spread evenly
SEARCHED = 20_000_000  # training tokens at most, the first
BLOCK = 1 << 20  # windows hashed at once: 8 MB an array
BASE = 0x9E3779B97F4A7C15  # odd, so that no power of it is 0 modulo 2^64
LOW = np.uint64(0xFFFF)  # the bits by which a hash is looked up first


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
    return float(np.isin(some, _occurring(some, known)).mean())


def _occurring(some: Hashes, known: npt.NDArray[np.unsignedinteger]) -> Hashes:
    """The hashes of windows of the known tokens that are among some few.

    numpy's isin hashes or sorts all of them. Here a table of the lowest bits leaves one in a hundred to compare.
    """
    table = np.zeros(int(LOW) + 1, bool)
    table[some & LOW] = True
    found = [some[:0]]
    for start in range(0, len(known) - WINDOW + 1, BLOCK):
        block = hashes(known[start : start + BLOCK + WINDOW - 1])
        near = block[table[block & LOW]]
        found.append(near[np.isin(near, some)])
    return np.concatenate(found)


def overlaps(tokens: Path, splits: Iterable[str]) -> list[dict[str, str | float]]:
    """The overlap of each held-out split, for metrics/evaluate.json; a list, which DVC leaves out of its tables."""
    training = memory_mapped(tokens_of(tokens, "train"))
    found = {split: overlap(training, memory_mapped(tokens_of(tokens, split))) for split in splits}
    return [{"split": split, "overlap": rounded(share)} for split, share in found.items()]


def hashes(ids: npt.NDArray[np.unsignedinteger]) -> Hashes:
    """The hash of every window of WINDOW tokens: the sum over its tokens of (id + 1) · BASE^(tokens after it), modulo 2^64.

    The hash of a window is that of its first part times a power of BASE, plus that of the rest. So windows of 2, 4, 8, … tokens
    are made of halves, and WINDOW of those whose lengths add up to it.
    """
    part, length = ids.astype(np.uint64) + np.uint64(1), 1
    found, taken = np.zeros(len(ids) - WINDOW + 1, np.uint64), 0
    with np.errstate(over="ignore"):
        while True:
            if WINDOW & length:
                found = found * _power(length) + part[taken : taken + len(found)]
                taken += length
            if 2 * length > WINDOW:
                return found
            part, length = part[:-length] * _power(length) + part[length:], 2 * length


def _power(exponent: int) -> np.uint64:
    """BASE^exponent modulo 2^64."""
    return np.uint64(pow(BASE, exponent, 1 << 64))
