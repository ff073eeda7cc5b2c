"""What is there to learn from that we made ourselves? Text of known entropy: here a loss can be told from the best loss.

Every symbol is one ASCII character, so that nats a symbol are nats a byte. Equal knobs give equal text.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.paths import SPLITS
from pipeline.artifacts.writing import rounded
from pipeline.corpus.store.text import Card, SplitWriter
from pipeline.params.data import Prepare
from pipeline.progress import Follow

ALPHABET = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
BLOCK = 1 << 20  # symbols made at once

Floats = npt.NDArray[np.float64]


def split_sizes(knobs: Prepare) -> dict[str, int]:
    """Symbols of each split: `generated_chars` for training, and the held-out shares beside it."""
    total = knobs.generated_chars / (1 - knobs.validation_share - knobs.test_share)
    return {
        "train": knobs.generated_chars,
        "validation": round(total * knobs.validation_share),
        "test": round(total * knobs.test_share),
    }


def split_rng(knobs: Prepare, split: str) -> np.random.Generator:
    """The random numbers of a split, independent of those of every other split and of the rule that all of them follow."""
    return np.random.default_rng([knobs.seed, 1 + SPLITS.index(split)])


def entropy(probabilities: Floats) -> float:
    """Nats."""
    return float(-np.sum(probabilities * np.log(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))))


def generated_card(name: str, rule: str, nats: float | None, says: str, split: str, grammar: str = "") -> Card:
    nats = None if nats is None else rounded(nats, 9)
    source = f"generated: {rule}"
    return Card(name, source, "CC0-1.0", split, entropy_nats_per_byte=nats, entropy_says=says, grammar=grammar)


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


def sample_chain(rows: Floats, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """A text of `count` symbols, each drawn by the row of the one before it, the first by the stationary distribution.

    Each step needs the one before: no array operation. Bisecting plain lists makes five million symbols a second.
    """
    sums = [row[:-1].tolist() for row in np.cumsum(rows, axis=1)]
    state = bisect(np.cumsum(stationary(rows))[:-1].tolist(), rng.random())
    symbols = bytes.maketrans(bytes(range(len(ALPHABET))), ALPHABET)
    for at in range(0, count, BLOCK):
        numbers = rng.random(min(BLOCK, count - at)).tolist()
        yield bytes([state := bisect(sums[state], number) for number in numbers]).translate(symbols)


def _write_chain(rows: Floats, knobs: Prepare, splits: SplitWriter, follow: Follow) -> None:
    for split, count in split_sizes(knobs).items():
        with follow(f"generating {split}", count) as advance:
            for text in sample_chain(rows, count, split_rng(knobs, split)):
                splits.write(split, text)
                advance(len(text))
            splits.write(split, b"", [0])


def markov(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """A chain whose rows are drawn from a Dirichlet distribution: some successors likely, most rare."""
    rows = np.random.default_rng(knobs.seed).dirichlet(np.full(knobs.alphabet_size, 0.3), size=knobs.alphabet_size)
    _write_chain(rows, knobs, splits, follow)
    rule = f"a Markov chain of {knobs.alphabet_size} symbols, each row of its matrix drawn from Dirichlet(0.3)"
    says = f"exact: the entropy rate of the chain. Without context, a symbol has {entropy(stationary(rows)):.4f} nats"
    return generated_card("markov", rule, entropy_rate(rows), says, STREAMS)


def zipf_bigram(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """A chain in which the successors of every symbol follow Zipf's law, each symbol with its own order of them."""
    law = 1 / np.arange(1, knobs.alphabet_size + 1)
    law /= law.sum()
    rng = np.random.default_rng(knobs.seed)
    rows = np.stack([law[rng.permutation(knobs.alphabet_size)] for _ in range(knobs.alphabet_size)])
    _write_chain(rows, knobs, splits, follow)
    rule = f"a chain of {knobs.alphabet_size} symbols; the successors of each, in an order of its own, have odds 1, 1/2, 1/3, …"
    says = f"exact: the entropy of Zipf's law. Without context, a symbol has {entropy(stationary(rows)):.4f} nats"
    return generated_card("zipf_bigram", rule, entropy(law), says, STREAMS)


# ----------------------------------------------------------------------------------------------------------------- repeats

SHORTEST, LONGEST = 8, 32  # symbols of a block


def repeats(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Blocks of random symbols, each written twice or oftener. Their lengths vary, so that no fixed distance tells what comes
    next; or, as a control, all have one.
    """
    shortest, longest = (knobs.block,) * 2 if knobs.block else (SHORTEST, LONGEST)
    for split, count in split_sizes(knobs).items():
        rng, written = split_rng(knobs, split), 0
        with follow(f"generating {split}", count) as advance:
            while written < count:
                lengths = rng.integers(shortest, longest + 1, size=BLOCK // (shortest + longest))
                text = _repeated(lengths, knobs.copies, knobs.alphabet_size, rng)[: count - written]
                splits.write(split, text)
                written += len(text)
                advance(len(text))
            splits.write(split, b"", [0])
    said = f"{shortest} to {longest}" if shortest < longest else f"{shortest}"
    times = "twice" if knobs.copies == 2 else f"{knobs.copies} times"
    rule = f"blocks of {said} symbols, uniform among {knobs.alphabet_size}, each written {times}"
    entropy_said = _entropy_of_repeats(knobs.alphabet_size, shortest, longest, knobs.copies)
    return generated_card(
        "repeats", rule, *entropy_said, STREAMS, grammar="" if knobs.copies % 2 or shortest < SHORTEST else "doubled"
    )


def _repeated(lengths: npt.NDArray[np.int64], copies: int, symbols: int, rng: np.random.Generator) -> bytes:
    """Blocks of these lengths: place i holds the symbol that is drawn for it, or in a later copy that of the first."""
    starts = np.repeat(np.cumsum(copies * lengths) - copies * lengths, copies * lengths)
    length = np.repeat(lengths, copies * lengths)
    within = np.arange(len(starts)) - starts
    drawn = np.frombuffer(ALPHABET, np.uint8)[rng.integers(symbols, size=len(starts))]
    return bytes(drawn[starts + within % length])


def _entropy_of_repeats(symbols: int, shortest: int, longest: int, copies: int) -> tuple[float | None, str]:
    """Written twice, a block of length L costs ln 25 for L (nothing where all have one) and L · ln(symbols) for its first copy,
    and L is 20 on average: a symbol of the 40 costs a fortieth of that, as long as L can be read off the text. It can, but
    where a block fits another length by accident; that takes at least 8 equal symbols that need not be, so its chance is below
    24 / symbols**8 a block.
    """
    lengths, mean = longest - shortest + 1, (shortest + longest) / 2
    nats = (math.log(lengths) + mean * math.log(symbols)) / (copies * mean)
    reads = f"reading all text before it; a model that sees fewer than {2 * longest} symbols cannot reach it"
    if symbols < 8:
        least = math.log(symbols) / copies
        return None, f"between {least:.4f} and {nats:.4f}: with few symbols, blocks repeat by accident; {reads}"
    return nats, f"exact to a millionth in the limit of a long text, {reads}"
