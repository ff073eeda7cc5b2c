"""What the encoded text is worth before any training: repetition, tokens, documents, size and likeness of splits; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import memory_mapped
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import TOKENS, meta_of, tokenizer_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import rounded
from pipeline.evaluation import contamination, ngrams
from pipeline.evaluation.cache import cached_rows
from pipeline.evaluation.contamination import WINDOW, WINDOWS, hashes
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.bpe import BpeTokenizer
from pipeline.tokenizers.table import load

READ = 2_000_000  # training tokens that are looked at, the last: a second
BLOCKS = 10  # of the training text, spread evenly, that stand for text like it
BLOCKS_SHARE = 0.1  # of the training text that they are together, at most
LEARNED = 400_000  # training tokens, the first, on which two tokenizers are compared
LEARNED_KINDS = ("bpe", "file")
PIECE = 2**16  # characters that the library splits into words at a time, for each of which it needs memory
SMALLEST, LARGEST = 257, 8192  # tokens of the tokenizer that is learned for comparison

Ids = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Text:
    """The tokens of two splits, and what is known about them.

    Attributes:
        vocabulary: the number of different tokens that the tokenizer has.
        length: tokens of a window (the context).
        documents: of the training split.
    """

    train: Ids
    validation: Ids
    vocabulary: int
    length: int
    documents: int

    def numbers(self) -> dict[str, float]:
        """The numbers by name, without those that a text is too short for."""
        found = {
            "training_tokens": float(len(self.train)),
            "repeated": repeated(self.train[-READ:]),
            "documents_per_window": self.length * self.documents / max(len(self.train), 1),
            **likeness(self.train[-READ:], self.validation[:READ], self.vocabulary, self.length),
        }
        return {name: rounded(number) for name, number in found.items() if number is not None and math.isfinite(number)}


def material(length: int, tokens: Path = TOKENS, cache: Path | None = None) -> list[dict[str, Any]]:
    """The numbers of data/tokens as rows (a list, which DVC leaves out of its tables), measured once for the same data.

    Args:
        length: tokens of a window.
        cache: folder of the numbers; see cached_rows.
    """
    code = [version("tokenizers"), *(sha256_of(Path(file)) for file in (__file__, contamination.__file__, ngrams.__file__))]

    def measure() -> list[dict[str, Any]]:
        meta = read_json(meta_of(tokens))
        train, validation = (memory_mapped(tokens_of(tokens, split)) for split in ("train", "validation"))
        numbers = Text(train, validation, meta["vocabulary"], length, meta["documents"]["train"]).numbers()
        numbers |= tokenizer_numbers(load(tokenizer_of(tokens)), train)
        return [{"name": name, "value": value} for name, value in numbers.items()]

    return cached_rows(["material", length, np.__version__, *code, sha256_of(tokens)], measure, cache)


def repeated(ids: Ids) -> float | None:
    """The share of windows of a text that occur in it more than once, token by token; see contamination.overlap."""
    if len(ids) < 2 * WINDOW:
        return None
    every = hashes(np.asarray(ids))
    some = every[np.linspace(0, len(every) - 1, min(WINDOWS, len(every))).astype(np.int64)]
    every = np.sort(every)
    return float((np.searchsorted(every, some, "right") - np.searchsorted(every, some, "left") > 1).mean())


def likeness(train: Ids, validation: Ids, vocabulary: int, length: int) -> dict[str, float]:
    """How well the validation split can be measured on, and how like the training text it is, by a bigram model.

    held_out_error: half of the 95 % interval of its loss, as a share of the loss: t · sd of the windows' losses / √windows.
    split_difference: how much larger (below 0: smaller) the loss is than on blocks of the training text that were not counted,
        as a share of it, beyond what the interval allows.
    """
    from scipy.special import stdtrit  # .1 s

    size = min(len(validation), int(BLOCKS_SHARE * len(train))) // BLOCKS
    if size < 2 or len(validation) < 2:
        return {}
    starts = np.linspace(0, len(train) - size, BLOCKS).astype(np.int64)
    inside = np.zeros(len(train), bool)
    for start in starts:
        inside[start : start + size] = True
    streams = [np.asarray(validation), np.asarray(train)[inside]]
    *_, found = ngrams.predictions(np.asarray(train)[~inside], streams, vocabulary, 2)
    losses, like = (-np.log(prediction.probability) for prediction in found)
    windows = [part.mean() for part in np.array_split(losses, max(len(losses) // length, 1))]
    mean = float(losses.mean())
    if len(windows) < 2 or mean <= 0 or like.mean() <= 0:
        return {}
    error = float(stdtrit(len(windows) - 1, 0.975)) * float(np.std(windows, ddof=1)) / math.sqrt(len(windows)) / mean
    difference = mean / float(like.mean()) - 1
    return {"held_out_error": error, "split_difference": math.copysign(max(abs(difference) - error, 0.0), difference)}


def tokenizer_numbers(tokenizer: Tokenizer, train: Ids) -> dict[str, float]:
    """How well a learned tokenizer suits the training text.

    vocabulary_used: the share of its tokens that occur in the text.
    token_excess: how many more tokens the training text has than with byte pairs learned on it, as a share of them.

    Near 0 where the tokenizer was learned on this text. The one that it is compared with has as many tokens, 8,192 at most: a
    larger one learned on a short text would know its words by heart. Not for bytes and characters, which are not learned.
    """
    if tokenizer.kind not in LEARNED_KINDS:
        return {}
    ids = np.asarray(train[:LEARNED]).astype(np.int64)
    text = tokenizer.decode(ids)
    own = BpeTokenizer.learn(pieces(text), max(min(tokenizer.vocabulary, LARGEST), SMALLEST), has_end=False)
    count = len(own.encode(text))
    used = {"vocabulary_used": rounded(len(np.unique(train)) / tokenizer.vocabulary)}
    return used | ({"token_excess": rounded(len(ids) / count - 1)} if count else {})


def pieces(text: str) -> Iterator[str]:
    """A text in pieces of at most PIECE characters, cut between words: byte pairs learned on them are those of the whole."""
    at = 0
    while at < len(text):
        piece = text[at : at + PIECE]
        if at + PIECE < len(text):
            piece = piece[: BpeTokenizer.safe_cut(piece) or PIECE]
        yield piece
        at += len(piece)
