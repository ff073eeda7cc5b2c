"""Of what does the training text consist, and what of it is hard? The list by which curricula choose, train.parts.npy.

A part is a document, or a piece of one that is longer than PIECE tokens.
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
from pipeline.corpus.store.text import Array
from pipeline.tokenizers.tokenizers import Tokenizer

PIECE = 1024  # tokens: pieces are to be alike in themselves, and long beside a window, which may run over the end of one
BLOCK = 1 << 18  # tokens that are looked at at once

PART = np.dtype(arrays.PART)
"""Where a part ends, tokens; how hard it is (only the order counts); of which data set of a mixture it is."""


def write_parts(raw: Path, tokens: Path, tokenizer: Tokenizer, sources: Sequence[int]) -> None:
    """Write the list of the parts of the training text, whose ids are written already.

    Args:
        sources: how many documents each data set of a mixture has; empty where there is but one data set.
    """
    ids = tokens_of(tokens, "train")
    known = _difficulties(raw)
    last_of_source = np.cumsum(sources)
    written = Array(parts_of(tokens), PART)
    for ends, documents, rarity in _parts(ids, tokenizer):
        parts = np.empty(len(ends), PART)
        parts["end"] = ends
        told = known[documents] if known is not None else np.full(len(ends), np.nan)
        parts["difficulty"] = np.where(np.isnan(told), rarity, told)
        parts["source"] = np.searchsorted(last_of_source, documents, side="right") if len(sources) else 0
        written.extend(parts)
    written.close()


def _difficulties(raw: Path) -> npt.NDArray[Any] | None:
    """What the text's maker says of each document that is not empty (those leave no token)."""
    if not was_written(difficulty_of(raw)):
        return None
    told: npt.NDArray[Any] = memory_mapped(difficulty_of(raw))[np.diff(document_ends(raw, "train"), prepend=0) > 0]
    return told


class Found(NamedTuple):
    """Some parts: where each ends, the number of its document, and its rarity."""

    ends: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    rarity: npt.NDArray[np.float64]


def _parts(path: Path, tokenizer: Tokenizer) -> Iterator[Found]:
    """The parts block by block, and for each how rare its tokens are: bits a byte under the counts of the training text.

    It is the difficulty of a text whose maker says none: cheap, the same for every kind of text, and blind to order. Rare
    words make a text hard to predict for a model that has not learned much; a long sentence or a far thought it does not see.

    Source: Platanios et al., "Competence-based Curriculum Learning for Neural Machine Translation", 2019 ("sentence rarity";
    here divided by the length, so that it is not the length that decides).
    """
    counts = _counts(path, tokenizer)
    bits, sizes = _costs(counts, tokenizer)
    total, at = int(counts.sum()), 0
    start, document = 0, 0  # of the document under way
    last_end, last_bits, last_size = 0, 0.0, 0  # of the part before
    sum_bits, sum_size = 0.0, 0
    for block in read_blocks(path, BLOCK):
        ended = at + 1 + np.flatnonzero(block == tokenizer.end) if tokenizer.end is not None else np.empty(0, np.int64)
        reach = at + len(block)
        if reach == total and (not len(ended) or ended[-1] != reach):
            ended = np.append(ended, reach)
        ends = _cut(start, ended, last_end, reach)
        summed_bits = np.concatenate([[sum_bits], sum_bits + np.cumsum(bits[block])])
        summed_size = np.concatenate([[sum_size], sum_size + np.cumsum(sizes[block])])
        of_bits = np.diff(summed_bits[ends - at], prepend=last_bits)
        of_sizes = np.diff(summed_size[ends - at], prepend=last_size)
        yield Found(ends, document + np.searchsorted(ended, ends, side="left"), of_bits / np.maximum(of_sizes, 1))
        if len(ends):
            last_end, last_bits, last_size = int(ends[-1]), float(summed_bits[ends[-1] - at]), int(summed_size[ends[-1] - at])
        start, document = int(ended[-1]) if len(ended) else start, document + len(ended)
        sum_bits, sum_size = float(summed_bits[-1]), int(summed_size[-1])
        at = reach


def _cut(start: int, ended: npt.NDArray[np.int64], after: int, reach: int) -> npt.NDArray[np.int64]:
    """Where parts end, behind `after` and up to `reach`: with each document, and inside at every PIECE tokens of it."""
    starts, stops = np.append(start, ended), np.append(ended, reach + 1)
    long = np.flatnonzero(stops - starts > PIECE)
    inside = [np.arange(starts[i] + PIECE, stops[i], PIECE) for i in long]
    ends = np.sort(np.concatenate([*inside, ended]).astype(np.int64))
    return ends[(ends > after) & (ends <= reach)]


def _counts(path: Path, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """How often each token of the vocabulary stands in the training ids."""
    counts = np.zeros(tokenizer.vocabulary, np.int64)
    for block in read_blocks(path, BLOCK):
        counts += np.bincount(block, minlength=tokenizer.vocabulary)
    return counts


def _costs(counts: npt.NDArray[np.int64], tokenizer: Tokenizer) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(bits, bytes) of each token of the vocabulary; the end of a document stands for no text and costs nothing."""
    counts = counts.copy()
    if tokenizer.end is not None:
        counts[tokenizer.end] = 0
    bits = -np.log2(np.maximum(counts, 1) / max(counts.sum(), 1))
    if tokenizer.end is not None:
        bits[tokenizer.end] = 0
    return bits, np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocabulary)])
