"""Controls that cannot fail: those that the study's own claims exclude, found by a linear programme.

The unknowns are the true values of the measures in every cell. A claim limits them; where the claims and the control together
leave none, the control fails as soon as the claims hold, and rules out nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Unknown = Hashable
"""A cell of a measure (an int), or a tuple of what is derived from cells: ("best", cells), ("optimum", cells) and so on."""


@dataclass(frozen=True)
class Inequality:
    """The sum of factors times unknowns is at most `bound`."""

    factors: tuple[tuple[Unknown, float], ...]
    bound: float

    @classmethod
    def of(cls, factors: Mapping[Unknown, float], bound: float) -> Inequality:
        return cls(tuple(factors.items()), bound)


Alternatives = list[list[Inequality]]
"""What a claim says of the unknowns: all inequalities of at least one of these lists."""

Ranges = Mapping[Unknown, tuple[float, float]]
"""Where unknowns can lie; any other one can lie anywhere."""

MOST_COMBINATIONS = 64  # of alternatives; a study with more is not checked
TOLERANCE = 1e-6


def excluding(claims: Sequence[Alternatives], control: Alternatives, ranges: Ranges) -> list[int] | None:
    """Which claims, by number, exclude the control: a single one if one is enough, else all that share an unknown with it."""
    near = [number for number, claim in enumerate(claims) if _unknowns(claim) & _unknowns(control)]
    if not near:
        return None
    linked = set(near)
    while more := {
        number
        for number, claim in enumerate(claims)
        if number not in linked and any(_unknowns(claim) & _unknowns(claims[other]) for other in linked)
    }:
        linked |= more
    subsets = [[number] for number in near] + ([sorted(linked)] if len(linked) > 1 else [])
    return next((some for some in subsets if _excludes([claims[number] for number in some], control, ranges)), None)


def _unknowns(claim: Alternatives) -> set[Unknown]:
    """The unknowns of a claim, and the cells that they are derived from."""
    found = {unknown for inequalities in claim for one in inequalities for unknown, _ in one.factors}
    return found | {cell for unknown in found for cell in _cells_below(unknown)}


def _cells_below(unknown: Unknown) -> tuple[int, ...]:
    """The cells of which an unknown is the lowest."""
    return unknown[1] if isinstance(unknown, tuple) and unknown[0] == "best" else ()


def _excludes(claims: Sequence[Alternatives], control: Alternatives, ranges: Ranges) -> bool:
    """Whether the control cannot hold, or only with a claim exactly on its bound where else it would have room."""
    lowest = [_one_of(one) for one in set().union(*map(_unknowns, [*claims, control])) if _cells_below(one)]
    if _count([*claims, control, *lowest]) > MOST_COMBINATIONS:
        lowest = []  # then the lowest of a line is only known to be at most each of it, which excludes less
    if _count([*claims, control, *lowest]) > MOST_COMBINATIONS:
        return False
    alone = list(itertools.product(*claims, *lowest))
    both = list(itertools.product(*claims, control, *lowest))
    room = [_room(parts, None, ranges) for parts in both]
    if all(found is None for found in room):
        return any(_room(parts, None, ranges) is not None for parts in alone)
    return any(
        max((_room(parts, claim, ranges) or 0.0 for parts in alone), default=0.0) > TOLERANCE
        and max((_room(parts, claim, ranges) or 0.0 for parts in both), default=0.0) <= TOLERANCE
        for claim in range(len(claims))
    )


def _one_of(lowest: Unknown) -> Alternatives:
    """The lowest of some cells is not below all of them."""
    return [[Inequality.of({cell: 1.0, lowest: -1.0}, 0.0)] for cell in _cells_below(lowest)]


def _count(claims: Sequence[Alternatives]) -> int:
    return math.prod(map(len, claims))


def _room(parts: Sequence[list[Inequality]], eased: int | None, ranges: Ranges) -> float | None:
    """By how much of its bound one of the claims can be exceeded while all hold, at most 1; None where not all can hold."""
    from scipy.optimize import linprog

    unknowns = list(dict.fromkeys(unknown for part in parts for one in part for unknown, _ in one.factors))
    unknowns += [cell for unknown in list(unknowns) for cell in _cells_below(unknown) if cell not in unknowns]
    at = {unknown: number for number, unknown in enumerate(unknowns)}
    rows, bounds = [], []
    for number, part in enumerate(parts):
        for one in part:
            size = abs(one.bound) or 1.0
            row = np.zeros(len(unknowns) + 1)
            for unknown, factor in one.factors:
                row[at[unknown]] += factor / size
            row[-1] = number == eased
            rows.append(row)
            bounds.append(one.bound / size)
    for unknown in unknowns:
        for cell in _cells_below(unknown):
            row = np.zeros(len(unknowns) + 1)
            row[at[unknown]], row[at[cell]] = 1.0, -1.0
            rows.append(row)
            bounds.append(0.0)
    limits = [tuple(None if np.isinf(end) else end for end in ranges.get(one, (-np.inf, np.inf))) for one in unknowns]
    aim = np.zeros(len(unknowns) + 1)
    aim[-1] = -1.0
    solved = linprog(aim, np.array(rows), np.array(bounds), bounds=[*limits, (0, 1)])
    return float(solved.x[-1]) if solved.status == 0 else None
