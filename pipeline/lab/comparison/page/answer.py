"""The answer of a comparison in words: which variant is best, by how much, how sure that is, and what would decide the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pipeline.figures.words import formatted
from pipeline.lab.comparison.comparison import Comparison, Difference, Importance, Ruling
from pipeline.lab.comparison.page.variants import Variant, chance_text, counted, key, spread_text

Tone = Literal["good", "bad", "open"]
LUCKY = 8  # from so many variants on, the page says that the best of them owes something to luck


class Answer(NamedTuple):
    """The first thing on the page.

    Attributes:
        sentences: below the verdict.
        numbers: (name, value), for the row of boxes.
    """

    tone: Tone
    verdict: str
    sentences: list[str]
    numbers: list[tuple[str, str]]


class Faced(NamedTuple):
    """A difference as it looks from one of its two variants.

    Attributes:
        won: whether it is decided for this variant; None = undecided.
        lead: how much better it is, and the interval; None where that is not known.
        chance: that it is the better one.
    """

    difference: Difference
    won: bool | None
    lead: tuple[float, float, float] | None
    chance: float | None


def answer(comparison: Comparison, ordered: Sequence[Variant]) -> Answer:
    """The verdict.

    Args:
        ordered: the variants of the comparison, the best first.
    """
    scored = [one for one in ordered if one.mean is not None]
    tone, verdict = _verdict(comparison, ordered, scored)
    sentences = [*_on_differences(comparison), *_on_others(comparison, scored), *_on_knobs(comparison.importance)]
    broken = [one for one in ordered if one.diverged]
    if broken and scored:
        sentences.append(f"{counted(len(broken), 'variant')} diverged with at least one seed and cannot be the best.")
    if len(scored) >= LUCKY:
        sentences.append(
            f"The best of {len(scored)} looks better than it is, because luck helped to choose it: repeat it with new seeds."
        )
    return Answer(tone, verdict, sentences, _numbers(comparison, ordered, scored))


def _verdict(comparison: Comparison, ordered: Sequence[Variant], scored: Sequence[Variant]) -> tuple[Tone, str]:
    metric, most = comparison.metric, "lowest" if comparison.minimizes else "highest"
    if not scored:
        if any(one.diverged for one in ordered):
            return "bad", f"Every variant with a result diverged, so none has a {metric} to compare."
        return "open", f"No variant has a {metric} yet, so there is nothing to compare."
    best = scored[0]
    has = f"{spread_text(best.spread)} over {counted(best.seeds, 'seed')}"
    if len(scored) == 1:
        why = "it is the only variant" if len(ordered) == 1 else "no other variant has one that is finite"
        return "open", f"{best.label} has a {metric} of {has}. There is nothing to compare it with: {why}."
    following = scored[1]
    faced = next((one for one in _faced(comparison, best) if key(following.group) in _keys(one.difference)), None)
    leads = f"{best.label} has the {most} {metric}, {has}"
    if faced is None:
        gap = abs((following.mean or 0.0) - (best.mean or 0.0))
        return "open", (
            f"{leads}. The next is {following.label}, {formatted(gap)} {_worse(comparison)}; whether that is chance was not "
            f"asked, because this pair was not compared."
        )
    if faced.difference.ruling is Ruling.NOT_COMPARABLE:
        reason = faced.difference.reason.rstrip(".")
        return "open", f"{leads}, but it cannot be compared with {following.label}, the next{': ' if reason else ''}{reason}."
    if faced.won:
        return "good", f"{best.label} is the best of {len(scored)}: its {metric} is {has}, {_lead(comparison, faced)} the next, {following.label}. That is decided."
    chance = f" The chance that it is the better one is {chance_text(faced.chance)}." if faced.chance is not None else ""
    return "open", f"{leads}, but whether it is better than {following.label}, the next, is undecided: it is {_lead(comparison, faced)} it.{chance}"


def _lead(comparison: Comparison, faced: Faced) -> str:
    """How far a variant is ahead: 0.042 below (95 % interval: 0.02 to 0.06)."""
    side = "below" if comparison.minimizes else "above"
    if faced.lead is None or not math.isfinite(faced.lead[1]):
        return f"{side}"
    low, mean, high = faced.lead
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{formatted(mean)} (no interval: one seed) {side}"
    ends = f"{'−' * (low < 0)}{formatted(abs(low))} to {formatted(high)}"
    return f"{formatted(mean)} (95 % interval: {ends}) {side}"


def _worse(comparison: Comparison) -> str:
    return "higher" if comparison.minimizes else "lower"


def _keys(difference: Difference) -> set[object]:
    return {key(difference.first), key(difference.second)}


def _faced(comparison: Comparison, variant: Variant) -> Iterator[Faced]:
    """The differences that a variant is in, as they look from it."""
    own = key(variant.group)
    for one in comparison.differences:
        if own not in _keys(one):
            continue
        is_second = key(one.second) == own
        decided = one.ruling in (Ruling.BETTER, Ruling.WORSE)
        won = (one.ruling is Ruling.BETTER) == is_second if decided else None
        turned = is_second == comparison.minimizes  # what is below 0 is ahead
        lead = None
        if one.gap is not None:
            low, mean, high = one.gap
            lead = (-high, -mean, -low) if turned else (low, mean, high)
        chance = None if one.better is None else one.better if is_second else 1 - one.better
        yield Faced(one, won, lead, chance)


def _on_differences(comparison: Comparison) -> Iterator[str]:
    rulings = [one.ruling for one in comparison.differences]
    if not rulings:
        return
    decided = sum(one in (Ruling.BETTER, Ruling.WORSE) for one in rulings)
    parts = [f"{decided} decided"]
    parts += [f"{count} {ruling.value}" for ruling in (Ruling.UNDECIDED, Ruling.NOT_COMPARABLE) if (count := rulings.count(ruling))]
    yield f"Of {counted(len(rulings), 'difference')} between two variants: {', '.join(parts)}."


def _on_others(comparison: Comparison, scored: Sequence[Variant]) -> Iterator[str]:
    """Against how many variants the best one stands."""
    if len(scored) < 3:
        return
    faced = list(_faced(comparison, scored[0]))
    won, still = sum(one.won is True for one in faced), sum(one.difference.ruling is Ruling.UNDECIDED for one in faced)
    if faced:
        against = f"{won} of the {len(faced)} variants that it was compared with"
        yield f"{scored[0].label} is surely better than {against}{f'; against {still} nothing is decided' if still else ''}."


def _on_knobs(importance: Importance | None) -> Iterator[str]:
    if importance is None:
        return
    if importance.refused or not importance.shares:
        yield f"Which knob matters most is not known: {(importance.refused or 'there are no shares').rstrip('.')}."
        return
    name, share = next(iter(importance.shares.items()))
    low, high = max(share.low, 0.0), min(share.high, 1.0)
    yield (
        f"The knob that matters most is {name}: it explains {formatted(100 * share.mean, 2)} % of the differences "
        f"({formatted(100 * low, 2)} to {formatted(100 * high, 2)} %)."
    )


def _numbers(comparison: Comparison, ordered: Sequence[Variant], scored: Sequence[Variant]) -> list[tuple[str, str]]:
    numbers = [(f"best {comparison.metric}", formatted(scored[0].mean, 4))] if scored else []
    numbers += [
        ("variants", f"{len(ordered):,}"),
        ("experiments", f"{sum(len(one.group.experiments) for one in ordered):,}"),
    ]
    if comparison.differences:
        decided = sum(one.ruling in (Ruling.BETTER, Ruling.WORSE) for one in comparison.differences)
        numbers.append(("differences decided", f"{decided:,} of {len(comparison.differences):,}"))
    if broken := sum(one.diverged for one in ordered):
        numbers.append(("diverged experiments", f"{broken:,}"))
    return numbers
