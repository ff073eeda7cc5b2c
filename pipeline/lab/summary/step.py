"""A thing to try next: its command, what it costs and why; and which of many come first."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

MOST = 5  # steps on a page
MOST_OF_A_KIND = 2  # so that one rule does not fill the page


class Kind(IntEnum):
    """The rules, in the order in which what they find can change a conclusion.

    An edge comes first: then the best variant is hardly the best one there is, and all that is said of it falls with it. Of the
    last ones the conclusion stays, but its reason may be another.
    """

    EDGE = 0
    UNDECIDED = 1
    INTERACTION = 2
    SURPRISE = 3
    FINDING = 4
    CONFOUNDED = 5


@dataclass(frozen=True)
class Step:
    """What to try next.

    Attributes:
        command: one line, or two that belong together.
        cost: such as "9 runs of 1,500 steps".
        reason: in a sentence.
        about_best: it concerns the best variant of its setting, so that it can change the conclusion.
        urgency: of steps of one kind the larger comes first.
    """

    kind: Kind
    command: str
    cost: str
    reason: str
    about_best: bool = True
    urgency: float = 0.0

    @property
    def why(self) -> str:
        """The reason and the cost as sentences."""
        return f"{self.reason[:1].upper()}{self.reason[1:]}. Cost: {self.cost}."


def ranked(steps: Iterable[Step], accepts: Callable[[str], bool] = lambda command: True) -> list[Step]:
    """The MOST steps that could change a conclusion most: about the best variant before others, then by kind.

    Args:
        accepts: whether a command can be typed as it stands; others are left out.
    """
    ordered = sorted(steps, key=lambda one: (not one.about_best, one.kind, -one.urgency, one.command))
    chosen: list[Step] = []
    for one in ordered:
        if len(chosen) == MOST:
            break
        taken = {line for other in chosen for line in other.command.splitlines()}
        if sum(other.kind is one.kind for other in chosen) == MOST_OF_A_KIND or taken & {*one.command.splitlines()}:
            continue  # two steps with a line in common would queue it twice
        if accepts(one.command):
            chosen.append(one)
    return chosen


def runs_of(command: str) -> int:
    """How many trainings a command queues: the product of the values of each -S, over its lines.

    >>> runs_of("./run dvc exp run --queue -n a -S train.lr=0.1,0.2 -S seed=1,2,3")
    6
    """
    count = 0
    for line in command.splitlines():
        words = words_of(line)
        values = [words[at + 1].partition("=")[2] for at, word in enumerate(words[:-1]) if word in ("-S", "--set-param")]
        count += math.prod(len(re.findall(r"(?:\[[^\]]*\]|'[^']*'|\"[^\"]*\"|[^,])+", value)) or 1 for value in values)
    return count


def words_of(line: str) -> list[str]:
    """The words of a line of a command; none where a quote stays open, because the value of a knob holds a line break."""
    try:
        return shlex.split(line)
    except ValueError:
        return []


def cost_of(command: str, steps: object = None) -> str:
    """Such as "6 runs of 1,500 steps"; a duration would differ from machine to machine, and so would the page.

    Args:
        steps: train.steps of the variant, for the lines of the command that do not set it.
    """
    count = runs_of(command)
    said = [re.search(r"train\.steps=([\d,]+)", line) for line in command.splitlines()]
    lengths = {int(number) for one in said if one for number in one[1].split(",") if number}
    if None in said and isinstance(steps, int) and steps:
        lengths.add(steps)
    runs = f"{count} run{'s' * (count != 1)}"
    if not lengths:
        return runs
    ends = " to ".join(f"{end:,}" for end in sorted({min(lengths), max(lengths)}))
    return f"{runs} of {ends} step{'s' * (lengths != {1})}"
