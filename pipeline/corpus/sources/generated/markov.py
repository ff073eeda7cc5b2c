"""Generated text of known entropy, the lowest possible loss: Markov chains and repeated blocks.

Every symbol is one ASCII character, so that nats per symbol are nats per byte. Equal knobs give equal text.
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
BLOCK = 1 << 20  # symbols generated at once

Floats = npt.NDArray[np.float64]


def split_sizes(knobs: Prepare) -> dict[str, int]:
    """Symbols of each split: `generated_chars` for training, and the held-out shares in addition."""
    total = knobs.generated_chars / (1 - knobs.validation_share - knobs.test_share)
    return {
        "train": knobs.generated_chars,
        "validation": round(total * knobs.validation_share),
        "test": round(total * knobs.test_share),
    }


def split_rng(knobs: Prepare, split: str) -> np.random.Generator:
    """The random numbers of a split, independent of those of the other splits and of the generating rule."""
    return np.random.default_rng([knobs.seed, 1 + SPLITS.index(split)])


def entropy(probabilities: Floats) -> float:
    """The entropy of a distribution, in nats."""
    return float(-np.sum(probabilities * np.log(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))))


def generated_card(name: str, rule: str, nats: float | None, says: str, split: str, grammar: str = "") -> Card:
    """The card of generated text.

    Args:
        nats: entropy in nats per byte; None = not known exactly.
        says: how exact it is.
    """
    nats = None if nats is None else rounded(nats, 9)
    source = f"generated: {rule}"
    return Card(name, source, "CC0-1.0", split, entropy_nats_per_byte=nats, entropy_says=says, grammar=grammar)


STREAMS = "each split is one text of its own, made by the same rule from other random numbers"


# ------------------------------------------------------------------------------------------------------------------ chains


def stationary(rows: Floats) -> Floats:
    """The stationary distribution of a chain with these rows, which solves p = p · rows."""
    states = len(rows)
    equations = np.vstack([rows.T - np.eye(states), np.ones(states)])
    solution: Floats = np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]
    return np.clip(solution, 0, None)


def entropy_rate(rows: Floats) -> float:
    """Nats per symbol of a stationary chain: the entropy of each row, weighted by the stationary distribution."""
    return float(sum(weight * entropy(row) for weight, row in zip(stationary(rows), rows, strict=True)))


def sample_chain(rows: Floats, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """A text of `count` symbols, each drawn from the row of its predecessor, the first from the stationary distribution.

    Each step needs the one before, so this cannot be an array operation; bisecting plain lists draws five million symbols per
    second.
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


def dirichlet_rows(knobs: Prepare) -> Floats:
    """A few successors of each symbol are likely, most are rare."""
    return np.random.default_rng(knobs.seed).dirichlet(np.full(knobs.alphabet_size, 0.3), size=knobs.alphabet_size)


def zipf_rows(knobs: Prepare) -> Floats:
    """The successors of each symbol have odds 1, 1/2, 1/3, …, in an order of its own."""
    law = zipf_law(knobs.alphabet_size)
    rng = np.random.default_rng(knobs.seed)
    return np.stack([law[rng.permutation(knobs.alphabet_size)] for _ in range(knobs.alphabet_size)])


def zipf_law(count: int) -> Floats:
    """Zipf's law over so many symbols."""
    law = 1 / np.arange(1, count + 1)
    return law / law.sum()


def markov(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """A Markov chain whose rows are drawn from a Dirichlet distribution."""
    rows = dirichlet_rows(knobs)
    _write_chain(rows, knobs, splits, follow)
    rule = f"a Markov chain of {knobs.alphabet_size} symbols, each row of its matrix drawn from Dirichlet(0.3)"
    says = f"exact: the entropy rate of the chain. Without context, a symbol has {entropy(stationary(rows)):.4f} nats"
    return generated_card("markov", rule, entropy_rate(rows), says, STREAMS)


def zipf_bigram(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """A Markov chain in which the successors of every symbol follow Zipf's law, in an order of its own for each symbol."""
    rows = zipf_rows(knobs)
    _write_chain(rows, knobs, splits, follow)
    rule = f"a chain of {knobs.alphabet_size} symbols; the successors of each, in an order of its own, have odds 1, 1/2, 1/3, …"
    says = f"exact: the entropy of Zipf's law. Without context, a symbol has {entropy(stationary(rows)):.4f} nats"
    return generated_card("zipf_bigram", rule, entropy(zipf_law(knobs.alphabet_size)), says, STREAMS)


# ----------------------------------------------------------------------------------------------------------------- repeats

SHORTEST, LONGEST = 8, 32  # symbols of a block


def repeats(knobs: Prepare, splits: SplitWriter, follow: Follow) -> Card:
    """Blocks of random symbols, each written `copies` times. Their lengths vary, so that no fixed distance predicts the next
    symbol; with prepare.block all have the same length, as a control.
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
    block_lengths = f"{shortest} to {longest}" if shortest < longest else f"{shortest}"
    times = "twice" if knobs.copies == 2 else f"{knobs.copies} times"
    rule = f"blocks of {block_lengths} symbols, uniform among {knobs.alphabet_size}, each written {times}"
    entropy_known = _entropy_of_repeats(knobs.alphabet_size, shortest, longest, knobs.copies)
    return generated_card(
        "repeats", rule, *entropy_known, STREAMS, grammar="" if knobs.copies % 2 or shortest < SHORTEST else "doubled"
    )


def _repeated(lengths: npt.NDArray[np.int64], copies: int, symbols: int, rng: np.random.Generator) -> bytes:
    """Blocks of these lengths, each `copies` times in a row."""
    starts = np.repeat(np.cumsum(copies * lengths) - copies * lengths, copies * lengths)
    length = np.repeat(lengths, copies * lengths)
    within = np.arange(len(starts)) - starts
    drawn = np.frombuffer(ALPHABET, np.uint8)[rng.integers(symbols, size=len(starts))]
    return bytes(drawn[starts + within % length])


def _entropy_of_repeats(symbols: int, shortest: int, longest: int, copies: int) -> tuple[float | None, str]:
    """(the entropy in nats per byte, or None where it is known only within bounds; how exact it is, for the card).

    A block of length L costs ln(lengths) for L (of 25 lengths, or 1) and L · ln(symbols) for its first copy; its other copies
    are free, as long as L can be inferred from the text. That fails if a block fits another length by accident, which takes at
    least 8 equal symbols, so the probability is below 24 / symbols**8 per block.
    """
    lengths, mean = longest - shortest + 1, (shortest + longest) / 2
    nats = (math.log(lengths) + mean * math.log(symbols)) / (copies * mean)
    reads = f"reading all text before it; a model that sees fewer than {2 * longest} symbols cannot reach it"
    if symbols < 8:
        least = math.log(symbols) / copies
        return None, f"between {least:.4f} and {nats:.4f}: with few symbols, blocks repeat by accident; {reads}"
    return nats, f"exact to a millionth in the limit of a long text, {reads}"
