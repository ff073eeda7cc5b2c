"""Baselines of language models: n-grams and xz, tuned in their favour, on the whole of each held-out split; no torch."""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import memory_mapped
from pipeline.artifacts.checksums import sha256_of
from pipeline.artifacts.paths import RAW, TOKENS, meta_of, text_of, tokens_of
from pipeline.artifacts.reading import open_verified, read_json
from pipeline.artifacts.writing import rounded
from pipeline.evaluation import ngrams
from pipeline.evaluation.cache import Rows, cached_rows

HELD_OUT = ("validation", "test")
COUNTED = 20_000_000  # training tokens that n-grams count at most, the last ones: 3 GB of memory, half a minute
COMPRESSORS = 2  # at once; each takes up to 200 MB
COMPRESSED = 16 * 2**20  # bytes that xz reads at most of the training text, and of the held-out text: a minute


@dataclass(frozen=True)
class Score:
    """How well a model or baseline predicts a split: the code length of the split under its predictions.

    Attributes:
        name: of the model or baseline.
        split: that it predicts.
        nats: the total cross-entropy.
        bytes: of the predicted text.
        tokens: the number of predicted tokens; None for xz, which has no tokens.
        correct: the number of tokens that were predicted as the likeliest; None where there is no likeliest token.
        note: shown next to the score.
    """

    name: str
    split: str
    nats: float
    bytes: int
    tokens: int | None = None
    correct: int | None = None
    note: str = ""

    @property
    def bits_per_byte(self) -> float:
        """The cross-entropy per byte of text, which is comparable across tokenizers."""
        return self.nats / math.log(2) / self.bytes

    @property
    def loss(self) -> float | None:
        """The cross-entropy in nats per token."""
        return None if self.tokens is None else self.nats / self.tokens

    @property
    def accuracy(self) -> float | None:
        return None if self.correct is None or not self.tokens else self.correct / self.tokens

    def with_note(self, more: str) -> Score:
        """The score with one more note."""
        return replace(self, note="; ".join(filter(None, (self.note, more))))

    def row(self) -> dict[str, Any]:
        """The score as a row of metrics/evaluate.json, without what is unknown or not finite."""
        perplexity = None if self.loss is None or not self.loss < 700 else math.exp(self.loss)
        numbers = {"bits_per_byte": self.bits_per_byte, "loss": self.loss, "perplexity": perplexity, "accuracy": self.accuracy}
        known = {key: rounded(number) for key, number in numbers.items() if number is not None and math.isfinite(number)}
        return {"name": self.name, "split": self.split, **known, **({"note": self.note} if self.note else {})}


def baselines(
    order: int, say: Callable[[str], None] = print, tokens: Path = TOKENS, raw: Path = RAW, cache: Path | None = None
) -> list[Score]:
    """The scores of all baselines on both held-out splits, measured once for the same data and code.

    Args:
        order: the length of the longest n-grams.
        say: prints a line for the user when it will take a while.
        tokens, raw: the outs of the stages tokenize and prepare.
        cache: folder of the scores; see cached_rows.
    """
    code = [sha256_of(Path(file)) for file in (__file__, ngrams.__file__)]
    key = [order, np.__version__, *code, sha256_of(tokens), sha256_of(raw)]

    def measure() -> Rows:
        say("measuring the baselines of this data, once: n-grams and xz …")
        return [asdict(score) for score in (*ngram_scores(order, tokens), *xz_scores(raw))]

    return [Score(**row) for row in cached_rows(key, measure, cache)]


def entropy(tokens: Path = TOKENS) -> list[Score]:
    """The lowest possible loss: the entropy of generated data, where its generator knows it."""
    meta = read_json(meta_of(tokens))
    if (nats_per_byte := meta["entropy_nats_per_byte"]) is None:
        return []
    spans = [(split, predicted_bytes(meta, split), meta["tokens"][split] - 1) for split in HELD_OUT]
    return [Score("entropy", split, nats_per_byte * size, size, count) for split, size, count in spans]


def predicted_bytes(meta: dict[str, Any], split: str) -> int:
    """Bytes of the text of a split after its first token, which has no context to be predicted from."""
    return int(meta["bytes"][split] - meta["first_token_bytes"][split])


# ------------------------------------------------------------------------------------------------------- the baselines


def ngram_scores(order: int, tokens: Path) -> Iterator[Score]:
    """Uniform, unigram, bigram, and the longer n-grams that fit the validation split best."""
    meta = read_json(meta_of(tokens))
    train = memory_mapped(tokens_of(tokens, "train"))[-COUNTED:]
    streams = [memory_mapped(tokens_of(tokens, split)) for split in HELD_OUT]
    note = f"counted in the last {COUNTED:,} training tokens" if meta["tokens"]["train"] > COUNTED else ""
    sizes = [predicted_bytes(meta, split) for split in HELD_OUT]

    for split, size, stream in zip(HELD_OUT, sizes, streams, strict=True):
        yield Score("uniform", split, math.log(meta["vocabulary"]) * (len(stream) - 1), size, len(stream) - 1)
    longer = []
    for length, predictions in enumerate(ngrams.predictions(train, streams, meta["vocabulary"], order), start=1):
        name = {1: "unigram", 2: "bigram"}.get(length, f"{length}-gram")
        scores = []
        for split, size, stream, prediction in zip(HELD_OUT, sizes, streams, predictions, strict=True):
            nats = -float(np.log(prediction.probability).sum())
            correct = int((prediction.guess == stream[1:]).sum())
            scores.append(Score(name, split, nats, size, len(stream) - 1, correct, note))
        if length <= 2:
            yield from scores
        else:
            longer.append(scores)
    # Chosen on the validation split: this favours the baseline there, and is fair on the test split.
    for score in min(longer, key=lambda scores: scores[0].nats, default=[]):
        yield score.with_note(f"the best of 3 to {order}-grams") if len(longer) > 1 else score


def xz_scores(raw: Path, splits: Sequence[str] = HELD_OUT) -> list[Score]:
    """`xz -9` of the text of each split: alone, or what it adds to the training text before it; whichever is smaller."""
    train, texts = text_of(raw, "train"), [text_of(raw, split) for split in splits]
    before, ends = _last_bytes(train), [_first_bytes(text) for text in texts]
    with ThreadPoolExecutor(COMPRESSORS) as pool:  # lzma lets other threads run
        read, *sizes = pool.map(_compressed, [before, *(before + here for here in ends), *ends])
    scores = []
    for split, text, here, both, alone in zip(splits, texts, ends, sizes[: len(splits)], sizes[len(splits) :], strict=True):
        added = max(both - read, 1)  # text that repeats the training text can add nothing measurable; the least cost is a byte
        note = "after the training text" if added < alone else "alone"
        if max(train.stat().st_size, text.stat().st_size) > COMPRESSED:
            note += f", {COMPRESSED:,} bytes of each at most"
        scores.append(Score("xz -9", split, min(alone, added) * 8 * math.log(2), max(len(here), 1), note=note))
    return scores


def _compressed(text: bytes) -> int:
    """The size of a text under `xz -9`; a window of 64 MiB is useless for less text and costs half a second and 700 MB."""
    window = min(max(len(text), 4096), 2**26)
    return len(lzma.compress(text, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": window}]))


def _last_bytes(path: Path) -> bytes:
    with open_verified(path) as file:
        file.seek(max(path.stat().st_size - COMPRESSED, 0))
        return file.read()


def _first_bytes(path: Path) -> bytes:
    with open_verified(path) as file:
        return file.read(COMPRESSED)
