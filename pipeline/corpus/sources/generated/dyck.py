"""Balanced brackets (Dyck words), of known entropy; the difficulty of a document is its depth.

Every symbol is one ASCII character, so that nats per symbol are nats per byte. Equal knobs give equal text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from pipeline.corpus.sources.generated.markov import BLOCK, STREAMS, generated_card, split_rng, split_sizes
from pipeline.corpus.sources.splitting.text import split_of_key
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

BRACKETS = (b"()", b"[]", b"{}", b"<>")
CLOSES = {kind[0]: kind[1] for kind in BRACKETS}  # the byte that closes, by the byte that opens


def dyck(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Balanced brackets such as ([()])() of bounded depth, each word a document.

    A word is a random walk of its depth. At depth 0 it opens a bracket or, once it has begun, ends, with equal probability; at
    the bound it closes one; in between it opens or closes one with equal probability. The kind that opens is uniform.

    Source: Chomsky and Schützenberger, "The Algebraic Theory of Context-Free Languages", 1963; bounded in depth as in Hewitt
    et al., "RNNs can generate bounded hierarchical languages with optimal memory", 2020.
    """
    depth, kinds = knobs.max_depth, knobs.bracket_kinds
    for split, size in split_sizes(knobs).items():
        left, words = size, _words(depth, kinds, split_rng(knobs, split))
        with follow(f"generating {split}", size) as advance:
            while left:
                some = list(itertools.islice(words, 4096))
                ends = np.cumsum([len(word) for word, _ in some])
                fitting = int(np.searchsorted(ends, left, side="right"))
                text = b"".join(word for word, _ in some[:fitting])
                splits.write(split, text, ends[:fitting], [deepest for _, deepest in some[:fitting]])
                left = left - len(text) if fitting == len(some) else 0
                advance(len(text))
    return generated_card(
        "dyck",
        f"balanced brackets of {kinds} kinds, at most {depth} deep, each word a line",
        entropy_of_dyck(depth, kinds),
        "exact in the limit of a long text, if each word is read from its start",
        f"{STREAMS}; short words stand in all of them",
        grammar="brackets",
    )


def entropy_of_dyck(depth: int, kinds: int) -> float:
    """The entropy in nats per byte: the mean cost of a word over its mean length.

    A walk from depth 0 back to 0 has 2 · depth steps on average. Half of them go up and cost ln kinds each. All but two steps,
    the one from depth 0 and the one from the bound, choose a direction, which costs ln 2, and so does the choice whether the
    word ends. A word has two such walks on average, and the end of a line. (This holds at depth 1 too, where no step chooses.)
    """
    walk = (2 * depth - 2) * math.log(2) + depth * math.log(kinds) + math.log(2)
    return 2 * walk / (2 * 2 * depth + 1)


def _words(depth: int, kinds: int, rng: np.random.Generator) -> Iterator[tuple[bytes, int]]:
    """An endless stream of (a word with the end of its line, its depth)."""
    word, open_kinds, deepest = bytearray(), list[int](), 0
    while True:
        for number in rng.integers(2 * kinds, size=BLOCK // 64).tolist():
            down, kind = divmod(number, kinds)
            if down and word and not open_kinds:
                yield bytes(word) + b"\n", deepest
                word, deepest = bytearray(), 0
            elif not open_kinds or (not down and len(open_kinds) < depth):
                open_kinds.append(kind)
                word.append(BRACKETS[kind][0])
                deepest = max(deepest, len(open_kinds))
            else:
                word.append(BRACKETS[open_kinds.pop()][1])


# ---------------------------------------------------------------------------------------------------------------- labelled

SHORTEST = 16  # symbols: there are few shorter words
MAX_MISSES = 100_000  # draws without a new word after which there is taken to be none


def labelled_dyck(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Words of brackets, half of them balanced; in the others, two brackets are swapped, so that counting brackets does not
    help. The difficulty of a word is the depth of the balanced one.

    No balanced word occurs together with its corrupted form, and no text occurs twice.

    Raises:
        UserError: there are too few different words.
    """
    seen = set[bytes]()
    for split, size in split_sizes(knobs).items():
        rng, written = split_rng(knobs, split), 0
        with follow(f"generating {split}", size) as advance:
            for number, (word, deepest) in enumerate(_new_words(knobs, split, seen)):
                text = _corrupted(word, seen, rng) if number % 2 else word
                if written + len(text) > size:
                    break
                seen.add(text)
                splits.add(split, text, 1 - number % 2, deepest)
                written += len(text)
                advance(len(text))
    return Card(
        name="dyck",
        source=f"generated: words of brackets of {knobs.bracket_kinds} kinds, at most {knobs.max_depth} deep, of {SHORTEST} or"
        " more symbols; in the unbalanced ones, which are half of them, two brackets of a balanced word have changed places",
        licence="CC0-1.0",
        split="by a digest of the balanced word; no word is used twice, spoilt or not",
        classes=["unbalanced", "balanced"],
    )


def _new_words(knobs: Prepare, split: str, seen: set[bytes]) -> Iterator[tuple[bytes, int]]:
    """(a word of this split that is not in `seen`, to which it is added; its depth)."""
    misses = 0
    for line, deepest in _words(knobs.max_depth, knobs.bracket_kinds, split_rng(knobs, split)):
        word, misses = line[:-1], misses + 1
        if len(word) >= SHORTEST and word not in seen and split_of_key(word, knobs) == split:
            seen.add(word)
            yield word, deepest
            misses = 0
        elif misses == MAX_MISSES:
            raise UserError(
                f"prepare.bracket_kinds: {knobs.bracket_kinds}, nested {knobs.max_depth} deep, allow too few different words"
                f" for the split {split}; use more kinds, a larger prepare.max_depth or a smaller prepare.generated_chars"
            )


def _corrupted(word: bytes, seen: set[bytes], rng: np.random.Generator) -> bytes:
    """The word with two brackets swapped, not balanced and not in `seen`.

    There are many such: with the first bracket and any closing one swapped, a word begins with a closing bracket.
    """
    while True:
        one, other = rng.integers(len(word), size=2).tolist()
        changed = bytearray(word)
        changed[one], changed[other] = word[other], word[one]
        if not _balanced(changed) and bytes(changed) not in seen:
            return bytes(changed)


def _balanced(word: bytes | bytearray) -> bool:
    """Whether every bracket closes the one opened last, and none is left open."""
    expected = bytearray()
    for symbol in word:
        if symbol in CLOSES:
            expected.append(CLOSES[symbol])
        elif not expected or expected.pop() != symbol:
            return False
    return not expected
