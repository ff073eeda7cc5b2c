"""What is there to practise on that nests? Balanced brackets: documents of known entropy, each as hard as it says.

Every symbol is one ASCII character, so that nats a symbol are nats a byte. Equal knobs give equal text.
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
CLOSES = {kind[0]: kind[1] for kind in BRACKETS}  # as bytes: what closes, by what opens


def dyck(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Balanced brackets such as ([()])() of bounded depth, each word a document. How hard a word is, is how deep it goes.

    A word walks up and down: on the ground it opens a bracket or, from then on, ends as likely; at the bound it closes; in
    between it opens or closes as likely. Which kind of bracket opens is uniform, which closes is the one that is open.

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
        "exact in the limit of a long text, for whoever reads a word from its start",
        f"{STREAMS}; short words stand in all of them",
        grammar="brackets",
    )


def entropy_of_dyck(depth: int, kinds: int) -> float:
    """Nats a byte: what a word costs on average by how long it is on average.

    From the ground up and back to it takes 2 · depth steps on average, half of them up (ln kinds each); one of them leaves the
    ground and one the bound, where there is no choice, and the others cost ln 2; so does the choice whether to go on or to
    end. Two such walks make a word on average, and a line's end goes with it. (At depth 1 both are as they should be: no
    choice within.)
    """
    walk = (2 * depth - 2) * math.log(2) + depth * math.log(kinds) + math.log(2)
    return 2 * walk / (2 * 2 * depth + 1)


def _words(depth: int, kinds: int, rng: np.random.Generator) -> Iterator[tuple[bytes, int]]:
    """Without end: (a word with the end of its line, how deep it goes)."""
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

SHORTEST = 16  # symbols: shorter words are few, and all alike
MAX_MISSES = 100_000  # so many draws without a new word, and there is none


def labelled_dyck(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Words of brackets: every other one is balanced, and in the rest two brackets have changed places, so that counting
    brackets tells nothing. How hard a word is, is how deep it went.

    A word that was spoilt stands nowhere unspoilt, and no text stands anywhere twice.

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
    """(a word of this split that is not among those `seen`, to which it is added; how deep it goes)."""
    in_vain = 0
    for line, deepest in _words(knobs.max_depth, knobs.bracket_kinds, split_rng(knobs, split)):
        word, in_vain = line[:-1], in_vain + 1
        if len(word) >= SHORTEST and word not in seen and split_of_key(word, knobs) == split:
            seen.add(word)
            yield word, deepest
            in_vain = 0
        elif in_vain == MAX_MISSES:
            raise UserError(
                f"prepare.bracket_kinds: {knobs.bracket_kinds}, nested {knobs.max_depth} deep, allow too few different words"
                f" for the split {split}; more kinds, a larger prepare.max_depth or a smaller prepare.generated_chars would do"
            )


def _corrupted(word: bytes, seen: set[bytes], rng: np.random.Generator) -> bytes:
    """The word with two brackets in each other's place, no longer balanced and not yet seen.

    A word with its first bracket and any that closes exchanged begins with what closes, so there are many such.
    """
    while True:
        one, other = rng.integers(len(word), size=2).tolist()
        changed = bytearray(word)
        changed[one], changed[other] = word[other], word[one]
        if not _balanced(changed) and bytes(changed) not in seen:
            return bytes(changed)


def _balanced(word: bytes | bytearray) -> bool:
    """Whether every bracket closes the one that was opened last, and none is left open."""
    expected = bytearray()
    for symbol in word:
        if symbol in CLOSES:
            expected.append(CLOSES[symbol])
        elif not expected or expected.pop() != symbol:
            return False
    return not expected
