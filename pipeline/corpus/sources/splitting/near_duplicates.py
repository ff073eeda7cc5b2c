"""Which documents are nearly those that a model will be asked about? Those of training that are like a held-out one, and those
of validation that are like one of test.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from pipeline.arrays import document_ends
from pipeline.artifacts.paths import text_of
from pipeline.artifacts.reading import open_verified
from pipeline.corpus.sources.splitting.minhash import Index, Plan, planned, sketched
from pipeline.progress import Follow

BLOCK = 1 << 22  # bytes of text that are compared at once; a longer document is by itself
SHOWN, BEGINNING = 5, 80  # examples on the card, characters of each

Kept = Bool[np.ndarray, " documents"]


class Found(NamedTuple):
    """Which documents of a split are like no held-out one, and what the card says of the others."""

    kept: dict[str, Kept]
    says: dict[str, Any]


def near_duplicates(folder: Path, threshold: float, follow: Follow) -> Found:
    """Compare the splits of data/raw. Training text comes as a stream; the held-out text is in memory, with its hashes some
    twenty times as large as it is.
    """
    plan, shown = planned(threshold), list[dict[str, Any]]()
    everything = {split: np.ones(len(document_ends(folder, split)), bool) for split in ("validation", "train")}
    index: dict[str, tuple[list[str], Index]] = {}
    for split, other in (("validation", "test"), ("train", "test"), ("train", "validation")):
        if other not in index:
            held_out = [text for _, texts in _blocks(folder, other) for text in texts]
            index[other] = held_out, Index(sketched(held_out, plan), plan)
        shown += _compare(folder, split, other, *index[other], plan, everything[split], follow)
    left_out = {split: int(np.sum(~kept)) for split, kept in everything.items()}
    return Found(everything, {"threshold": threshold, "left_out": left_out, "examples": shown[-SHOWN:]})


def _compare(
    folder: Path, split: str, other: str, held_out: list[str], index: Index, plan: Plan, kept: Kept, follow: Follow
) -> list[dict[str, Any]]:
    """Strike from `kept` what of a split is so like a held-out document; some examples of both."""
    shown = list[dict[str, Any]]()
    with follow(f"comparing {split} with {other}", text_of(folder, split).stat().st_size) as advance:
        for first, texts in _blocks(folder, split):
            sketches = sketched(texts, plan)
            own, looked_at = sketches.of(0), 0
            for text, mine in index.likely(sketches).tolist():
                if not kept[first + text]:
                    continue
                if text != looked_at:
                    own, looked_at = sketches.of(text), text
                similarity = index.similarity(own, mine)
                if similarity >= plan.threshold:
                    kept[first + text] = False
                    if len(shown) < SHOWN:
                        beginnings = {split: texts[text][:BEGINNING], other: held_out[mine][:BEGINNING]}
                        shown.append(beginnings | {"similarity": round(similarity, 3)})
            advance(sum(map(len, texts)))
    return shown


def _blocks(folder: Path, split: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first, the documents) of a split, block by block."""
    ends = document_ends(folder, split)
    first, start = 0, 0
    with open_verified(text_of(folder, split)) as file:
        while first < len(ends):
            last = max(int(np.searchsorted(ends, start + BLOCK, side="right")), first + 1)
            bounds = [start, *map(int, ends[first:last])]
            text = file.read(bounds[-1] - start)
            yield first, [text[a - start : b - start].decode() for a, b in itertools.pairwise(bounds)]
            first, start = last, bounds[-1]
