"""Variants compared: what is a difference and what is noise, what cannot be compared, and how many seeds would tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pipeline.figures.words import formatted
from pipeline.lab.comparison.comparable import (
    differing,
    diverged,
    minimizes,
    same_code,
    tokens_differ,
    unequal_tuning,
    unfinished,
    why_not,
    without_scores,
)
from pipeline.lab.comparison.comparison import Comparison, Difference, Ruling
from pipeline.lab.comparison.importance import importance
from pipeline.lab.comparison.interactions import interactions
from pipeline.lab.comparison.more_seeds import more_seeds, queue_line, shared_knobs
from pipeline.lab.experiments.records import Group, Knob
from pipeline.lab.statistics.differences import MOST_SEEDS, Evidence, evidence, holm
from pipeline.lab.statistics.intervals import ALPHA
from pipeline.params.errors import UserError
from pipeline.params.names import suggest

Pairs = Literal["all", "one knob"]
FIRST_SEEDS = 3  # where there is one seed, nothing says how many would tell


def compare(
    groups: Sequence[Group],
    metric: str | None = None,
    pairs: Pairs = "all",
    *,
    among: Sequence[Group] = (),
    base: Mapping[str, Knob] | None = None,
) -> Comparison:
    """Compare variants, two by two.

    Args:
        groups: what is compared; with "one knob" only those pairs that differ in one.
        metric: what decides; by default bits_per_byte, loss or accuracy.
        among: all variants that there are. Those of the same data say how much a seed moves a score, whether seeds correlate,
            and how many values of a knob were tried; they are not compared.
        base: the knobs that the commands for more seeds need not name (`shared_knobs`); None = those that `among` share.

    Raises:
        UserError: there are fewer than two variants, or nothing has such a score.
    """
    among = [*groups, *(one for one in among if all(one is not group for group in groups))]
    if len(groups) < 2:
        raise UserError(
            f"{len(groups)} variant{'s' * (len(groups) != 1)} to compare, and it needs two."
            f" `./run dvc exp run -S train.lr=0.01` trains another one"
        )
    metric = _metric(groups, metric)
    if base is None:
        base = shared_knobs(one for group in among for one in group.experiments)
    chosen = list(_pairs(groups, metric, pairs))
    differences = _judged(chosen, metric, among, base)
    alike = [one for one in among if one.values(metric) and not why_not(groups[0], one, metric)]
    return Comparison(
        tuple(groups),
        metric,
        minimizes(metric),
        tuple(differences),
        importance(alike, metric) if len(alike) > 2 else None,
        tuple(interactions(alike, metric)),
        tuple(_notes(groups, metric, chosen, differences, pairs)),
    )


def _metric(groups: Sequence[Group], asked: str | None) -> str:
    known = tuple(dict.fromkeys(name for group in groups for one in group.experiments for name in one.scores))
    if asked is not None and known and asked not in known:
        raise UserError(f"--metric {asked}: there is no such score. {suggest(asked, known)}")
    if not known:
        raise UserError(f"{groups[0].name}: nothing to compare has scores: {without_scores(groups[0])}")
    if asked is not None:
        return asked
    scored = [group for group in groups if any(one.scores for one in group.experiments)]
    kind = scored[0].experiments[0].task
    preferred = ("accuracy", "loss") if kind in ("classify", "vision") else ("bits_per_byte", "loss")
    wide = [name for name in preferred if all(group.values(name) for group in scored)]
    return (wide or [name for name in preferred if name in known] or list(known))[0]


def _pairs(groups: Sequence[Group], metric: str, pairs: Pairs) -> Iterator[tuple[Group, Group]]:
    """The pairs to compare; of a knob that is a number the smaller value first."""
    for first, second in itertools.combinations(groups, 2):
        knobs = differing(first, second)
        if pairs == "all":
            yield first, second
        elif len(knobs) == 1 and same_code(first, second) and first.values(metric) and second.values(metric):
            (one, other), *_ = knobs.values()
            swap = isinstance(one, int | float) and isinstance(other, int | float) and other < one
            yield (second, first) if swap else (first, second)


def _judged(
    pairs: Sequence[tuple[Group, Group]], metric: str, among: Sequence[Group], base: Mapping[str, Knob]
) -> list[Difference]:
    """Each pair with its ruling, corrected for how many there are."""
    plain = [Difference(first, second, metric, differing(first, second), Ruling.NOT_COMPARABLE) for first, second in pairs]
    reasons, alike = [why_not(one.first, one.second, metric) for one in plain], _alike(among, metric)
    found = [None if reason else _evidence(one, alike) for one, reason in zip(plain, reasons, strict=True)]
    corrected = iter(holm([one.p for one in found if one]))
    return [
        replace(one, reason=reason)
        if reason
        else _ruled(one, seen, *next(corrected), among=among, base=base)
        if seen
        else _too_few(one, base)
        for one, reason, seen in zip(plain, reasons, found, strict=True)
    ]


def _alike(among: Sequence[Group], metric: str) -> list[list[Group]]:
    """The variants with such scores, those that can be compared with each other in one list."""
    found: list[list[Group]] = []
    for group in among:
        if group.values(metric):
            same = next((some for some in found if not why_not(some[0], group, metric)), None)
            if same is None:
                found.append([group])
            else:
                same.append(group)
    return found


def _evidence(one: Difference, alike: Sequence[Sequence[Group]]) -> Evidence | None:
    some = next(some for some in alike if any(group is one.first for group in some))
    others = [group.values(one.metric) for group in some if group is not one.first and group is not one.second]
    return evidence(one.first.values(one.metric), one.second.values(one.metric), others)


def _too_few(one: Difference, base: Mapping[str, Knob]) -> Difference:
    """A pair of which one has a single seed."""
    means = [float(group.array(one.metric).mean()) for group in (one.first, one.second)]
    needed = max(FIRST_SEEDS, *(len(group.values(one.metric)) for group in (one.first, one.second)))
    alone = [group.name for group in (one.first, one.second) if len(group.values(one.metric)) < 2]
    return replace(
        one,
        ruling=Ruling.UNDECIDED,
        needed=needed,
        command=more_seeds(one.first, one.second, one.metric, needed, base),
        reason=f"one seed of {' and '.join(alone)} does not say how much a seed moves {one.metric}"
        f" (the gap is {signed(means[1] - means[0])})",
    )


def _ruled(
    one: Difference,
    seen: Evidence,
    adjusted: float,
    level: float,
    *,
    among: Sequence[Group],
    base: Mapping[str, Knob],
) -> Difference:
    """A pair with its ruling and what to do next."""
    less = minimizes(one.metric)
    second_leads = (seen.gap < 0) == less
    ahead, behind = (one.second, one.first) if second_leads else (one.first, one.second)
    found = replace(
        one,
        gap=seen.interval(level),
        pairing=seen.pairing,
        p=seen.p,
        adjusted=adjusted,
        better=seen.probability(minimizes=less),
        visible=seen.visible(level),
    )
    fell = [
        f"{diverged(group)} of {len(group.experiments)} seeds of {group.name} diverged"
        for group in (one.first, one.second)
        if diverged(group)
    ]
    how = _how(seen)
    if adjusted > ALPHA:
        needed = seen.needed(level)
        command = more_seeds(one.first, one.second, one.metric, needed, base) if needed else ""
        reason = _sentence(_more(one, needed, seen), *fell, how)
        return replace(found, ruling=Ruling.UNDECIDED, needed=needed, command=command, reason=reason)
    if diverged(ahead):
        reason = _sentence(*fell, "and the mean of those that did not says little", how)
        return replace(found, ruling=Ruling.UNDECIDED, reason=reason)
    if tuning := unequal_tuning(ahead, behind, among, one.metric):
        command = queue_line(tuning.untuned, {tuning.knob: tuning.missing}, base)
        return replace(found, ruling=Ruling.NOT_COMPARABLE, command=command, reason=_sentence(tuning.text(), how))
    return replace(found, ruling=Ruling.BETTER if second_leads else Ruling.WORSE, reason=_sentence(*fell, how))


def _more(one: Difference, needed: int | None, seen: Evidence) -> str:
    """How many more seeds would tell, and what so many could have seen, in words."""
    if needed is None:
        size = f"more than {MOST_SEEDS} seeds each" if seen.gap else "no number of seeds"
        return f"if there is a difference, it takes {size} to see it"
    lacks = [needed - len(group.values(one.metric)) for group in (one.first, one.second)]
    waits = sum(unfinished(group) for group in (one.first, one.second))
    each = " each" if lacks[0] == lacks[1] else ""
    text = f"{max(lacks)} more seed{'s' * (max(lacks) != 1)}{each} would tell, if it is as large as it looks"
    return f"{text} ({waits} wait or run already)" if waits else text


def _how(seen: Evidence) -> str:
    """How the seeds were compared."""
    if seen.pairing.is_earned:
        return f"compared in pairs of seeds (r = {seen.pairing.r:.2f})"
    return f"{seen.others} other variants helped to estimate how much a seed moves it" if seen.others else ""


def _sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def signed(number: float) -> str:
    """A difference as people write it, with its sign."""
    return f"{'+' if number > 0 else '−' if number < 0 else ''}{formatted(abs(number))}"


def _notes(
    groups: Sequence[Group],
    metric: str,
    pairs: Sequence[tuple[Group, Group]],
    differences: Sequence[Difference],
    asked: Pairs,
) -> Iterator[str]:
    """What was left out, and what to keep in mind."""
    if metric == "bits_per_byte" and (tokens := tokens_differ([group for group in groups if group.values(metric)])):
        yield f"compared in bits per byte: {tokens}, so that losses per token do not compare"
    for group in groups:
        if not group.values(metric) and asked == "one knob":
            yield f"{group.name}: left out, it has no {metric}: {without_scores(group)}"
    if not pairs:
        yield "no two variants with scores differ in one knob alone; name those that you want to compare"
    tested = sum(one.p is not None for one in differences)
    if tested > 1:
        yield f"{tested} differences: p and intervals are corrected, so that any of them is wrong in at most 5 % (Holm)"
    if any(not same_code(groups[0], group) for group in groups):
        commits = dict.fromkeys(one.baseline or one.commit for group in groups for one in group.experiments)
        names = [commit[:8] for commit in commits if commit][:2]
        which = f": `git diff --stat {' '.join(names)} -- pipeline dvc.yaml`" if len(names) > 1 else ""
        yield f"the code differs too, not only knobs{which}"
