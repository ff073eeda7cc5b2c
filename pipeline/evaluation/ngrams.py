"""Interpolated n-grams with modified Kneser-Ney smoothing over whole arrays, no torch.

The n-grams of one length are one sorted table, each keyed by the rank of its context in the previous table and its last
token, so that keys fit 64 bits for any vocabulary and length, and a table is built with one sort.

Source: Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1999, section 3: the
interpolated form, and discounts from the counts of counts. Kneser and Ney, "Improved backing-off for m-gram language
modeling", 1995: a shorter n-gram counts the different tokens that it follows, not its occurrences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer]  # tokens
Keys = NDArray[np.int64]
Counts = NDArray[np.int64]
Ranks = NDArray[np.int32]  # positions in a table of n-grams; UNSEEN for an n-gram that is not there
Probabilities = NDArray[np.float64]

UNSEEN = -1


@dataclass(frozen=True)
class Prediction:
    """The prediction of each token of a stream but the first from those before it, [tokens - 1]."""

    probability: Probabilities  # of the actual token
    guess: Ids  # the likeliest token


def predictions(train: Ids, streams: Sequence[Ids], vocabulary: int, order: int) -> Iterator[list[Prediction]]:
    """Predict streams with n-grams counted in `train`: of length 1 alone, of lengths up to 2, … up to `order`.

    Needs at most 150 bytes of memory per training token, whatever the order.

    Yields:
        for each maximum length, one prediction per stream.
    """
    order = min(order, len(train))
    table, below = _Table.empty(train, vocabulary), _Estimate.uniform(vocabulary)
    readers = [_Reader.of(stream, below) for stream in streams]
    table = table.extended(train)
    for length in range(1, order + 1):
        readers = [reader.extended(table) for reader in readers]
        whole = _estimate(table, table.counts, below)
        yield [reader.prediction(whole) for reader in readers]
        del whole
        if length < order:
            longer = table.extended(train)
            ways = np.bincount(longer.suffixes, minlength=len(table.keys))
            below = _estimate(table, ways, below)
            readers = [reader.updated(below) for reader in readers]
            table = longer


@dataclass(frozen=True)
class _Table:
    """The n-grams of one length in the training tokens.

    Attributes:
        keys: [grams], sorted: the rank of the context (all but the last token) times the vocabulary, plus the last token.
        counts: [grams], how often each occurs.
        suffixes: [grams], the rank of all but the first token, in the previous table.
        ranks: [places], the n-gram that begins at each training token.
        context_suffixes: [contexts], the same as suffixes for each n-gram of the previous table.
    """

    vocabulary: int
    keys: Keys
    counts: Counts
    suffixes: Ranks
    ranks: Ranks
    context_suffixes: Ranks

    @classmethod
    def empty(cls, train: Ids, vocabulary: int) -> _Table:
        """Length 0: only the empty n-gram."""
        here, everywhere = np.zeros(1, np.int32), np.zeros(len(train) + 1, np.int32)
        return cls(vocabulary, here.astype(np.int64), np.array([len(train) + 1]), here, everywhere, here)

    def extended(self, train: Ids) -> _Table:
        """The n-grams that are one token longer."""
        keys = self.keys_after(self.ranks[:-1], train)
        order = np.argsort(keys)
        keys = keys[order]
        first = np.concatenate(([True], keys[1:] != keys[:-1]))
        ranks = np.empty(len(keys), np.int32)
        ranks[order] = np.cumsum(first, dtype=np.int32) - 1
        begins = np.flatnonzero(first)
        counts = np.diff(begins, append=len(keys))
        return _Table(self.vocabulary, keys[begins], counts, self.ranks[order[begins] + 1], ranks, self.suffixes)

    def keys_after(self, contexts: Ranks, tokens: Ids) -> Keys:
        """Keys in the next table: the context that begins at place i, and the token after it, for as many as there are."""
        return contexts.astype(np.int64) * self.vocabulary + tokens[len(tokens) - len(contexts) :].astype(np.int64)

    def find(self, keys: Keys) -> Ranks:
        """The ranks of n-grams by their keys."""
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, UNSEEN).astype(np.int32)


@dataclass(frozen=True)
class _Estimate:
    """The interpolated estimate of the n-grams of one length and all shorter ones.

    Attributes:
        probability: [grams], of the last token of each after its context.
        rest: [contexts], the factor of the shorter estimate for a token that was never seen after the context.
        best, guess: [contexts], the probability of the likeliest token after each, seen there or not, and that token.
    """

    probability: Probabilities
    rest: Probabilities
    best: Probabilities
    guess: Ids

    @classmethod
    def uniform(cls, vocabulary: int) -> _Estimate:
        """Length 0: all tokens are equally likely."""
        each = np.full(1, 1 / vocabulary)
        return cls(each, np.ones(1), each, np.zeros(1, np.int32))


def _estimate(table: _Table, counts: Counts, below: _Estimate) -> _Estimate:
    """The n-grams of one length, interpolated with the estimate of those that are one token shorter.

    Args:
        counts: [grams], of occurrences; below the longest length, of different tokens before each n-gram.
    """
    contexts = (table.keys // table.vocabulary).astype(np.int32)
    discount = _discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(contexts, counts, len(table.context_suffixes))
    rest = np.bincount(contexts, discount, len(table.context_suffixes)) / np.maximum(total, 1)
    rest[total == 0] = 1  # the context at the very end of the training tokens, which nothing follows
    probability = (counts - discount) / np.maximum(total, 1)[contexts]
    probability += rest[contexts] * below.probability[table.suffixes]
    return _Estimate(probability, rest, *_likeliest(table, contexts, probability, rest, below))


def _likeliest(
    table: _Table, contexts: Ranks, probability: Probabilities, rest: Probabilities, below: _Estimate
) -> tuple[Probabilities, Ids]:
    """The likeliest token after each context: one that was seen there, or else the likeliest after the shorter context.

    If the latter was seen as well, its interpolated probability is higher than its rest, and the maximum is still correct.
    """
    best, guess = rest * below.best[table.context_suffixes], below.guess[table.context_suffixes]
    begins = np.flatnonzero(np.diff(contexts, prepend=-1))
    highest = np.maximum.reduceat(probability, begins)
    there, better = contexts[begins], highest >= best[contexts[begins]]
    at_highest = np.flatnonzero(probability == np.repeat(highest, np.diff(begins, append=len(contexts))))
    first = at_highest[np.searchsorted(at_highest, begins)]  # of equals
    best[there[better]] = highest[better]
    guess[there[better]] = table.keys[first[better]] % table.vocabulary
    return best, guess


def _discounts(counts: Counts) -> Probabilities:
    """The discount of an n-gram of count 0, 1, 2, or 3 and more, in favour of the tokens that were not seen there.

    The estimates of Chen and Goodman from the number of n-grams of count 1, 2, 3 and 4; 0.5 where these are too few.
    """
    once, twice, thrice, four = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return np.array([0.0, 0.5, 0.5, 0.5])
    share = once / (once + 2 * twice)
    estimates = [1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four / thrice]
    return np.array([0.0, *(np.clip(estimate, 0.01, most) for most, estimate in enumerate(estimates, start=1))])


@dataclass(frozen=True)
class _Reader:
    """A stream and its predictions so far.

    Attributes:
        contexts, ranks: [places], the context that begins at each token, and the n-gram.
        probability, guess: [tokens], by the n-grams shorter than the current length.
    """

    stream: Ids
    contexts: Ranks
    ranks: Ranks
    probability: Probabilities
    guess: Ids

    @classmethod
    def of(cls, stream: Ids, below: _Estimate) -> _Reader:
        nothing = np.zeros(len(stream) + 1, np.int32)
        return cls(stream, nothing, nothing, np.repeat(below.probability, len(stream)), np.repeat(below.guess, len(stream)))

    def extended(self, table: _Table) -> _Reader:
        """Look up the n-grams that are one token longer."""
        contexts = self.ranks[:-1]
        ranks = table.find(table.keys_after(contexts, self.stream))  # an unseen context has a key below 0
        return replace(self, contexts=contexts, ranks=ranks)

    def updated(self, estimate: _Estimate) -> _Reader:
        """The estimate replaces that of shorter n-grams where it has the context."""
        probability, guess = self.probability.copy(), self.guess.copy()
        begin = len(self.stream) - len(self.contexts)  # earlier tokens have too short a context
        met, seen = self.contexts != UNSEEN, self.ranks != UNSEEN
        probability[begin:][met] *= estimate.rest[self.contexts[met]]
        probability[begin:][seen] = estimate.probability[self.ranks[seen]]
        guess[begin:][met] = estimate.guess[self.contexts[met]]
        return replace(self, probability=probability, guess=guess)

    def prediction(self, estimate: _Estimate) -> Prediction:
        updated = self.updated(estimate)
        return Prediction(updated.probability[1:], updated.guess[1:])
