"""Variants in the order of their scores, and how they, their knobs and their numbers are written; no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.figures.words import formatted, knob_text
from pipeline.lab.comparison.comparable import WITHOUT_EFFECT
from pipeline.lab.experiments.records import SEEDS, Group, Knob, State
from pipeline.lab.statistics.intervals import Interval, interval

Key = tuple[str, str]
"""What tells a variant from others: the commit and the name of its first experiment."""


@dataclass(frozen=True)
class Variant:
    """A group with what is written of it.

    Attributes:
        label: its name, which no other variant of the page has.
        what: the values of its first knobs that vary; "" where none do.
        scores: the finite ones, in the order of the seeds.
        spread: their mean and its 95 % interval; all infinite where a seed diverged; None without a score.
        diverged: how many seeds diverged.
    """

    group: Group
    label: str
    what: str
    scores: tuple[float, ...]
    spread: Interval | None
    diverged: int

    @property
    def named(self) -> str:
        """Its name and what it is."""
        return f"{self.label} ({self.what})" if self.what else self.label

    @property
    def mean(self) -> float | None:
        """The mean over seeds; None where there is none, or where a seed diverged."""
        return self.spread.mean if self.spread is not None and math.isfinite(self.spread.mean) else None

    @property
    def seeds(self) -> int:
        """How many seeds have a result, be it a score or that they diverged."""
        return len(self.scores) + self.diverged

    @property
    def state(self) -> str:
        """Such as "2 done, 1 queued"; "" where all are done."""
        counts = Counter(one.state for one in self.group.experiments)
        if set(counts) == {State.DONE}:
            return ""
        return ", ".join(f"{count} {state}" for state, count in counts.items())

    @property
    def findings(self) -> str:
        """What the doctor found in any of its seeds, each once."""
        return ", ".join(dict.fromkeys(one.finding for one in self.group.experiments if one.finding))


def variants(groups: Sequence[Group], metric: str, minimizes: bool, knobs: Sequence[str]) -> list[Variant]:
    """Groups as variants, the best first; those that diverged or have no score come last.

    Args:
        knobs: those that vary, the most telling first.
    """
    taken = Counter(group.name for group in groups)
    found = [_variant(group, metric, knobs, taken[group.name] > 1) for group in groups]
    sign = 1 if minimizes else -1

    def rank(one: Variant) -> tuple[int, float]:
        return (0, sign * one.mean) if one.mean is not None else (1 if one.diverged else 2, 0.0)

    return sorted(found, key=rank)


def _variant(group: Group, metric: str, knobs: Sequence[str], is_twin: bool) -> Variant:
    values = group.array(metric)
    finite = values[np.isfinite(values)]
    broken = sum(one.diverged or not np.isfinite(one.scores.get(metric, 0.0)) for one in group.experiments)
    spread = Interval(np.inf, np.inf, np.inf) if broken else interval(values) if len(values) else None
    first = group.experiments[0]
    label = f"{first.name} ({first.commit[:7]})" if is_twin and first.commit else first.name
    names = short_names(knobs)
    what = ", ".join(f"{names[knob]} {knob_text(group.knobs[knob])}" for knob in knobs[:4] if knob in group.knobs)
    return Variant(group, label, what, tuple(map(float, finite)), spread, broken)


def key(group: Group) -> Key:
    """See Key."""
    return group.experiments[0].commit, group.experiments[0].name


def varied(groups: Sequence[Group], first: Iterable[str] = ()) -> list[str]:
    """The knobs that have two values or more, those of `first` before the others, which must also change what is trained."""
    names = dict.fromkeys(name for group in groups for name in group.knobs if name not in SEEDS)
    differ = [name for name in names if len(_values(groups, name)) > 1]
    leading = [name for name in dict.fromkeys(first) if name in differ]
    return leading + [name for name in differ if name not in leading and not name.startswith(WITHOUT_EFFECT)]


def _values(groups: Sequence[Group], knob: str) -> set[tuple[bool, Knob]]:
    """The different values of a knob, of those that have it; True is not 1."""
    given = (group.knobs.get(knob) for group in groups)
    return {(isinstance(value, bool), value) for value in given if value is not None}


def short_names(knobs: Sequence[str]) -> dict[str, str]:
    """The names without their sections, where that leaves no two alike."""
    last = Counter(name.rpartition(".")[2] for name in knobs)
    return {name: tail if last[tail := name.rpartition(".")[2]] == 1 else name for name in knobs}


def change_text(knobs: Mapping[str, tuple[Knob, Knob]]) -> str:
    """What differs between two variants, such as "train.lr 0.003 → 0.01"."""
    return ", ".join(f"{name} {knob_text(one)} → {knob_text(other)}" for name, (one, other) in knobs.items())


def spread_text(spread: Interval | None, scores: Sequence[float] = ()) -> str:
    """2.531 ± 0.004; the mean alone of one seed."""
    if spread is None or not math.isfinite(spread.mean):
        return formatted(float(np.mean(scores)), 4) if scores else "–"
    half = (spread.high - spread.low) / 2
    if not math.isfinite(half) or not half:
        return formatted(spread.mean, 4)
    if (digits := digits_of(spread)) is None:
        return f"{formatted(spread.mean, 4)} ± {formatted(half, 2)}"
    return f"{spread.mean:,.{digits}f} ± {half:.{digits}f}"


def digits_of(spread: Interval) -> int | None:
    """How many decimals an interval has use for: two digits of half its width; None where they would be very many or none."""
    half = (spread.high - spread.low) / 2
    digits = 1 - math.floor(math.log10(half)) if math.isfinite(half) and half > 0 else -1
    return digits if 0 <= digits <= 6 else None


def signed(value: float, digits: int | None = None) -> str:
    """A difference with its sign, and a true minus; with so many decimals, if they are given."""
    size = formatted(abs(value)) if digits is None else f"{abs(value):,.{digits}f}"
    return ("+" if value > 0 else "−" if value < 0 else "") + size


def chance_text(chance: float) -> str:
    """A probability in percent, never a whole 0 or 100."""
    if chance > 0.999:
        return "over 99.9 %"
    if chance < 0.001:
        return "under 0.1 %"
    return f"{formatted(100 * chance, 3 if chance > 0.99 else 2)} %"


def sentence(text: str) -> str:
    """A line of a comparison as a sentence: a capital where it begins with a word, not with a name, and a full stop."""
    first = text.partition(" ")[0]
    text = text[0].upper() + text[1:] if first.isalpha() and first.islower() else text
    return text if not text or text[-1] in ".:?!" else f"{text}."


def counted(count: int, noun: str) -> str:
    """1 seed, 3 seeds."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
