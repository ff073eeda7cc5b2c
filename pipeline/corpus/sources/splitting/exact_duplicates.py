"""Exact duplicates among labelled examples, and those with two labels, by a digest of each; for texts and for images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt64


class Duplicates(NamedTuple):
    """The duplicates among some examples.

    Attributes:
        first: of each example, the place of the first one that equals it.
        conflicting: of each example, whether one that equals it has another label.
        conflict: the places of two equal examples with different labels; None if there are none.
    """

    first: Int[np.ndarray, " N"]
    conflicting: Bool[np.ndarray, " N"]
    conflict: tuple[int, int] | None

    @property
    def is_first(self) -> Bool[np.ndarray, " N"]:
        """Of each example, whether it is the first of those that are equal."""
        return self.first == np.arange(len(self.first))


def find_duplicates(numbers: Int[np.ndarray, " N"], labels: Int[np.ndarray, " N"]) -> Duplicates:
    """Find the duplicates among examples.

    Args:
        numbers: of each example, the same for equal ones.
        labels: of each example.
    """
    _, places, at = np.unique(numbers, return_index=True, return_inverse=True)
    first = places[at]
    other = labels != labels[first]
    conflicting = np.zeros(len(first), bool)
    conflicting[first[other]] = True
    again = int(np.argmax(other)) if other.any() else None
    return Duplicates(first, conflicting[first], None if again is None else (int(first[again]), again))


def number_digests(digests: UInt64[np.ndarray, "N K"]) -> Int[np.ndarray, " N"]:
    """A number for each digest, from 0 on, the same for equal ones."""
    order = np.lexsort(digests.T)
    numbers = np.empty(len(order), np.int64)
    new = np.any(digests[order[1:]] != digests[order[:-1]], axis=1)
    numbers[order] = np.cumsum(np.r_[0, new][: len(order)])
    return numbers
