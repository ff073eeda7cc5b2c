"""The parts of the training text and their difficulty, train.parts.npy, from which curricula choose.

A part is a document, or a piece of PIECE tokens of a longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline import arrays
from pipeline.arrays import document_ends, memory_mapped, read_blocks
from pipeline.artifacts.checksums import was_written
from pipeline.artifacts.paths import difficulty_of, parts_of, tokens_of
from pipeline.corpus.store.text import GrowingArray
from pipeline.tokenizers.base import Tokenizer

PIECE = 1024  # tokens: short enough to be homogeneous, and long compared with a window, which may cross the end of one
BLOCK = 1 << 18  # tokens read at once

PART = np.dtype(arrays.PART)
"""end: where a part ends, tokens; difficulty: larger is harder, only the order counts; source: its data set in a mixture."""


def write_parts(raw: Path, tokens: Path, tokenizer: Tokenizer, sources: Sequence[int]) -> None:
    """Write the list of the parts of the training text, whose ids are already written.

    Args:
        sources: number of documents of each data set of a mixture; empty if there is only one data set.
    """
    ids = tokens_of(tokens, "train")
    known = _known_difficulty(raw)
    last_of_source = np.cumsum(sources)
    written = GrowingArray(parts_of(tokens), PART)
    for ends, documents, rarity in _parts_with_rarity(ids, tokenizer):
        parts = np.empty(len(ends), PART)
        parts["end"] = ends
        difficulty = known[documents] if known is not None else np.full(len(ends), np.nan)
        parts["difficulty"] = np.where(np.isnan(difficulty), rarity, difficulty)
        parts["source"] = np.searchsorted(last_of_source, documents, side="right") if len(sources) else 0
        written.extend(parts)
    written.close()


def _known_difficulty(raw: Path) -> npt.NDArray[Any] | None:
    """The difficulty that the data set states for each document that has a token; None = it states none."""
    if not was_written(difficulty_of(raw)):
        return None
    known: npt.NDArray[Any] = memory_mapped(difficulty_of(raw))[np.diff(document_ends(raw, "train"), prepend=0) > 0]
    return known


class PartBlock(NamedTuple):
    """Some parts: where each ends, the number of its document, and its rarity."""

    ends: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    rarity: npt.NDArray[np.float64]


def _parts_with_rarity(path: Path, tokenizer: Tokenizer) -> Iterator[PartBlock]:
    """The parts block by block, each with its rarity: bits per byte of its tokens under their counts in the training text.

    Rarity is the difficulty of a text that states none: cheap, defined for every text, and blind to order. Rare words make a
    text hard to predict for a model that has learned little; long sentences and long dependencies do not count.

    Source: Platanios et al., "Competence-based Curriculum Learning for Neural Machine Translation", 2019 ("sentence rarity",
    here divided by the length, so that length does not decide).
    """
    counts = _token_counts(path, tokenizer)
    bits, sizes = _bits_and_bytes(counts, tokenizer)
    total, at = int(counts.sum()), 0
    start, document = 0, 0  # of the current document
    last_end, last_bits, last_size = 0, 0.0, 0  # of the previous part
    sum_bits, sum_size = 0.0, 0
    for block in read_blocks(path, BLOCK):
        ended = at + 1 + np.flatnonzero(block == tokenizer.end) if tokenizer.end is not None else np.empty(0, np.int64)
        reach = at + len(block)
        if reach == total and (not len(ended) or ended[-1] != reach):
            ended = np.append(ended, reach)
        ends = _part_ends(start, ended, last_end, reach)
        summed_bits = np.concatenate([[sum_bits], sum_bits + np.cumsum(bits[block])])
        summed_size = np.concatenate([[sum_size], sum_size + np.cumsum(sizes[block])])
        of_bits = np.diff(summed_bits[ends - at], prepend=last_bits)
        of_sizes = np.diff(summed_size[ends - at], prepend=last_size)
        yield PartBlock(ends, document + np.searchsorted(ended, ends, side="left"), of_bits / np.maximum(of_sizes, 1))
        if len(ends):
            last_end, last_bits, last_size = int(ends[-1]), float(summed_bits[ends[-1] - at]), int(summed_size[ends[-1] - at])
        start, document = int(ended[-1]) if len(ended) else start, document + len(ended)
        sum_bits, sum_size = float(summed_bits[-1]), int(summed_size[-1])
        at = reach


def _part_ends(start: int, ended: npt.NDArray[np.int64], after: int, reach: int) -> npt.NDArray[np.int64]:
    """Where parts end, after `after` and up to `reach`: at the end of each document, and at every PIECE tokens within one."""
    starts, stops = np.append(start, ended), np.append(ended, reach + 1)
    long = np.flatnonzero(stops - starts > PIECE)
    inside = [np.arange(starts[i] + PIECE, stops[i], PIECE) for i in long]
    ends = np.sort(np.concatenate([*inside, ended]).astype(np.int64))
    return ends[(ends > after) & (ends <= reach)]


def _token_counts(path: Path, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """How often each token occurs in the training ids."""
    counts = np.zeros(tokenizer.vocabulary, np.int64)
    for block in read_blocks(path, BLOCK):
        counts += np.bincount(block, minlength=tokenizer.vocabulary)
    return counts


def _bits_and_bytes(
    counts: npt.NDArray[np.int64], tokenizer: Tokenizer
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(bits, bytes) of each token; the end of a document has neither, since it stands for no text."""
    counts = counts.copy()
    if tokenizer.end is not None:
        counts[tokenizer.end] = 0
    bits = -np.log2(np.maximum(counts, 1) / max(counts.sum(), 1))
    if tokenizer.end is not None:
        bits[tokenizer.end] = 0
    return bits, np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocabulary)])
