"""The differences of a comparison, one row each: what differs, the interval around 0, the ruling, and what would decide it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.figures.words import formatted, knob_text
from pipeline.lab.comparison.comparison import Comparison, Difference, Ruling
from pipeline.lab.comparison.page.answer import Tone
from pipeline.lab.comparison.page.variants import (
    Key,
    Variant,
    chance_text,
    change_text,
    counted,
    digits_of,
    key,
    sentence,
    signed,
)
from pipeline.lab.statistics.intervals import Interval

MOST = 150  # rows of the page
OPEN = 12  # rows that are not folded away
WIDE = 5.0  # times the middle one of all intervals' ends: how far the drawing reaches at most
DECIDED = (Ruling.BETTER, Ruling.WORSE)
ORDER = (*DECIDED, Ruling.UNDECIDED, Ruling.NOT_COMPARABLE)


class Row(NamedTuple):
    """A difference as it is written.

    Attributes:
        change: the knobs that differ.
        low, mean, high: places on the drawing in percent, 50 = no difference; None without an interval, or beyond the drawing.
        cut_low, cut_high: whether the interval goes on beyond the drawing.
        gap: the difference of the means with its interval, in words.
        chance: that the second is better, in a sentence; "" = not known.
        facts: the same in short, the p-value, seeds, pairing; of what is decided also the reason.
        reason: why it is not comparable.
        advice: what would decide what is open, in words; `command` queues it.
    """

    tone: Tone
    change: str
    first: str
    second: str
    ruling: str
    low: float | None
    mean: float | None
    high: float | None
    cut_low: bool
    cut_high: bool
    gap: str
    chance: str
    facts: list[str]
    reason: str
    advice: str
    command: str


class Rows(NamedTuple):
    """The rows of the page: those of the best variant before others, the decided ones of each first.

    Attributes:
        reach: the number at the ends of the drawing.
        hidden: how many have no room.
        open: three that more experiments would decide: the best against the next, then others of the best, the soonest first.
    """

    rows: list[Row]
    reach: float
    hidden: int
    open: list[Row]


def rows(comparison: Comparison, named: Mapping[Key, Variant]) -> Rows:
    """The differences of a comparison.

    Those of the best variant come before others; decided ones from the largest down, then undecided ones from the nearest to a
    decision.

    Args:
        named: the variants of the page, the best of the comparison first.
    """
    first_two = list(named)[:2]
    reach = _reach([one.gap for one in comparison.differences if one.gap is not None])

    def leading(one: Difference) -> int:
        """-3: the best against the next; -2: the best against another; 0: without the best."""
        pair = (key(one.first), key(one.second))
        return -2 * (first_two[0] in pair) - (len(first_two) > 1 and set(pair) == set(first_two)) if first_two else 0

    def rank(one: Difference) -> tuple[bool, int, float]:
        size = abs(one.gap.mean) if one.gap is not None else 0.0
        is_decided = one.ruling in DECIDED
        return leading(one) == 0, 0 if is_decided else ORDER.index(one.ruling), -size if is_decided else one.needed or math.inf

    ordered = sorted(comparison.differences, key=rank)
    still = sorted(filter(_is_open, ordered), key=lambda one: (leading(one), one.needed or math.inf))
    shown = sorted(_fair(ordered), key=rank)
    return Rows(
        [_row(one, named, reach) for one in shown],
        reach,
        len(ordered) - len(shown),
        [_row(one, named, reach) for one in still[:3]],
    )


def _fair(ordered: Sequence[Difference]) -> list[Difference]:
    """At most MOST of them: where they do not all fit, half of the room is for those that are still open."""
    if len(ordered) <= MOST:
        return list(ordered)
    decided = [one for one in ordered if one.ruling in DECIDED]
    others = [one for one in ordered if one.ruling not in DECIDED]
    room = max(MOST // 2, MOST - len(others))
    return decided[:room] + others[: MOST - min(room, len(decided))]


def _reach(gaps: Sequence[Interval]) -> float:
    """How far the drawing reaches to each side of 0."""
    ends = sorted(max(abs(gap.low), abs(gap.high)) for gap in gaps if math.isfinite(gap.low) and math.isfinite(gap.high))
    means = [abs(gap.mean) for gap in gaps if math.isfinite(gap.mean)]
    within = min(ends[-1], WIDE * ends[len(ends) // 2]) if ends else 1.5 * max(means, default=0.0)
    return 1.05 * within or 1.0


def _row(one: Difference, named: Mapping[Key, Variant], reach: float) -> Row:
    labels = [named[key(group)].label if key(group) in named else group.name for group in (one.first, one.second)]
    tone: Tone = {Ruling.BETTER: "good", Ruling.WORSE: "bad"}.get(one.ruling, "open")  # type: ignore[assignment]
    low, mean, high = _places(one.gap, reach)
    is_open = _is_open(one)
    return Row(
        tone=tone,
        change=change_text(one.knobs),
        first=labels[0],
        second=labels[1],
        ruling=_ruling(one, labels[1]),
        low=low,
        mean=mean,
        high=high,
        cut_low=one.gap is not None and one.gap.low < -reach,
        cut_high=one.gap is not None and one.gap.high > reach,
        gap=_gap(one.gap),
        chance=_chance(one),
        facts=_facts(one),
        reason="" if is_open or one.ruling in DECIDED else sentence(one.reason),
        advice=_advice(one) if is_open else "",
        command=one.command,
    )


def _ruling(one: Difference, second: str) -> str:
    """Such as "0.01 is better"; where several knobs differ the variant is named instead."""
    if one.ruling in (Ruling.UNDECIDED, Ruling.NOT_COMPARABLE):
        return str(one.ruling.value).capitalize()
    what = (
        f"{(name := next(iter(one.knobs))).rpartition('.')[2]} {knob_text(one.knobs[name][1])}"
        if len(one.knobs) == 1
        else second
    )
    return f"{what} is {one.ruling.value}"


def _places(gap: Interval | None, reach: float) -> tuple[float | None, float | None, float | None]:
    if gap is None or math.isnan(gap.mean):
        return None, None, None
    low, mean, high = (50 + 50 * max(-1.0, min(1.0, end / reach)) for end in gap)
    return low, mean if abs(gap.mean) <= reach else None, high


def _gap(gap: Interval | None) -> str:
    if gap is None or not math.isfinite(gap.mean):
        return ""
    if not (math.isfinite(gap.low) and math.isfinite(gap.high)):
        return f"{signed(gap.mean)}, without an interval: one seed has no spread"
    digits = digits_of(gap)
    return f"{signed(gap.mean, digits)} ({signed(gap.low, digits)} to {signed(gap.high, digits)})"


def _chance(one: Difference) -> str:
    """That the second is better, in a sentence, with the correction for many differences."""
    if one.better is None:
        return ""
    text = f"the chance that the second is better is {chance_text(one.better)}"
    if one.adjusted is None or one.adjusted == one.p:
        return f"{text[0].upper()}{text[1:]}."
    return f"Taken alone, {text}; corrected for all differences, {_p(one.adjusted)}."


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {formatted(p, 2)}"


def _facts(one: Difference) -> list[str]:
    facts = [f"P(better) {chance_text(one.better)}"] if one.better is not None else []
    if (p := one.p if one.adjusted is None else one.adjusted) is not None:
        facts.append(f"{_p(p)}{'' if one.adjusted is None else ' (Holm)'}")
    counts = [len(group.values(one.metric)) for group in (one.first, one.second)]
    facts.append(f"{counts[0]} and {counts[1]} seeds" if counts[0] != counts[1] else f"{counted(counts[0], 'seed')} each")
    facts += ["in pairs" if one.pairing.is_earned else "not in pairs"] if one.pairing is not None else []
    return facts + ([one.reason] if one.ruling in DECIDED and one.reason else [])


def _is_open(one: Difference) -> bool:
    """Whether more experiments would decide it: it is undecided, or something is missing that a command brings."""
    return one.ruling is Ruling.UNDECIDED or bool(one.ruling is Ruling.NOT_COMPARABLE and one.command)


def _advice(one: Difference) -> str:
    """The reason, which says what is missing, or else the number of seeds."""
    if one.reason:
        return sentence(one.reason)
    if one.needed:
        return f"About {counted(one.needed, 'seed')} each in all would decide it, if the difference is as large as it looks."
    return "" if one.command else "No number of seeds that is worth running would decide it."
