"""Tokenization of texts of any size: in pieces, in bounded memory, and on all cores if that is faster."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import math
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.arrays import document_ends
from pipeline.artifacts.paths import NONE, text_of
from pipeline.artifacts.reading import open_verified
from pipeline.corpus.store.text import GrowingArray, document_chunks
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.progress import Advance, Follow
from pipeline.tokenizers.base import Tokenizer, check_lossless
from pipeline.tokenizers.table import TOKENIZERS, load

PIECE = 1 << 18  # bytes of text encoded at once: more needs memory in every process and saves no time
BLOCK = 1 << 14  # bytes of text learned from at once
PARALLEL_FROM = 1 << 23  # bytes of text; below, starting processes takes longer than it saves

IdArray = npt.NDArray[np.unsignedinteger[Any]]


class Batch(NamedTuple):
    """Some text of a split: pieces (text, whether a document ends with it), and their size in bytes."""

    pieces: list[tuple[str, bool]]
    size: int


def pieces(parts: Iterable[tuple[bytes, bool]], cut: Callable[[str], int]) -> Iterator[tuple[str, bool]]:
    """Chunks of documents as text, cut only where `cut` allows it: (text, whether the document ends with it)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    for chunk, last in parts:
        text = rest + decoder.decode(chunk, final=last)
        place = len(text) if last else cut(text)
        if place:
            yield text[:place], last
        rest = text[place:]


def batches(parts: Iterable[tuple[str, bool]], size: int = PIECE) -> Iterator[Batch]:
    """Pieces gathered into batches of about `size` bytes of text."""
    gathered: list[tuple[str, bool]] = []
    held = 0
    for text, last in parts:
        gathered.append((text, last))
        held += len(text.encode())
        if held >= size:
            yield Batch(gathered, held)
            gathered, held = [], 0
    if gathered:
        yield Batch(gathered, held)


def learn(raw: Path, kind: str, vocabulary: int, workers: int, follow: Follow, path: Path = NONE) -> tuple[Tokenizer, int]:
    """(a tokenizer for the text of data/raw, how many bytes it was learned from).

    Args:
        kind: a name in TOKENIZERS.
        workers: threads at most; 0 = as many as there are cores.
        path: of a tokenizer.json, for the kind `file`.
    """
    _limit_threads(workers or cores())
    family = TOKENIZERS[kind]
    learned = 0

    def texts(advance: Advance) -> Iterator[str]:
        nonlocal learned
        for text in itertools.chain.from_iterable(evenly_spread(raw, split) for split in family.learns_from):
            size = len(text.encode())
            learned += size
            advance(size)
            yield text

    total = sum(text_of(raw, split).stat().st_size for split in family.learns_from)
    has_end = len(document_ends(raw, "train")) > 1
    with follow(f"learning {kind}", total) as advance:
        return family.learn(texts(advance), vocabulary, has_end, path), learned


def evenly_spread(raw: Path, split: str, size: int = BLOCK) -> Iterator[str]:
    """All text of a split, in an order in which any beginning is an even sample of the whole.

    It is cut at the end of each document, and of each block of `size` bytes (before a whole character).
    """
    ends = document_ends(raw, split)
    with open_verified(text_of(raw, split)) as file:
        count = -(-int(ends[-1]) // size)
        # Steps of about a golden section of a circle are evenly spread at any point, and visit each place once.
        step = next(step for step in range(round(count * 0.618) or 1, count + 2) if math.gcd(step, count) == 1)
        for place in range(count):
            start = place * step % count * size
            file.seek(start)
            block = file.read(size + 3)  # a character has four bytes at most
            first = next((i for i, byte in enumerate(block[:4]) if byte & 0xC0 != 0x80), 0)
            stop = next((i for i in range(size, len(block)) if block[i] & 0xC0 != 0x80), len(block))
            inside = ends[slice(*np.searchsorted(ends, [start + first, start + stop], side="right"))] - start
            for begin, end in itertools.pairwise([first, *map(int, inside), stop]):
                if begin < end:
                    yield block[begin:end].decode()


def id_dtype(tokenizer: Tokenizer) -> np.dtype[Any]:
    """The smallest unsigned integer type for the ids."""
    return np.min_scalar_type(tokenizer.vocabulary - 1)


def encode_split(raw: Path, split: str, saved: Path, target: Path, workers: int, follow: Follow) -> tuple[int, int]:
    """Write the ids of a split as a flat array.

    Args:
        saved: the tokenizer's file.
        workers: processes at most; 0 = as many as there are cores.

    Returns:
        (number of tokens, bytes of text of the first token, which cannot be predicted)
    """
    tokenizer = load(saved)
    total = text_of(raw, split).stat().st_size
    if not tokenizer.slow or total < PARALLEL_FROM:
        workers = 1
    array = GrowingArray(target, id_dtype(tokenizer))
    first = None
    texts = batches(pieces(document_chunks(raw, split, PIECE), tokenizer.safe_cut))
    with follow(f"tokenizing {split}", total) as advance:
        for ids, size in encode_batches(tokenizer, saved, texts, workers or cores()):
            first = int(ids[0]) if first is None and len(ids) else first
            array.extend(ids)
            advance(size)
    array.close()
    return array.length, 0 if first is None else len(tokenizer.token_bytes(first))


def encode_batches(tokenizer: Tokenizer, saved: Path, texts: Iterable[Batch], workers: int) -> Iterator[tuple[IdArray, int]]:
    """(ids, bytes of text) of each batch in order; only a few batches are in memory at any time.

    Raises:
        UserError: worker processes were killed repeatedly.
    """
    if workers == 1:
        for batch in texts:
            yield encode_batch(tokenizer, batch), batch.size
        return
    rest, pending = iter(texts), deque[Batch]()
    while True:
        try:
            yield from _encode_in_processes(saved, rest, pending, workers)
            return
        except BrokenProcessPool:  # a worker was killed, probably out of memory: fewer workers repeat the pending batches
            if workers == 1:
                raise UserError(
                    "tokenize: its worker processes were killed repeatedly, probably out of memory; lower runtime.workers"
                ) from None
            workers //= 2


def _encode_in_processes(
    saved: Path, rest: Iterator[Batch], pending: deque[Batch], workers: int
) -> Iterator[tuple[IdArray, int]]:
    """The same by worker processes. If one is killed, `pending` holds the batches that are not done."""
    # Spawned, not forked: the library's threads do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (saved,)) as pool:
        with _without_interrupts():  # a process may be started here, and must not get Ctrl-C before it can handle it
            waiting = deque(pool.submit(_encode_in_worker, batch) for batch in pending)
        while True:
            while len(pending) <= 2 * workers and (batch := next(rest, None)) is not None:
                pending.append(batch)
                with _without_interrupts():
                    waiting.append(pool.submit(_encode_in_worker, batch))
            if not waiting:
                return
            ids = waiting.popleft().result()
            yield ids, pending.popleft().size


def encode_batch(tokenizer: Tokenizer, batch: Batch) -> IdArray:
    """The ids of a batch, with the end of each document.

    Raises:
        UserError: they do not decode to its text.
    """
    parts = []
    for text, last in batch.pieces:
        parts.append(ids := tokenizer.encode(text))
        check_lossless(tokenizer, text, ids)
        if last and tokenizer.end is not None:
            parts.append(np.array([tokenizer.end]))
    return np.concatenate(parts).astype(id_dtype(tokenizer))


def _limit_threads(count: int) -> None:
    """Limit the threads of the library tokenizers, which reads this once, before it starts any."""
    os.environ["RAYON_NUM_THREADS"] = str(count)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A context in which Ctrl-C is delayed; processes started in it never get it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_tokenizer: Tokenizer  # of this worker process


def _start_worker(saved: Path) -> None:
    global _tokenizer
    _limit_threads(1)
    _tokenizer = load(saved)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()  # workers of a killed parent would wait for work for ever
    os._exit(1)


def _encode_in_worker(batch: Batch) -> IdArray:
    return encode_batch(_tokenizer, batch)
