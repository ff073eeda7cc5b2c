"""Modular arithmetic: all sums of two numbers modulo a third, many of them held out, to study generalization (grokking).

Every number is one character, so that the tokenizer char gives it one token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Integer

from pipeline.artifacts.paths import SPLITS
from pipeline.artifacts.writing import rounded
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FURTHER = "".join(chr(code) for code in range(0xC0, 0x180) if code not in (0xD7, 0xF7))  # letters, without × and ÷
SYMBOLS = DIGITS + FURTHER  # the character for each number
SIGNS = {"add": "+", "subtract": "-"}

Pairs = Integer[np.ndarray, "_ 2"]


def modular(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Every pair of numbers once, as a line such as a+b=c."""
    written = 0
    for split, pairs in _split_pairs(knobs).items():
        for question, answer in _questions(pairs, knobs):
            document = f"{question}{SYMBOLS[answer]}\n".encode()
            written += len(document)
            splits.add(split, document)
    nats = 2 * math.log(knobs.modulus) * knobs.modulus**2 / written
    says = "exact without knowledge of which pairs are held out: both numbers are uniform, the result follows"
    return replace(_card(knobs), entropy_nats_per_byte=rounded(nats, 9), entropy_says=says)


def labelled_modular(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Every pair of numbers once, as a text such as a+b=, whose class is the sum."""
    for split, pairs in _split_pairs(knobs).items():
        for question, answer in _questions(pairs, knobs):
            splits.add(split, question.encode(), answer)
    return replace(_card(knobs), classes=[str(number) for number in range(knobs.modulus)])


def _split_pairs(knobs: Prepare) -> dict[str, Pairs]:
    """The pairs of each split in random order. For sums, both orders of a pair are in the same split: a+b gives away b+a.

    Source: Power et al., "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets", 2022; they split ordered
    pairs, so that some held-out sums are given away by their mirror images.

    Raises:
        UserError: there are too few pairs for three splits.
    """
    rng = np.random.default_rng(knobs.seed)
    firsts, seconds = np.divmod(np.arange(knobs.modulus**2), knobs.modulus)
    pairs = np.stack([firsts, seconds], axis=1)
    distinct = pairs[firsts <= seconds] if knobs.operation == "add" else pairs
    order = rng.permutation(distinct)
    held_out = 1 - knobs.train_share
    of_held_out = knobs.validation_share / (knobs.validation_share + knobs.test_share)
    cuts = np.round(len(order) * np.array([knobs.train_share, knobs.train_share + held_out * of_held_out])).astype(int)
    assigned = dict(zip(("train", "validation", "test"), np.split(order, cuts), strict=True))
    if not all(map(len, assigned.values())):
        raise UserError(
            f"prepare.modulus: {knobs.modulus} gives {len(order)} pairs, too few for three splits; use a larger one"
        )
    if knobs.operation == "add":
        assigned = {split: _with_mirror_images(some) for split, some in assigned.items()}
    return {split: rng.permutation(assigned[split]) for split in SPLITS}


def _with_mirror_images(pairs: Pairs) -> Pairs:
    return np.concatenate([pairs, pairs[pairs[:, 0] != pairs[:, 1], ::-1]])


def _questions(pairs: Pairs, knobs: Prepare) -> Iterator[tuple[str, int]]:
    """(a+b=, its result) of each pair."""
    sign = SIGNS[knobs.operation]
    for first, second in pairs.tolist():
        result = first + second if knobs.operation == "add" else first - second
        yield f"{SYMBOLS[first]}{sign}{SYMBOLS[second]}=", result % knobs.modulus


def _card(knobs: Prepare) -> Card:
    if knobs.operation == "add":
        which, how = "sums a+b", "pairs without their order, so that no split tells b+a where another asks a+b"
    else:
        which, how = "differences a-b", "pairs in their order"
    return Card(
        name="modular",
        source=f"generated: all {which} of two numbers modulo {knobs.modulus}, each number one character",
        licence="CC0-1.0",
        split=f"at random by {how}: a share of {knobs.train_share:g} is for training, the rest is held out",
    )
