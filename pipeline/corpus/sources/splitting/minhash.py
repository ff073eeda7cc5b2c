"""Which texts are nearly the same? Those whose shingles overlap: found by MinHash, confirmed by counting.

A shingle is so many neighbouring characters, of a text in which case, punctuation and the width of blanks do not count. How
alike two texts are is the Jaccard similarity of their sets of shingles: |both| / |either|, 0 .. 1 (equal but for those).

Source: Andrei Broder, "On the resemblance and containment of documents", 1997; found in bands as in Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", 2014, chapter 3.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

SHINGLE = 8  # characters
MISSED = 1e-3  # chance that a pair just at the threshold is overlooked, in each of the two sieves
MOST_HASHES = 192
MOST_ROWS = 8
BLOCK = 1 << 16  # shingles that are hashed at once: they stay in the processor's cache

Shingles = UInt64[np.ndarray, " shingles"]


class BandPlan(NamedTuple):
    """How alike two texts must be, and how they are sought: those that agree in all `rows` hashes of one of so many `bands`."""

    threshold: float
    bands: int
    rows: int

    @property
    def hashes(self) -> int:
        return self.bands * self.rows

    @property
    def min_agreement(self) -> float:
        """The least share of equal hashes that a pair at the threshold shows, but for a chance of MISSED."""
        return self.threshold - 3.1 * math.sqrt(self.threshold * (1 - self.threshold) / self.hashes)


def plan_bands(threshold: float) -> BandPlan:
    """As many rows as can be, so that few pairs are looked at in vain; as many bands as then find a pair at the threshold."""
    plans = [BandPlan(threshold, _bands(threshold**rows), rows) for rows in range(1, MOST_ROWS + 1)]
    return [plan for plan in plans if plan.hashes <= MOST_HASHES or plan.rows == 1][-1]


def _bands(chance: float) -> int:
    return 1 if chance >= 1 else math.ceil(math.log(MISSED) / math.log1p(-chance))


class Sketches(NamedTuple):
    """Some texts as what is compared of them.

    Attributes:
        shingles: of all of them, one after the other, each as a number.
        ends: where those of each text end.
        hashes: [texts, hashes] the least of its shingles under each of the hash functions.
    """

    shingles: Shingles
    ends: Int[np.ndarray, " texts"]
    hashes: UInt64[np.ndarray, "texts hashes"]

    def shingles_of(self, text: int) -> Shingles:
        """The set of shingles of one text."""
        return np.unique(self.shingles[self.ends[text - 1] if text else 0 : self.ends[text]])


def sketch(texts: Sequence[str], plan: BandPlan) -> Sketches:
    """What is compared of some texts."""
    padded = [_normalize(text).ljust(SHINGLE) for text in texts]
    lengths = np.array([len(text) for text in padded], np.int64)
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32).astype(np.uint64)
    windows = len(codes) - SHINGLE + 1
    rolled = np.zeros(max(windows, 0), np.uint64)
    for place in range(SHINGLE):
        rolled = rolled * np.uint64(0x9E3779B97F4A7C15) + codes[place : place + windows]
    starts = np.cumsum(lengths) - lengths
    inside = np.ones(len(codes), bool)
    for short in range(1, SHINGLE):  # windows that begin so close to the end of a text run into the next one
        inside[starts + lengths - short] = False
    shingles = _mix_bits(rolled[inside[:windows]])
    ends = np.cumsum(lengths - SHINGLE + 1)
    return Sketches(shingles, ends, _min_hashes(shingles, ends, plan.hashes))


def _normalize(text: str) -> str:
    """The words of a text alone; all of it where it consists mostly of signs, as code and brackets do."""
    lowered = " ".join(text.lower().split())
    words = " ".join(re.findall(r"\w+", lowered))
    return words if 2 * len(words) >= len(lowered) else lowered


def _mix_bits(numbers: Shingles) -> Shingles:
    """Numbers whose bits hang on all bits of the number (SplitMix64; Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _min_hashes(shingles: Shingles, ends: Int[np.ndarray, " texts"], hashes: int) -> UInt64[np.ndarray, "texts hashes"]:
    """MinHash: two texts agree in one of them as often as their Jaccard similarity says."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1 << 63, size=hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    added = rng.integers(1 << 63, size=hashes, dtype=np.uint64)
    least = np.empty((hashes, len(ends)), np.uint64)
    first = 0
    while first < len(ends):  # as many texts at once as have a block of shingles, one at least
        begin = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, begin + BLOCK, side="right")), first + 1)
        some = shingles[begin : int(ends[last - 1])]
        starts = np.concatenate([[0], ends[first : last - 1] - begin])
        for row in range(hashes):
            least[row, first:last] = np.minimum.reduceat(some * factors[row] + added[row], starts)
        first = last
    return np.ascontiguousarray(least.T)


class Index:
    """Texts among which those like another one are sought."""

    def __init__(self, sketches: Sketches, plan: BandPlan) -> None:
        self.sketches, self.plan = sketches, plan
        self._keys = list(_band_keys(sketches, plan))
        self._orders = [np.argsort(keys, kind="stable") for keys in self._keys]
        self._keys = [keys[order] for keys, order in zip(self._keys, self._orders, strict=True)]
        self._set = functools.lru_cache(1 << 14)(sketches.shingles_of)

    def candidates(self, others: Sketches) -> Int[np.ndarray, "pairs 2"]:
        """(number of another text, number of one in here) of the pairs that may be alike, by how much they seem to be."""
        found = [np.empty(0, np.int64)]
        size = len(self.sketches.ends)
        for keys, order, wanted in zip(self._keys, self._orders, _band_keys(others, self.plan), strict=True):
            low, high = np.searchsorted(keys, wanted, side="left"), np.searchsorted(keys, wanted, side="right")
            text = np.repeat(np.arange(len(wanted)), high - low)
            within = np.arange(len(text)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
            found.append(text * size + order[np.repeat(low, high - low) + within])
        pairs = np.unique(np.concatenate(found))
        texts, mine = pairs // max(size, 1), pairs % max(size, 1)
        agreed = np.zeros(len(pairs))
        for row in range(self.plan.hashes):
            agreed += others.hashes[texts, row] == self.sketches.hashes[mine, row]
        order = np.lexsort((mine, -agreed, texts))
        order = order[agreed[order] >= self.plan.min_agreement * self.plan.hashes]
        return np.stack([texts[order], mine[order]], axis=1)

    def jaccard(self, shingles: Shingles, mine: int) -> float:
        """Of a set of shingles and a text in here: exactly."""
        both = len(np.intersect1d(shingles, self._set(mine), assume_unique=True))
        return both / (len(shingles) + len(self._set(mine)) - both)


def _band_keys(sketches: Sketches, plan: BandPlan) -> Iterator[Shingles]:
    """Of each band: a number for each text that is equal where the hashes of that band are."""
    for band in range(plan.bands):
        keys = np.zeros(len(sketches.ends), np.uint64)
        for row in range(plan.rows):
            keys = _mix_bits(keys ^ sketches.hashes[:, band * plan.rows + row])
        yield keys


def near_duplicate_pairs(texts: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Every pair of texts that are so alike, by their numbers."""
    plan = plan_bands(threshold)
    sketches = sketch(texts, plan)
    index = Index(sketches, plan)
    for one, other in index.candidates(sketches).tolist():
        if one < other and index.jaccard(sketches.shingles_of(one), other) >= threshold:
            yield one, other


def families(texts: Sequence[str], groups: Sequence[Hashable], threshold: float) -> list[int]:
    """The number of the family of each text, such that texts of one group, and texts so alike, are of one family.

    Families are called by their first text, so that a data set that is split by family shares no near-duplicate between splits.
    """
    root = list(range(len(texts)))

    def head(text: int) -> int:
        while root[text] != text:
            root[text] = root[root[text]]
            text = root[text]
        return text

    first: dict[Hashable, int] = {}
    of_groups = ((first.setdefault(group, text), text) for text, group in enumerate(groups))
    for pairs in (of_groups, near_duplicate_pairs(texts, threshold)):
        for one, other in pairs:
            heads = sorted((head(one), head(other)))
            root[heads[1]] = heads[0]
    return [head(text) for text in range(len(texts))]
