"""Copied length: the longest stretch of the samples that occurs in the training text (memorization)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int, Int32, Integer

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.samples import TEXTS, sampled_ids
from pipeline.readings import Reading, point
from pipeline.tasks.lm import LanguageModelling

SEARCHED = 4_000_000  # training tokens: a tenth of a second
AT_ONCE = 1 << 18  # places of the training text: 2 MB as 64-bit numbers
TABLE = 1 << 22  # numbers of n-grams, below which they are looked up in a table: 16 MB

Block = tuple[Int32[np.ndarray, " _"], Int32[np.ndarray, " _"]]
"""Places of the training text, and the number of the n-gram that begins at each."""


def copied_length(trained: TrainedModel) -> Reading | None:
    """The longest stretch of the samples that occurs word for word in the training text, in characters.

    A stretch is an n-gram of tokens that both have, searched in the first 4,000,000 training tokens. A run of white space
    counts as one character: layout is not text.

    Healthy: a few words; held-out text has such a stretch too. Broken: over 50 characters in prose, which are memorized.

    Distrust: text of few symbols or with a rule repeats itself without memorization (a sum, a bracketed word), and so does
    boilerplate. Copies from beyond the searched tokens are not found.

    Source: Carlini et al., "Quantifying Memorization Across Neural Language Models", 2022.
    """
    if not isinstance(trained.task, LanguageModelling):
        return None
    train, ids = trained.task.ids("train"), sampled_ids(trained)
    length = float("nan")
    if ids is not None:
        rows = ids.numpy(force=True)
        matches = matched(rows, train[:SEARCHED])
        copied = (
            trained.tokenizer.decode(row[place : place + size])
            for row, sizes in zip(rows, matches, strict=True)
            for place, size in enumerate(sizes)
        )
        length = max((len(re.sub(r"\s+", " ", text)) for text in copied), default=0)
    seen = "" if len(train) <= SEARCHED else f" (in its first {SEARCHED:,} tokens)"
    return point(
        "copied_length",
        {"longest copy": length},
        trained.step,
        quantity="characters",
        says=f"The longest stretch of {TEXTS} short samples that occurs word for word in the training text{seen}. Healthy, for"
        " prose: a few words; over 50 characters are memorized. Text with a rule repeats itself without memorization.",
        about="samples",
    )


def matched(rows: Int[np.ndarray, "B T"], train: Integer[np.ndarray, " N"]) -> Int[np.ndarray, "B T"]:
    """The length of the longest n-gram that begins at each place and occurs in the training text.

    Both share the numbers of their n-grams, and n-grams of the training text that the rows lack are dropped: after two or
    three tokens hardly any is left, so that the rest is quick.
    """
    length = rows.shape[1]
    lengths = np.zeros_like(rows)
    known = np.zeros_like(rows)  # the number of the n-gram that begins at each place
    # Of the training text, at which an n-gram begins that the rows have, with its number. Of millions of places, so in few
    # bytes each, and some at a time.
    blocks: Iterator[Block] = (_all_places(first, min(first + AT_ONCE, len(train))) for first in range(0, len(train), AT_ONCE))
    base, most = int(max(rows.max(initial=0), train.max(initial=0))) + 1, 1  # most: n-grams of the last length
    for size in range(1, length + 1):
        ours = known[:, : length - size + 1] * base + rows[:, size - 1 :]
        most, grams = most * base, np.unique(ours)
        in_train, number_of = np.zeros(len(grams), bool), _lookup(grams, most)
        left = list[Block]()
        for places, numbers in blocks:
            inside = places + size <= len(train)
            places, numbers = places[inside], numbers[inside]
            found = number_of(numbers.astype(np.int64) * base + train[places + (size - 1)])
            there = found >= 0
            if there.any():
                left.append((places[there], found[there].astype(np.int32)))
                in_train[left[-1][1]] = True
        if not left:
            return lengths
        blocks, most = _emptied(left), len(grams)
        known = np.searchsorted(grams, ours)
        lengths[:, : length - size + 1] += in_train[known]
    return lengths


def _all_places(first: int, last: int) -> Block:
    """The places of a block of the text, at each of which the empty n-gram begins."""
    return np.arange(first, last, dtype=np.int32), np.zeros(last - first, np.int32)


def _emptied(blocks: list[Block]) -> Iterator[Block]:
    """The blocks, of which the list keeps none that was taken."""
    while blocks:
        yield blocks.pop()


def _lookup(grams: Int[np.ndarray, " G"], limit: int) -> Callable[[Int[np.ndarray, " N"]], Int[np.ndarray, " N"]]:
    """A function that gives the place of each sought number among sorted ones; -1 where it is not among them.

    Args:
        limit: all numbers are below it. A small one allows a table, which is ten times as fast as bisection.
    """
    if limit <= TABLE:
        table = np.full(limit, -1, np.int32)
        table[grams] = np.arange(len(grams))
        return table.__getitem__

    def bisected(sought: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
        found = np.searchsorted(grams, sought).clip(max=len(grams) - 1)
        return np.where(grams[found] == sought, found, -1)

    return bisected
