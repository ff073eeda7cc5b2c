"""Near-duplicates across splits: training documents similar to held-out ones, and validation documents similar to test ones."""

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
from pipeline.corpus.sources.splitting.minhash import BandPlan, Index, plan_bands, sketch
from pipeline.progress import Follow

BLOCK = 1 << 22  # bytes of text that are compared at once; a longer document is compared alone
SHOWN, BEGINNING = 5, 80  # examples on the card, characters of each

Kept = Bool[np.ndarray, " documents"]


class NearDuplicates(NamedTuple):
    """The result of the comparison.

    Attributes:
        kept: of each document of a split, whether it is not similar to a held-out one.
        card_entry: what the card says of the others.
    """

    kept: dict[str, Kept]
    card_entry: dict[str, Any]


def near_duplicates(folder: Path, threshold: float, follow: Follow) -> NearDuplicates:
    """Compare the splits in a folder. Training text is a stream; held-out text is in memory, with hashes about twenty times its
    size.

    Args:
        threshold: the least Jaccard similarity of near-duplicates.
    """
    plan, shown = plan_bands(threshold), list[dict[str, Any]]()
    everything = {split: np.ones(len(document_ends(folder, split)), bool) for split in ("validation", "train")}
    index: dict[str, tuple[list[str], Index]] = {}
    for split, other in (("validation", "test"), ("train", "test"), ("train", "validation")):
        if other not in index:
            held_out = [text for _, texts in _blocks(folder, other) for text in texts]
            index[other] = held_out, Index(sketch(held_out, plan), plan)
        shown += _compare(folder, split, other, *index[other], plan, everything[split], follow)
    left_out = {split: int(np.sum(~kept)) for split, kept in everything.items()}
    return NearDuplicates(everything, {"threshold": threshold, "left_out": left_out, "examples": shown[-SHOWN:]})


def _compare(
    folder: Path, split: str, other: str, held_out: list[str], index: Index, plan: BandPlan, kept: Kept, follow: Follow
) -> list[dict[str, Any]]:
    """Set `kept` to false for documents of a split that are similar to one of another; some pairs, for the card."""
    shown = list[dict[str, Any]]()
    with follow(f"comparing {split} with {other}", text_of(folder, split).stat().st_size) as advance:
        for first, texts in _blocks(folder, split):
            sketches = sketch(texts, plan)
            own, current = sketches.shingles_of(0), 0
            for text, mine in index.candidates(sketches).tolist():
                if not kept[first + text]:
                    continue
                if text != current:
                    own, current = sketches.shingles_of(text), text
                similarity = index.jaccard(own, mine)
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
