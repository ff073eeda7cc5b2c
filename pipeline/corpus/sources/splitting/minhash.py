"""Near-duplicate texts: candidates by MinHash, confirmed by the exact Jaccard similarity of their shingles.

A shingle is SHINGLE neighbouring characters of a text without case, punctuation and repeated blanks. The similarity of two
texts is the Jaccard similarity of their sets of shingles, |both| / |either|, 0 .. 1.

Source: Andrei Broder, "On the resemblance and containment of documents", 1997; banding as in Leskovec, Rajaraman and
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
MISSED = 1e-3  # probability that a pair exactly at the threshold is missed, in each of the two filters
MOST_HASHES = 192
MOST_ROWS = 8
BLOCK = 1 << 16  # shingles that are hashed at once; they fit in the processor's cache

Shingles = UInt64[np.ndarray, " shingles"]


class BandPlan(NamedTuple):
    """Locality-sensitive hashing: candidates are pairs that agree in all `rows` hashes of at least one of `bands` bands.

    Attributes:
        threshold: the least Jaccard similarity of near-duplicates.
    """

    threshold: float
    bands: int
    rows: int

    @property
    def hashes(self) -> int:
        return self.bands * self.rows

    @property
    def min_agreement(self) -> float:
        """The least share of equal hashes of a pair at the threshold, up to a probability of MISSED."""
        return self.threshold - 3.1 * math.sqrt(self.threshold * (1 - self.threshold) / self.hashes)


def plan_bands(threshold: float) -> BandPlan:
    """The most rows that MOST_HASHES and MOST_ROWS allow, for few false candidates, and enough bands for the threshold."""
    plans = [BandPlan(threshold, _bands(threshold**rows), rows) for rows in range(1, MOST_ROWS + 1)]
    return [plan for plan in plans if plan.hashes <= MOST_HASHES or plan.rows == 1][-1]


def _bands(chance: float) -> int:
    return 1 if chance >= 1 else math.ceil(math.log(MISSED) / math.log1p(-chance))


class Sketches(NamedTuple):
    """The shingles and the MinHash signatures of some texts.

    Attributes:
        shingles: of all texts, one text after the other, each as a hash.
        ends: the end of each text in `shingles`.
        hashes: [texts, hashes], the minimum of a text's shingles under each hash function.
    """

    shingles: Shingles
    ends: Int[np.ndarray, " texts"]
    hashes: UInt64[np.ndarray, "texts hashes"]

    def shingles_of(self, text: int) -> Shingles:
        """The set of shingles of one text."""
        return np.unique(self.shingles[self.ends[text - 1] if text else 0 : self.ends[text]])


def sketch(texts: Sequence[str], plan: BandPlan) -> Sketches:
    """The shingles and signatures of some texts."""
    padded = [_normalize(text).ljust(SHINGLE) for text in texts]
    lengths = np.array([len(text) for text in padded], np.int64)
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32).astype(np.uint64)
    windows = len(codes) - SHINGLE + 1
    rolled = np.zeros(max(windows, 0), np.uint64)
    for place in range(SHINGLE):
        rolled = rolled * np.uint64(0x9E3779B97F4A7C15) + codes[place : place + windows]
    starts = np.cumsum(lengths) - lengths
    inside = np.ones(len(codes), bool)
    for short in range(1, SHINGLE):  # windows that begin this close to the end of a text run into the next one
        inside[starts + lengths - short] = False
    shingles = _mix_bits(rolled[inside[:windows]])
    ends = np.cumsum(lengths - SHINGLE + 1)
    return Sketches(shingles, ends, _min_hashes(shingles, ends, plan.hashes))


def _normalize(text: str) -> str:
    """The words of a text in lower case; with punctuation if it consists mostly of that, as code and brackets do."""
    lowered = " ".join(text.lower().split())
    words = " ".join(re.findall(r"\w+", lowered))
    return words if 2 * len(words) >= len(lowered) else lowered


def _mix_bits(numbers: Shingles) -> Shingles:
    """Hashes whose bits depend on all bits of the number (SplitMix64; Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _min_hashes(shingles: Shingles, ends: Int[np.ndarray, " texts"], hashes: int) -> UInt64[np.ndarray, "texts hashes"]:
    """MinHash signatures: the probability that two texts agree in one of the hashes is their Jaccard similarity."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1 << 63, size=hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    added = rng.integers(1 << 63, size=hashes, dtype=np.uint64)
    least = np.empty((hashes, len(ends)), np.uint64)
    first = 0
    while first < len(ends):  # as many texts at once as fit in a block of shingles, at least one
        begin = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, begin + BLOCK, side="right")), first + 1)
        some = shingles[begin : int(ends[last - 1])]
        starts = np.concatenate([[0], ends[first : last - 1] - begin])
        for row in range(hashes):
            least[row, first:last] = np.minimum.reduceat(some * factors[row] + added[row], starts)
        first = last
    return np.ascontiguousarray(least.T)


class Index:
    """An index of texts, to find those that are similar to others."""

    def __init__(self, sketches: Sketches, plan: BandPlan) -> None:
        self.sketches, self.plan = sketches, plan
        self._keys = list(_band_keys(sketches, plan))
        self._orders = [np.argsort(keys, kind="stable") for keys in self._keys]
        self._keys = [keys[order] for keys, order in zip(self._keys, self._orders, strict=True)]
        self._set = functools.lru_cache(1 << 14)(sketches.shingles_of)

    def candidates(self, others: Sketches) -> Int[np.ndarray, "pairs 2"]:
        """(number of another text, number of an indexed text) of likely pairs; for each other text, the most similar first."""
        found = [np.empty(0, np.int64)]
        size = len(self.sketches.ends)
        for keys, order, other_keys in zip(self._keys, self._orders, _band_keys(others, self.plan), strict=True):
            low, high = np.searchsorted(keys, other_keys, side="left"), np.searchsorted(keys, other_keys, side="right")
            text = np.repeat(np.arange(len(other_keys)), high - low)
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
        """The exact Jaccard similarity of a set of shingles and an indexed text."""
        both = len(np.intersect1d(shingles, self._set(mine), assume_unique=True))
        return both / (len(shingles) + len(self._set(mine)) - both)


def _band_keys(sketches: Sketches, plan: BandPlan) -> Iterator[Shingles]:
    """For each band, a key for each text; keys are equal if all hashes of the band are."""
    for band in range(plan.bands):
        keys = np.zeros(len(sketches.ends), np.uint64)
        for row in range(plan.rows):
            keys = _mix_bits(keys ^ sketches.hashes[:, band * plan.rows + row])
        yield keys


def near_duplicate_pairs(texts: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Every pair of texts of at least this similarity, by their numbers."""
    plan = plan_bands(threshold)
    sketches = sketch(texts, plan)
    index = Index(sketches, plan)
    for one, other in index.candidates(sketches).tolist():
        if one < other and index.jaccard(sketches.shingles_of(one), other) >= threshold:
            yield one, other


def families(texts: Sequence[str], groups: Sequence[Hashable], threshold: float) -> list[int]:
    """The family of each text: texts of one group, and texts of at least this similarity, are of one family.

    A family is named by the number of its first text. A data set that is split by family has no near-duplicates across splits.
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
