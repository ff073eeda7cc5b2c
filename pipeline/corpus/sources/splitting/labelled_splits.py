"""Splits of labelled texts: without duplicates or contradictory labels, by family of near-duplicates or stratified by class."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int8

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.disk_texts import DiskTexts
from pipeline.corpus.sources.splitting.minhash import families
from pipeline.corpus.sources.splitting.text import text_digest
from pipeline.corpus.store.text import SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError

SIMILAR = 0.5  # Jaccard similarity of shingles from which on texts are of one family

LARGE = 0.01  # share of all examples; a larger family goes to training, because held out, it alone would decide a score

NUMBER_WORDS = {2: "two", 3: "three"}


class Example(NamedTuple):
    """A text, its class, and its group: texts of one group go to the same split."""

    text: str
    label: str
    group: Hashable = None


def deduplicate(examples: Iterable[Example]) -> tuple[list[Example], dict[str, int]]:
    """(each text once, how many were dropped by the reason); a text that has two labels is dropped entirely."""
    labels: dict[str, set[str]] = {}
    first: dict[str, Example] = {}
    count = 0
    for example in examples:
        count += 1
        labels.setdefault(example.text, set()).add(example.label)
        first.setdefault(example.text, example)
    kept = [first[text] for text, found in labels.items() if len(found) == 1]
    left_out = {"copies": count - len(first), "texts_with_two_labels": len(first) - len(kept)}
    return kept, {why: number for why, number in left_out.items() if number}


def split_by_family(examples: Sequence[Example], classes: Sequence[str], knobs: Prepare, splits: SplitWriter) -> None:
    """Split examples by a digest of their family: the same group, or near-duplicates. Large families go to training.

    Raises:
        UserError: a split would have no example of a class.
    """
    texts = [example.text for example in examples]
    heads = families(texts, [example.group for example in examples], SIMILAR)
    sizes = Counter(heads)
    drawn = sorted(
        (head for head in sizes if sizes[head] <= LARGE * len(texts)), key=lambda head: text_digest(texts[head].encode())
    )
    before = dict(zip(drawn, itertools.accumulate((sizes[head] for head in drawn), initial=0), strict=False))
    first, second = (share * len(texts) for share in (knobs.validation_share, knobs.validation_share + knobs.test_share))
    split_of = [
        "train" if (at := before.get(h, len(texts))) >= second else "test" if at >= first else "validation" for h in heads
    ]
    for split in SPLITS:
        held = {example.label for example, own in zip(examples, split_of, strict=True) if own == split}
        if missing := [name for name in classes if name not in held]:
            raise UserError(
                f"prepare: the split {split} has no example of the class '{missing[0]}';"
                " use more text, or larger prepare.validation_share and prepare.test_share"
            )
    _write_examples(examples, split_of, classes, splits)


def split_by_class(
    stored: DiskTexts,
    places: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    classes: Sequence[str],
    shares: Mapping[str, float],
    splits: SplitWriter,
) -> None:
    """Split texts such that every split has its share of every class, in the order of a digest of the texts.

    Args:
        places: of the texts in `stored`.
        labels: the class number of each of these texts.
        shares: of each held-out split; the rest is for training.

    Raises:
        UserError: a class has too few texts for the splits.
    """
    keys = stored.keys[places]
    drawn = np.lexsort((keys[:, 1], keys[:, 0], labels))
    counts = np.bincount(labels, minlength=len(classes))
    split_of = np.full(len(places), SPLITS.index("train"), np.int8)
    for name, of_class in zip(classes, np.split(drawn, np.cumsum(counts)[:-1]), strict=True):
        most = (len(of_class) - 1) // max(len(shares), 1)
        if not most and shares:
            raise UserError(
                f"prepare.label_column: the class '{name}' has {len(of_class)} different texts, too few for"
                f" {NUMBER_WORDS[len(shares) + 1]} splits; {len(shares) + 1} or more are needed"
            )
        first = 0
        for split, share in shares.items():
            last = first + min(max(round(share * len(of_class)), 1), most)
            split_of[of_class[first:last]] = SPLITS.index(split)
            first = last
    _write_texts(stored, places, labels, split_of, splits)


def write_published(
    split: str, stored: DiskTexts, places: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], splits: SplitWriter
) -> None:
    """Write texts to the split in which they are published."""
    _write_texts(stored, places, labels, np.full(len(places), SPLITS.index(split), np.int8), splits)


def _write_texts(
    stored: DiskTexts,
    places: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    split_of: Int8[np.ndarray, " n"],
    splits: SplitWriter,
) -> None:
    """Write texts to their splits.

    Args:
        split_of: of each text, the index of its split in SPLITS.
    """
    for block in stored.blocks(places):
        texts = list(stored.read(places[block]))
        for number in np.unique(split_of[block]).tolist():
            of_split = np.flatnonzero(split_of[block] == number)
            some = [texts[place] for place in of_split.tolist()]
            ends = np.cumsum([len(text) for text in some])
            splits.write(SPLITS[number], b"".join(some), ends, labels=labels[block][of_split])


def _write_examples(examples: Sequence[Example], split_of: Sequence[str], classes: Sequence[str], splits: SplitWriter) -> None:
    numbers = {name: number for number, name in enumerate(classes)}
    for example, split in zip(examples, split_of, strict=True):
        splits.add(split, example.text.encode(), numbers[example.label])
