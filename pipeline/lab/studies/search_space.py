"""A search: the knobs that it chooses and its budget, read from studies/*.yaml and validated.

Its scores make a grid like that of any study, found and fresh score by sampler, so that claims, tables and pages are the same.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pipeline.lab.studies.grid import Sweep, read_sweep
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

Values = Mapping[str, Any]
"""knob -> value: a point of the space."""

SCORES = ("found", "fresh")  # of a winner: that by which it was chosen, and that on seeds which had no part in the choice
SAMPLERS = ("tpe", "random")
FIRST_FRESH = 1000  # the seed from which on seeds are fresh, a block of so many for each search
MAX_RUNS = 100_000  # of a search
LARGEST = sys.float_info.max
DIGITS = 4  # significant ones of a value, so that a point can be typed as it is told
EDGE = 0.05  # from the end of a range, as a share of it: so near to it a better value may lie beyond

PARTS = ("knobs", "budget", "fresh", "batch")
RANGE_PARTS = ("low", "high", "scale")
UNITS = ("runs", "flops", "minutes")
SCALES = ("log", "linear")


@dataclass(frozen=True)
class Range:
    """A knob that is a number.

    Attributes:
        whole: only whole numbers; both ends were written as such.
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear"]
    whole: bool = False

    def value(self, at: float) -> float | int:
        """The value at a share of the way from low to high, 0 to 1; of whole numbers all are equally wide."""
        high = self.high + self.whole
        between = self.low * (high / self.low) ** at if self.scale == "log" else self.low + at * (high - self.low)
        if self.whole:
            return min(int(between), int(self.high))
        return min(max(float(f"{between:.{DIGITS}g}"), self.low), self.high)

    def is_at_edge(self, value: float) -> bool:
        """Whether it lies so near to an end that a better value may lie beyond."""
        if self.whole:
            return value in (self.low, self.high)
        ends = (self.low, value, self.high)
        low, here, high = (math.log(end) for end in ends) if self.scale == "log" else ends
        return not EDGE <= (here - low) / (high - low) <= 1 - EDGE

    def ends(self) -> tuple[Any, ...]:
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def text(self) -> str:
        return f"{self.low:g} to {self.high:g}, {self.scale}"


@dataclass(frozen=True)
class Choice:
    """A knob with some values that have no order."""

    name: str
    values: tuple[Any, ...]

    def value(self, at: float) -> Any:
        """The value at a share of the way through the list, 0 to 1."""
        return self.values[min(int(at * len(self.values)), len(self.values) - 1)]

    def is_at_edge(self, value: Any) -> bool:
        return False

    def ends(self) -> tuple[Any, ...]:
        return self.values

    def text(self) -> str:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in self.values)


Parameter = Range | Choice


class Budget(NamedTuple):
    """How much a single search may use: runs, FLOPs by the estimate of `rally budget`, or minutes of one core."""

    unit: Literal["runs", "flops", "minutes"]
    amount: float


@dataclass(frozen=True)
class Search:
    """Searches for the best values of some knobs: by each sampler one for each seed, all with the same budget.

    Attributes:
        budget: of each search.
        fresh: on so many seeds that had no part in the choice each winner is scored again.
        batch: so many points are asked at once, before their scores are known.
        sweep: the grid of the scores, with its measure, claims and seeds: the axes are the score and the sampler.
    """

    space: tuple[Parameter, ...]
    budget: Budget
    fresh: int
    batch: int
    sweep: Sweep

    @property
    def measure(self) -> str:
        return self.sweep.measures[0]

    def fresh_seeds(self, seed: int) -> tuple[int, ...]:
        """The seeds on which the winners of a search are scored again; no other search has them."""
        first = FIRST_FRESH * (seed + 1) + 1
        return tuple(range(first, first + self.fresh))

    def corners(self) -> list[dict[str, Any]]:
        """Points that together have every end of a range and every choice, one knob away from the first of them."""
        first = {knob.name: knob.ends()[0] for knob in self.space}
        return [first, *({**first, knob.name: end} for knob in self.space for end in knob.ends()[1:])]

    def middle(self) -> dict[str, Any]:
        return {knob.name: knob.value(0.5) for knob in self.space}


# --------------------------------------------------------------------------------------------------------------- reading


def read_search(content: Any, parts: Mapping[str, Any]) -> Search:
    """The part `search` of an entry of studies/, and the parts that it shares with a grid.

    Args:
        parts: seeds, measure, check, seen, draws.

    Raises:
        UserError: with one line for each part that cannot be used.
    """
    problems: list[str] = []
    if not isinstance(content, dict) or not isinstance(content.get("knobs"), dict) or not content["knobs"]:
        raise UserError("search: holds no knobs (knobs: {train.lr: {low: 1.0e-4, high: 0.1, scale: log}, …})")
    problems += [f"search.{word}: there is no such part. {suggest(str(word), PARTS)}" for word in content if word not in PARTS]
    problems += [f"{part}: a search has none; leave it out" for part in ("vary", "bench", "shows") if part in parts]
    space = [_parameter(str(name), way, problems) for name, way in content["knobs"].items()]
    budget = _budget(content.get("budget"), problems)
    counts = {part: content.get(part, default) for part, default in (("fresh", 5), ("batch", 1))}
    for part, least in (("fresh", 2), ("batch", 1)):
        if not (type(counts[part]) is int and least <= counts[part] < FIRST_FRESH):
            problems.append(f"search.{part}: {counts[part]!r} is not a whole number from {least} to {FIRST_FRESH - 1}")
    measures = parts.get("measure")
    if isinstance(measures, list) and len(measures) != 1:
        problems.append(f"measure: a search is for the best value of one measure, not {len(measures)}; name one")
    if problems:
        raise UserError(*problems)
    sweep = read_sweep({"vary": {"score": [*SCORES], "sampler": [*SAMPLERS]}, **parts})
    check_seeds(sweep.seeds)
    return Search(tuple(filter(None, space)), budget, counts["fresh"], counts["batch"], sweep)


def check_seeds(seeds: Sequence[int]) -> None:
    """Check that no search has a seed that is fresh for another.

    Raises:
        UserError: one has.
    """
    if wrong := [seed for seed in seeds if not 0 <= seed < FIRST_FRESH]:
        raise UserError(
            f"seeds: {wrong[0]} is not from 0 to {FIRST_FRESH - 1}; on those above it the winners of a search are scored again"
        )


def _parameter(name: str, way: Any, problems: list[str]) -> Parameter | None:
    where = f"search.knobs.{name}"
    if name in ("seed", "prepare.seed"):
        problems.append(f"{where}: the seed is nothing to search for: its best value would be luck; leave it out")
        return None
    if isinstance(way, list) and len(way) > 1:
        if len({*map(repr, way)}) < len(way):
            problems.append(f"{where}: {way!r} has a value twice; name each once")
        return Choice(name, tuple(way))
    if not isinstance(way, dict) or not {"low", "high"} <= way.keys():
        problems.append(f"{where}: {way!r} is not {{low: 1.0e-4, high: 0.1, scale: log}}, nor a list of two values or more")
        return None
    problems += [
        f"{where}.{word}: there is no such part. {suggest(str(word), RANGE_PARTS)}" for word in way if word not in RANGE_PARTS
    ]
    low, high, scale = way["low"], way["high"], way.get("scale", "log")
    if scale not in SCALES:
        problems.append(f"{where}.scale: there is no '{scale}'. {suggest(str(scale), SCALES)}")
    elif not all(_is_number(end) for end in (low, high)) or low >= high or math.isinf(float(high) - float(low)):
        problems.append(f"{where}: {low!r} to {high!r} is not a range; use two numbers, the lower one first")
    elif scale == "log" and low <= 0:
        problems.append(f"{where}.low: {low!r} has no logarithm; use a number above 0, or scale: linear")
    else:
        return Range(name, low, high, scale, whole=type(low) is int and type(high) is int)
    return None


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float holds; YAML has larger whole ones."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def _budget(content: Any, problems: list[str]) -> Budget:
    if not (isinstance(content, dict) and len(content) == 1):
        problems.append("search.budget: is not one of {runs: 30}, {flops: 1.0e+13}, {minutes: 5}, for each search")
        return Budget("runs", 1)
    [(unit, amount)] = content.items()
    if unit not in UNITS:
        problems.append(f"search.budget: there is no '{unit}'. {suggest(str(unit), UNITS)}")
    elif not (_is_number(amount) and amount > 0) or (unit == "runs" and type(amount) is not int):
        problems.append(f"search.budget.{unit}: {amount!r} is not a {'whole ' * (unit == 'runs')}number above 0")
    elif unit == "runs" and amount > MAX_RUNS:
        problems.append(f"search.budget.runs: {amount!r} are more than {MAX_RUNS}; use fewer")
    return Budget(unit, amount)
