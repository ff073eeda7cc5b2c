"""Sums of two numbers, of known entropy; the difficulty of a document is its number of digits.

Every symbol is one ASCII character, so that nats per symbol are nats per byte. Equal knobs give equal text.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.corpus.sources.generated.markov import BLOCK, Floats, generated_card, split_rng, split_sizes
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

Integers = npt.NDArray[np.int64]


def addition(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Sums such as 012+934=0946, each a document; no two splits share a pair of numbers, in either order."""
    fewest, digits = knobs.min_digits or knobs.digits, knobs.digits
    for split, size in split_sizes(knobs).items():
        rng, left = split_rng(knobs, split), size
        unused = {length: np.empty((0, 2), np.int64) for length in range(fewest, digits + 1)}
        with follow(f"generating {split}", size) as advance:
            while left >= _sum_width(fewest):
                lengths = rng.integers(fewest, digits + 1, size=min(BLOCK // 64, left // _sum_width(fewest)))
                ends = np.cumsum(_sum_width(lengths))
                fitting = int(np.searchsorted(ends, left, side="right"))
                lengths, ends = lengths[:fitting], ends[:fitting]
                pairs = _take_pairs(lengths, unused, functools.partial(_draw_pairs, knobs, split, rng))
                splits.write(split, _sums(pairs, lengths, knobs), ends, lengths)
                written = int(ends[-1]) if fitting else left  # the next sum is longer than what is left
                left -= written
                advance(written)
    return _addition_card(fewest, digits, knobs.reversed)


def _addition_card(fewest: int, digits: int, backwards: bool) -> Card:
    mean, kinds, order = (fewest + digits) / 2, digits - fewest + 1, "last" if backwards else "first"
    how_many = f"{digits} digits" if kinds == 1 else f"{fewest} to {digits} digits, both of as many, each number equally often"
    one_more = f"{digits + 1} digits" if kinds == 1 else "one digit more"
    and_lengths = "" if kinds == 1 else f", and the number of digits ln {kinds} per sum"
    return generated_card(
        "addition",
        f"sums of two numbers of {how_many} (with leading zeros), the sum in {one_more}, {order} digit first",
        (2 * mean * math.log(10) + math.log(kinds)) / _sum_width(mean),
        "exact without knowledge of which pairs are held out: both numbers are uniform and cost ln 10 per"
        f" digit{and_lengths}; the rest follows",
        "by a digest of the pair of numbers without its order",
        grammar="reversed_sums" if backwards else "sums",
    )


def _sum_width(digits: float | Integers) -> Any:
    """Characters of a line: two numbers, the sum, plus, equals, and the end of the line."""
    return 3 * digits + 4


def _take_pairs(lengths: Integers, unused: dict[int, Integers], more: Callable[[int], Integers]) -> Integers:
    """A pair of numbers for each length, int64 [sums, 2], taken from `unused`, which `more` refills."""
    found = np.empty((len(lengths), 2), np.int64)
    for length, pairs in unused.items():
        places = np.flatnonzero(lengths == length)
        while len(pairs) < len(places):
            pairs = np.concatenate([pairs, more(length)])
        found[places], unused[length] = pairs[: len(places)], pairs[len(places) :]
    return found


def _draw_pairs(knobs: Prepare, split: str, rng: np.random.Generator, digits: int) -> Integers:
    """Pairs of numbers, int64 [pairs, 2], uniform among those of a split; about its share of a BLOCK.

    Raises:
        UserError: no pair is of this split.
    """
    pairs = rng.integers(10**digits, size=(BLOCK // 8, 2))
    place = _hashes_of(pairs, knobs)
    first, second = knobs.validation_share, knobs.validation_share + knobs.test_share
    start, end = {"train": (second, 1.0), "validation": (0.0, first), "test": (first, second)}[split]
    found = pairs[(start <= place) & (place < end)]
    if not len(found):
        raise UserError(f"prepare.digits: no pair of {digits} digits falls into the split {split}; use more digits")
    return found


def _hashes_of(pairs: Integers, knobs: Prepare) -> Floats:
    """A hash of each unordered pair, float64 [pairs], 0 .. 1.

    Source: Guy Steele, Doug Lea and Christine Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    """
    key = np.min(pairs, axis=1) * 10**knobs.digits + np.max(pairs, axis=1)
    mixed = (key.astype(np.uint64) + np.uint64(knobs.seed)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    shares: Floats = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    return shares


def _sums(pairs: Integers, lengths: Integers, knobs: Prepare) -> bytes:
    """The lines of some sums, one after another: formatted at full width, then cut to their digits."""
    digits = knobs.digits
    place, wide = np.arange(digits - 1, -1, -1) < lengths[:, None], np.arange(digits, -1, -1) <= lengths[:, None]
    total = _digits(pairs.sum(axis=1), digits + 1)
    if knobs.reversed:
        total, wide = total[:, ::-1], wide[:, ::-1]
    plus, equals, newline = (np.full((len(pairs), 1), ord(sign), np.uint8) for sign in "+=\n")
    always = np.ones((len(pairs), 1), bool)
    text = np.hstack([_digits(pairs[:, 0], digits), plus, _digits(pairs[:, 1], digits), equals, total, newline])
    return text[np.hstack([place, always, place, always, wide, always])].tobytes()


def _digits(numbers: Integers, width: int) -> npt.NDArray[np.uint8]:
    """The decimal digits as ASCII characters, uint8 [numbers, width]."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
