"""The answer of a comparison in words: which variant is best, by how much, how sure that is, and what would decide the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Literal, NamedTuple

from pipeline.figures.words import formatted
from pipeline.lab.comparison.comparison import Comparison, Difference, Importance, Ruling
from pipeline.lab.comparison.page.variants import Variant, chance_text, counted, digits_of, key, sentence, signed, spread_text
from pipeline.lab.statistics.intervals import Interval

Tone = Literal["good", "bad", "open"]
LUCKY = 8  # from so many variants on, the page says that the best of them owes something to luck


class Answer(NamedTuple):
    """The first thing on the page.

    Attributes:
        lead: the numbers behind the verdict.
        command: what answers it, where the comparison did not ask; "" = nothing.
        sentences: below the verdict.
        numbers: (name, value), for the row of boxes.
    """

    tone: Tone
    verdict: str
    lead: str
    command: str
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
    lead: Interval | None
    chance: float | None


def answer(comparison: Comparison, ordered: Sequence[Variant]) -> Answer:
    """The verdict.

    Args:
        ordered: the variants of the comparison, the best first.
    """
    scored = [one for one in ordered if one.mean is not None]
    tone, verdict, lead = _verdict(comparison, ordered, scored)
    command = "" if len(scored) < 2 or _between(comparison, scored) else _ask(scored)
    sentences = [*_on_differences(comparison), *_on_others(comparison, scored), *_on_knobs(comparison.importance)]
    broken = [one for one in ordered if one.diverged]
    if broken and scored:
        sentences.append(f"{counted(len(broken), 'variant')} diverged with at least one seed and cannot be the best.")
    if len(scored) >= LUCKY:
        sentences.append(
            f"The best of {len(scored)} looks better than it is, because luck helped to choose it: repeat it with new seeds."
        )
    return Answer(tone, verdict, lead, command, sentences, _numbers(comparison, ordered, scored))


def _verdict(comparison: Comparison, ordered: Sequence[Variant], scored: Sequence[Variant]) -> tuple[Tone, str, str]:
    """The tone, the sentence, and the numbers behind it."""
    metric, most = comparison.metric, "lowest" if comparison.minimizes else "highest"
    if not scored:
        if any(one.diverged for one in ordered):
            return "bad", f"Every variant with a result diverged, so none has a {metric} to compare.", ""
        return "open", f"No variant has a {metric} yet, so there is nothing to compare.", ""
    best = scored[0]
    has = f"{metric} {spread_text(best.spread)} over {counted(best.seeds, 'seed')}"
    if len(scored) == 1:
        why = "it is the only variant" if len(ordered) == 1 else f"no other variant has a finite {metric}"
        return "open", f"There is nothing to compare {best.named} with: {why}.", sentence(has)
    following = scored[1]
    faced = _between(comparison, scored)
    leads, after = f"{best.named} has the {most} {metric}", f"the next, {following.named}"
    has = f"{has}; {_lead(faced, best, following)}"
    if faced is None:
        return "open", f"{leads}. It was not compared with {after}, so its lead may be chance.", sentence(has)
    if faced.difference.ruling is Ruling.NOT_COMPARABLE:
        reason = faced.difference.reason.rstrip(".")
        return "open", f"{leads}, but cannot be compared with {after}{': ' if reason else ''}{reason}.", sentence(has)
    alone = "taken alone, " if len(comparison.differences) > 1 else ""
    chance = f"; {alone}the chance that it is the better one is {chance_text(faced.chance)}" if faced.chance is not None else ""
    if faced.won:
        return "good", f"Decided: {best.named} is the best of {len(scored)}, ahead of {after}.", sentence(f"{has}{chance}")
    return "open", f"Undecided: {leads}, but may be no better than {after}.", sentence(f"{has}{chance}")


def _between(comparison: Comparison, scored: Sequence[Variant]) -> Faced | None:
    """The difference of the best and the next; None where there is none."""
    return next((one for one in _faced(comparison, scored[0]) if key(scored[1].group) in _keys(one.difference)), None)


def _ask(scored: Sequence[Variant]) -> str:
    """What compares the best two; of two experiments with one name, by their commits."""
    firsts = [one.group.experiments[0] for one in scored[:2]]
    names = [one.name if of.label == one.name else one.commit[:8] for of, one in zip(scored, firsts, strict=False)]
    return f"rally compare {' '.join(map(quote, names))}"


def _lead(faced: Faced | None, best: Variant, following: Variant) -> str:
    """How far a variant is ahead: ahead by 0.042 (95 % interval: 0.020 to 0.064)."""
    if faced is None or faced.lead is None or not math.isfinite(faced.lead.mean):
        return f"ahead by {formatted(abs((following.mean or 0.0) - (best.mean or 0.0)))}, without an interval"
    low, mean, high = faced.lead
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"ahead by {formatted(mean)}, without an interval: one seed each has no spread"
    digits = digits_of(faced.lead)
    texts = [signed(end, digits).removeprefix("+") for end in (mean, low, high)]
    return f"ahead by {texts[0]} (95 % interval: {texts[1]} to {texts[2]})"


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
            lead = Interval(-high, -mean, -low) if turned else one.gap
        chance = None if one.better is None else one.better if is_second else 1 - one.better
        yield Faced(one, won, lead, chance)


def _on_differences(comparison: Comparison) -> Iterator[str]:
    rulings = [one.ruling for one in comparison.differences]
    if not rulings:
        return
    decided = sum(one in (Ruling.BETTER, Ruling.WORSE) for one in rulings)
    parts = [f"{decided} decided"]
    parts += [
        f"{count} {ruling.value}" for ruling in (Ruling.UNDECIDED, Ruling.NOT_COMPARABLE) if (count := rulings.count(ruling))
    ]
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
    if comparison.importance and not comparison.importance.refused and comparison.importance.shares:
        name, share = next(iter(comparison.importance.shares.items()))
        numbers.append((f"matters most: {formatted(100 * share.mean, 2)} %", name.rpartition(".")[2]))
    return numbers
