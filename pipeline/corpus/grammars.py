"""The rules of generated texts, each as the share of a text that follows it, to test whether a model has learned them.

The card of a data set names its rule, see `Card.grammar`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

Grammar = Callable[[Sequence[str]], float]
"""The share of some documents that follows the rule, 0 .. 1; nan if there are no documents."""

SUM = re.compile(r"(\d+)\+(\d+)=(\d+)\n")
PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
SHORTEST, LONGEST = 8, 32  # symbols of a repeated block


def sums(documents: Sequence[str]) -> float:
    """The share of the documents that are correct sums, such as 012+934=0946."""
    return _share([_adds_up(document, reverse=False) for document in documents])


def reversed_sums(documents: Sequence[str]) -> float:
    """The same, with the digits of the result in reverse order."""
    return _share([_adds_up(document, reverse=True) for document in documents])


def _adds_up(document: str, *, reverse: bool) -> bool:
    if not (found := SUM.fullmatch(document)):
        return False
    one, other, total = found.groups()
    return int(one) + int(other) == int(total[::-1] if reverse else total)


def brackets(documents: Sequence[str]) -> float:
    """The share of the documents that are balanced: every bracket closes the one opened last, and none is left open."""
    return _share([_balanced(document) for document in documents])


def _balanced(document: str) -> bool:
    if len(document) < 2 or not document.endswith("\n"):
        return False
    expected = list[str]()
    for bracket in document[:-1]:
        if bracket in PAIRS:
            expected.append(PAIRS[bracket])
        elif not expected or expected.pop() != bracket:
            return False
    return not expected


def repeated_share(documents: Sequence[str]) -> float:
    """The share of the symbols that are in a block of 8 to 32 symbols written twice in a row, in the best choice of such blocks
    that do not overlap. For generated text it is below 1 by the blocks that both ends of a document cut off.
    """
    covered = [_covered(document) for document in documents]
    size = sum(map(len, documents))
    return sum(covered) / size if size else math.nan


def _covered(text: str) -> int:
    """The most symbols that repeated blocks can cover."""
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
    "doubled": repeated_share,
}
