"""What is there to learn from that we made ourselves? Text of known entropy: here a loss can be told from the best loss.

Every symbol is one ASCII character, so that nats a symbol are nats a byte. Equal knobs give equal text.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.artifacts import SPLITS, rounded
from pipeline.corpus.documents import Card, Splits
from pipeline.corpus.progress import Follow
from pipeline.params import Prepare, Refusal

ALPHABET = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
BLOCK = 1 << 20  # symbols made at once

Floats = npt.NDArray[np.float64]


def sizes(knobs: Prepare) -> dict[str, int]:
    """Symbols of each split: `size` for training, and the held-out shares beside it."""
    total = knobs.size / (1 - knobs.validation_share - knobs.test_share)
    return {"train": knobs.size, "validation": round(total * knobs.validation_share), "test": round(total * knobs.test_share)}


def draws(knobs: Prepare, split: str) -> np.random.Generator:
    """The random numbers of a split, independent of those of every other split and of the rule that all of them follow."""
    return np.random.default_rng([knobs.seed, 1 + SPLITS.index(split)])


def entropy(probabilities: Floats) -> float:
    """Nats."""
    return float(-np.sum(probabilities * np.log(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))))


def _card(name: str, rule: str, nats: float | None, says: str, split: str) -> Card:
    nats = None if nats is None else rounded(nats, 9)
    return Card(name, f"generated: {rule}", "CC0-1.0", split, entropy_nats_per_byte=nats, entropy_says=says)


STREAMS = "each split is one text of its own, made by the same rule from other random numbers"


# ------------------------------------------------------------------------------------------------------------------ chains


def stationary(rows: Floats) -> Floats:
    """The distribution that a chain with these rows keeps: the one that solves p = p · rows."""
    states = len(rows)
    equations = np.vstack([rows.T - np.eye(states), np.ones(states)])
    solution: Floats = np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]
    return np.clip(solution, 0, None)


def entropy_rate(rows: Floats) -> float:
    """Nats a symbol of a stationary chain: each row's entropy, weighed by how often the chain is there."""
    return float(sum(weight * entropy(row) for weight, row in zip(stationary(rows), rows, strict=True)))


def chain(rows: Floats, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """A text of `count` symbols, each drawn by the row of the one before it, the first by the stationary distribution.

    Each step needs the one before: no array operation. Bisecting plain lists makes five million symbols a second.
    """
    sums = [row[:-1].tolist() for row in np.cumsum(rows, axis=1)]
    state = bisect(np.cumsum(stationary(rows))[:-1].tolist(), rng.random())
    symbols = bytes.maketrans(bytes(range(len(ALPHABET))), ALPHABET)
    for at in range(0, count, BLOCK):
        numbers = rng.random(min(BLOCK, count - at)).tolist()
        yield bytes([state := bisect(sums[state], number) for number in numbers]).translate(symbols)


def _write_chain(rows: Floats, knobs: Prepare, splits: Splits, follow: Follow) -> None:
    for split, count in sizes(knobs).items():
        with follow(f"generating {split}", count) as advance:
            for text in chain(rows, count, draws(knobs, split)):
                splits.write(split, text)
                advance(len(text))
            splits.write(split, b"", [0])


def markov(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """A chain whose rows are drawn from a Dirichlet distribution: some successors likely, most rare."""
    rows = np.random.default_rng(knobs.seed).dirichlet(np.full(knobs.symbols, 0.3), size=knobs.symbols)
    _write_chain(rows, knobs, splits, follow)
    rule = f"a Markov chain of {knobs.symbols} symbols, each row of its matrix drawn from Dirichlet(0.3)"
    says = f"exact: the entropy rate of the chain. Without context, a symbol has {entropy(stationary(rows)):.4f} nats"
    return _card("markov", rule, entropy_rate(rows), says, STREAMS)


def zipf_bigram(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """A chain in which the successors of every symbol follow Zipf's law, each symbol with its own order of them."""
    law = 1 / np.arange(1, knobs.symbols + 1)
    law /= law.sum()
    rng = np.random.default_rng(knobs.seed)
    rows = np.stack([law[rng.permutation(knobs.symbols)] for _ in range(knobs.symbols)])
    _write_chain(rows, knobs, splits, follow)
    rule = f"a chain of {knobs.symbols} symbols; the successors of each, in an order of its own, have odds 1, 1/2, 1/3, …"
    says = f"exact: the entropy of Zipf's law. Without context, a symbol has {entropy(stationary(rows)):.4f} nats"
    return _card("zipf_bigram", rule, entropy(law), says, STREAMS)


# ----------------------------------------------------------------------------------------------------------------- repeats

SHORTEST, LONGEST = 8, 32  # symbols of a block


def repeats(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """Blocks of random symbols, each written twice. Their lengths vary, so that no fixed distance tells what comes next."""
    for split, count in sizes(knobs).items():
        rng, written = draws(knobs, split), 0
        with follow(f"generating {split}", count) as advance:
            while written < count:
                text = _repeated(knobs.symbols, rng)[: count - written]
                splits.write(split, text)
                written += len(text)
                advance(len(text))
            splits.write(split, b"", [0])
    rule = f"blocks of {SHORTEST} to {LONGEST} symbols, uniform among {knobs.symbols}, each written twice"
    return _card("repeats", rule, *_entropy_of_repeats(knobs.symbols), STREAMS)


def _repeated(symbols: int, rng: np.random.Generator) -> bytes:
    """About a BLOCK of text: in it, place i holds the symbol that is drawn for it, or in a second copy that of its first."""
    lengths = rng.integers(SHORTEST, LONGEST + 1, size=BLOCK // (SHORTEST + LONGEST))
    starts = np.repeat(np.cumsum(2 * lengths) - 2 * lengths, 2 * lengths)
    length = np.repeat(lengths, 2 * lengths)
    within = np.arange(len(starts)) - starts
    drawn = np.frombuffer(ALPHABET, np.uint8)[rng.integers(symbols, size=len(starts))]
    return bytes(drawn[starts + within % length])


def _entropy_of_repeats(symbols: int) -> tuple[float | None, str]:
    """A block of length L costs ln 25 for L and L · ln(symbols) for its first copy, and L is 20 on average: a symbol of the
    40 costs a fortieth of that, as long as L can be read off the text. It can, but where a block fits another length by
    accident; that takes at least 8 equal symbols that need not be, so its chance is below 24 / symbols**8 a block.
    """
    lengths, mean = LONGEST - SHORTEST + 1, (SHORTEST + LONGEST) / 2
    nats = (math.log(lengths) + mean * math.log(symbols)) / (2 * mean)
    reads = f"reading all text before it; a model that sees fewer than {2 * LONGEST} symbols cannot reach it"
    if symbols < 8:
        return None, f"between {math.log(symbols) / 2:.4f} and {nats:.4f}: with few symbols, blocks repeat by accident; {reads}"
    return nats, f"exact to a millionth in the limit of a long text, {reads}"


# ---------------------------------------------------------------------------------------------------------------- addition


def addition(knobs: Prepare, splits: Splits, follow: Follow) -> Card:
    """Sums such as 012+934=0946, each a document; no two splits share a pair of numbers, in whatever order."""
    digits = knobs.digits
    width = 3 * digits + 4
    for split, size in sizes(knobs).items():
        rng, lines = draws(knobs, split), size // width
        with follow(f"generating {split}", lines * width) as advance:
            while lines > 0:
                numbers = _pairs(knobs, split, rng)[:lines]
                text = _sums(numbers, digits, knobs.reversed)
                splits.write(split, text, np.arange(width, len(text) + 1, width))
                lines -= len(numbers)
                advance(len(text))
    order = "last digit first" if knobs.reversed else "first digit first"
    return _card(
        "addition",
        f"sums of two numbers of {digits} digits (with leading zeros), the sum in {digits + 1} digits, {order}",
        2 * digits * math.log(10) / width,
        "exact for whoever does not know which pairs are held out: both numbers are uniform and cost ln 10 a digit,"
        " all else follows",
        "by a digest of the pair of numbers without its order",
    )


def _pairs(knobs: Prepare, split: str, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """int64 [pairs, 2]: pairs of numbers, uniform among those of a split; about its share of a BLOCK.

    Raises:
        Refusal: among so many pairs none is of this split.
    """
    pairs = rng.integers(10**knobs.digits, size=(BLOCK // 8, 2))
    place = _shares_of(pairs, knobs)
    first, second = knobs.validation_share, knobs.validation_share + knobs.test_share
    start, end = {"train": (second, 1.0), "validation": (0.0, first), "test": (first, second)}[split]
    found = pairs[(start <= place) & (place < end)]
    if not len(found):
        raise Refusal(f"prepare.digits: no pair of {knobs.digits} digits falls to the split {split}; more digits would do")
    return found


def _shares_of(pairs: npt.NDArray[np.int64], knobs: Prepare) -> Floats:
    """float64 [pairs], in 0 .. 1: a digest of each pair that does not hang on its order.

    Source: Guy Steele, Doug Lea and Christine Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    """
    key = np.min(pairs, axis=1) * 10**knobs.digits + np.max(pairs, axis=1)
    mixed = (key.astype(np.uint64) + np.uint64(knobs.seed)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    shares: Floats = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    return shares


def _sums(pairs: npt.NDArray[np.int64], digits: int, backwards: bool) -> bytes:
    """The lines of some sums, one after another."""
    total = _digits(pairs.sum(axis=1), digits + 1)
    if backwards:
        total = total[:, ::-1]
    plus, equals, newline = (np.full((len(pairs), 1), ord(sign), np.uint8) for sign in "+=\n")
    return np.hstack([_digits(pairs[:, 0], digits), plus, _digits(pairs[:, 1], digits), equals, total, newline]).tobytes()


def _digits(numbers: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """uint8 [numbers, width]: the decimal digits as ASCII characters."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
