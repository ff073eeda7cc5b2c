"""Which rule does generated text keep, and how much of some text keeps it? For whoever asks whether a model has learned it.

The card of a data set names its rule; see `Card.grammar`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

Grammar = Callable[[Sequence[str]], float]
"""The share of some documents that keeps the rule; not a number where there is none to look at."""

SUM = re.compile(r"(\d+)\+(\d+)=(\d+)\n")
PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
SHORTEST, LONGEST = 8, 32  # symbols of a block that is written twice


def sums(documents: Sequence[str]) -> float:
    """The share of the documents that are sums such as 012+934=0946 and right."""
    return _share([_adds_up(document, reverse=False) for document in documents])


def reversed_sums(documents: Sequence[str]) -> float:
    """The same of sums whose result begins with its last digit."""
    return _share([_adds_up(document, reverse=True) for document in documents])


def _adds_up(document: str, *, reverse: bool) -> bool:
    if not (found := SUM.fullmatch(document)):
        return False
    one, other, total = found.groups()
    return int(one) + int(other) == int(total[::-1] if reverse else total)


def brackets(documents: Sequence[str]) -> float:
    """The share of the documents in which every bracket closes the one that was opened last, and none is left open."""
    return _share([_balanced(document) for document in documents])


def _balanced(document: str) -> bool:
    if len(document) < 2 or not document.endswith("\n"):
        return False
    waiting = list[str]()
    for bracket in document[:-1]:
        if bracket in PAIRS:
            waiting.append(PAIRS[bracket])
        elif not waiting or waiting.pop() != bracket:
            return False
    return not waiting


def doubled(documents: Sequence[str]) -> float:
    """The share of the symbols that lie in a block of 8 to 32 that is written twice; blocks that do not overlap, as many as
    there can be. Text of the generator falls short of 1 by what is cut off at both ends of each document.
    """
    covered = [_covered(document) for document in documents]
    size = sum(map(len, documents))
    return sum(covered) / size if size else math.nan


def _covered(text: str) -> int:
    """The most symbols that blocks written twice can cover."""
    most = [0] * (len(text) + 1)
    for end in range(1, len(text) + 1):
        most[end] = most[end - 1]
        for size in range(SHORTEST, min(LONGEST, end // 2) + 1):
            if text[end - 2 * size : end - size] == text[end - size : end]:
                most[end] = max(most[end], most[end - 2 * size] + 2 * size)
    return most[-1]


def _share(kept: Sequence[bool]) -> float:
    return sum(kept) / len(kept) if kept else math.nan


GRAMMARS: dict[str, Grammar] = {
    "sums": sums,
    "reversed_sums": reversed_sums,
    "brackets": brackets,
    "doubled": doubled,
}
