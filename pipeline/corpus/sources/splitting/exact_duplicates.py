"""Which examples stand there again, and which of them with two labels? By a digest of each, for texts and images alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt64


class Duplicates(NamedTuple):
    """What stands there more than once.

    Attributes:
        first: of each example, the place at which one equal to it first stands.
        conflicting: whether one equal to it has another label.
        contradiction: the place of such an example, and the first one at which an equal one has another label; None where
            there is none.
    """

    first: Int[np.ndarray, " N"]
    conflicting: Bool[np.ndarray, " N"]
    conflict: tuple[int, int] | None

    @property
    def is_first(self) -> Bool[np.ndarray, " N"]:
        """Whether an example is the first of those that are equal."""
        return self.first == np.arange(len(self.first))


def find_duplicates(things: Int[np.ndarray, " N"], labels: Int[np.ndarray, " N"]) -> Duplicates:
    """Compare examples with each other.

    Args:
        things: a number for each example, the same for equal ones.
    """
    _, places, at = np.unique(things, return_index=True, return_inverse=True)
    first = places[at]
    other = labels != labels[first]
    conflicting = np.zeros(len(first), bool)
    conflicting[first[other]] = True
    again = int(np.argmax(other)) if other.any() else None
    return Duplicates(first, conflicting[first], None if again is None else (int(first[again]), again))


def number_digests(digests: UInt64[np.ndarray, "N K"]) -> Int[np.ndarray, " N"]:
    """A number for each digest, from 0 on; the same for equal ones."""
    order = np.lexsort(digests.T)
    numbers = np.empty(len(order), np.int64)
    new = np.any(digests[order[1:]] != digests[order[:-1]], axis=1)
    numbers[order] = np.cumsum(np.r_[0, new][: len(order)])
    return numbers
