"""The rules that propose experiments: an edge, an open question, an interaction, a knob that never moved alone, a finding."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pipeline.figures.words import knob_text
from pipeline.lab.comparison.comparable import TUNED, line_of, unfinished
from pipeline.lab.comparison.comparable import differing as differing_knobs
from pipeline.lab.comparison.comparison import Difference, Interaction, Ruling
from pipeline.lab.comparison.more_seeds import queue_line
from pipeline.lab.experiments.records import Group, Knob
from pipeline.lab.summary.records import Notebook, Treatment
from pipeline.lab.summary.settings import Setting
from pipeline.lab.summary.step import Kind, Step, cost_of

FEW_SEEDS = 8  # with more of them, what is still undecided is small
FEWEST_VALUES = 3  # of a knob until the best of them is called an edge; of TUNED ones two, which are always both edges
GEOMETRIC = 1.5  # from this ratio between two values on, the next one is a multiple
DIGITS = 2  # of a value that nobody has tried yet


def experiments_to_run(notebook: Notebook) -> Iterator[Step]:
    """Every step that queues experiments, in no order."""
    for setting in notebook.settings:
        yield from edges(setting, notebook.base)
        yield from open_questions(setting)
        yield from retuned(setting, notebook.base)
        yield from confounded(setting, notebook.base)
        yield from treated(setting, notebook.treatments, notebook.base)


def _step(kind: Kind, command: str, group: Group, reason: str, *, about_best: bool = True, urgency: float = 0.0) -> Step:
    return Step(kind, command, cost_of(command, group.knobs.get("train.steps")), reason, about_best, urgency)


def _number(value: Knob) -> float | None:
    """A value as a number; None of what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _seeds(group: Group, metric: str) -> list[Knob]:
    return [*sorted(group.values(metric))]


# ------------------------------------------------------------------------------------------------------------------ edge


def edges(setting: Setting, base: Mapping[str, Knob]) -> Iterator[Step]:
    """The best variant has the largest or smallest value of a knob that was tried with its other knobs."""
    if (best := setting.best) is None:
        return
    for knob in (name for name in setting.varied if name in best.knobs):
        line = sorted(
            number for value in line_of(best, knob, setting.groups, setting.metric) if (number := _number(value)) is not None
        )
        at = _number(best.knobs.get(knob))
        if at is None or len(line) < (2 if knob in TUNED else FEWEST_VALUES) or at not in (line[0], line[-1]):
            continue
        if len(line) == 2 and not _is_decided(setting, best, knob):
            continue  # of two values that do not differ neither is an edge
        upwards = at == line[-1]
        if (value := beyond(line if upwards else line[::-1], whole=isinstance(best.knobs[knob], int))) is None:
            continue
        if any(_is_farther(one, best, knob, at, upwards=upwards) for one in setting.groups):
            continue  # it diverged there, or it waits
        command = queue_line(best, {knob: [value], "seed": _seeds(best, setting.metric)}, base)
        which = "largest" if upwards else "smallest"
        reason = (
            f"`{knob}` {knob_text(best.knobs[knob])} is the best of the {len(line)} values tried with the other knobs of"
            f" {best.name}, and the {which} of them: the best one may lie beyond"
        )
        yield _step(Kind.EDGE, command, best, reason, urgency=len(line))


def _is_decided(setting: Setting, best: Group, knob: str) -> bool:
    """Whether the best variant is better than another value of one knob beyond doubt."""
    return any(
        set(one.knobs) == {knob} and best in (one.first, one.second) and one.ruling in (Ruling.BETTER, Ruling.WORSE)
        for one in setting.differences
    )


def _is_farther(one: Group, best: Group, knob: str, at: float, *, upwards: bool) -> bool:
    """Whether a variant has the other knobs of the best one, and a value of this knob beyond its own."""
    number = _number(one.knobs.get(knob))
    return number is not None and (number > at) == upwards and number != at and set(differing_knobs(best, one)) == {knob}


def beyond(line: Sequence[float], *, whole: bool) -> Knob:
    """The value after the last one of a line, as far from it as that from the one before; None where there is none.

    >>> beyond([0.001, 0.003, 0.01], whole=False), beyond([0.2, 0.1], whole=False), beyond([4, 6], whole=True)
    (0.033, 0.05, 9)
    """
    before, last = line[-2:]
    if before > 0 and last > 0 and max(before, last) / min(before, last) >= GEOMETRIC:
        value = last * last / before
    else:
        value = last + (last - before)
    if value <= 0 < min(line):
        return None
    number = float(f"{value:.{DIGITS}g}")
    if whole:
        return None if round(value) == round(last) else round(value)
    return None if number == last else number


# ------------------------------------------------------------------------------------------------------------- undecided


def open_questions(setting: Setting) -> Iterator[Step]:
    """Undecided differences of few seeds of which a number of seeds would tell."""
    for one in setting.differences:
        seeds = [len(group.values(one.metric)) for group in (one.first, one.second)]
        if one.ruling is not Ruling.UNDECIDED or not one.needed or not one.command or min(seeds) > FEW_SEEDS:
            continue
        if one.gap and not one.gap.mean:
            continue  # equal scores: no number of seeds tells
        about_best = setting.best is one.first or setting.best is one.second
        changed = ", ".join(f"`{name}` {knob_text(old)} → {knob_text(new)}" for name, (old, new) in one.knobs.items())
        have = " and ".join(map(str, seeds)) if seeds[0] != seeds[1] else f"{seeds[0]} each"
        reason = f"{changed} is undecided with {have} of {one.needed} seeds, which would tell if it is as large as it looks"
        yield _step(Kind.UNDECIDED, one.command, one.second, reason, about_best=about_best, urgency=_doubt(one))


def _doubt(one: Difference) -> float:
    """The nearer to a decision, the larger; a pair of which one has a single seed is the farthest from one."""
    return -one.adjusted if one.adjusted is not None else -2.0


# ----------------------------------------------------------------------------------------------------------- interaction


def retuned(setting: Setting, base: Mapping[str, Knob]) -> Iterator[Step]:
    """The best value of one knob moves with another: tune it where that was not done, or more finely at the best variant."""
    if (best := setting.best) is None or setting.comparison is None:
        return
    for moved in setting.comparison.interactions:
        group, values = _untuned(setting, moved) or (best, _between(setting, best, moved.tuned))
        values = [value for value in values if not any(_has(one, group, moved.tuned, value) for one in setting.groups)]
        if not values:
            continue
        command = queue_line(group, {moved.tuned: values, "seed": _seeds(group, setting.metric)}, base)
        at = ", ".join(f"{knob_text(value)} at {knob_text(where)}" for where, value in moved.best.items())
        reason = (
            f"the best `{moved.tuned}` moves with `{moved.changed}` ({at}): tune it again with `{moved.changed}`"
            f" {knob_text(group.knobs.get(moved.changed))}"
        )
        yield _step(Kind.INTERACTION, command, group, reason)


def _has(one: Group, group: Group, knob: str, value: Knob) -> bool:
    """Whether a variant is this group with another value of one knob, be it that it waits or diverged."""
    return one.knobs.get(knob) == value and set(differing_knobs(one, group)) <= {knob}


def _untuned(setting: Setting, moved: Interaction) -> tuple[Group, list[Knob]] | None:
    """The best variant with a value of the changed knob at which the other one was not tuned, and the values to try there."""
    for one in setting.groups:
        if one.values(setting.metric) and one.knobs.get(moved.changed) not in moved.best:
            return one, sorted({*moved.best.values()}, key=lambda value: _number(value) or 0.0)
    return None


def _between(setting: Setting, best: Group, knob: str) -> list[Knob]:
    """The middles between the value of the best variant and its two neighbours, on the scale of the knob."""
    line = sorted(
        number for value in line_of(best, knob, setting.groups, setting.metric) if (number := _number(value)) is not None
    )
    at = _number(best.knobs.get(knob))
    if at not in line:
        return []
    place = line.index(at)
    whole = isinstance(best.knobs[knob], int)
    found = []
    for other in line[max(0, place - 1) : place] + line[place + 1 : place + 2]:
        middle = math.sqrt(at * other) if at > 0 and other > 0 else (at + other) / 2
        found.append(round(middle) if whole else float(f"{middle:.{DIGITS}g}"))
    return [value for value in sorted(found) if value not in line]


# ------------------------------------------------------------------------------------------------------ never moved alone


def confounded(setting: Setting, base: Mapping[str, Knob]) -> Iterator[Step]:
    """A knob of the best variant that no two variants differ in alone: what it does cannot be known."""
    if (best := setting.best) is None:
        return
    scored = [one for one in setting.groups if one.values(setting.metric)]
    pairs = [set(differing_knobs(one, other)) for at, one in enumerate(scored) for other in scored[:at]]
    waiting = [set(differing_knobs(best, one)) for one in setting.groups if unfinished(one)]
    for knob in setting.varied:
        if {knob} in pairs or {knob} in waiting or not any(knob in differ for differ in pairs):
            continue
        others = Counter(
            repr(one.knobs[knob]) for one in scored if one.knobs.get(knob, best.knobs.get(knob)) != best.knobs.get(knob)
        )
        if not others or knob not in best.knobs:
            continue
        usual = min(others, key=lambda text: (-others[text], text))
        value = next(one.knobs[knob] for one in scored if repr(one.knobs.get(knob)) == usual)
        command = queue_line(best, {knob: [value], "seed": _seeds(best, setting.metric)}, base)
        reason = (
            f"no two variants differ in `{knob}` alone, and the best one, {best.name}, has"
            f" {knob_text(best.knobs[knob])}: this is the same with {knob_text(value)}"
        )
        yield _step(Kind.CONFOUNDED, command, best, reason, urgency=sum(others.values()))


# --------------------------------------------------------------------------------------------------------------- finding


def treated(setting: Setting, treatments: Sequence[Treatment], base: Mapping[str, Knob]) -> Iterator[Step]:
    """A finding of the doctor of which nobody ran the experiment that would confirm its cause."""
    seen: set[tuple[str, str]] = set()
    for group in setting.groups:
        names = {one.name for one in group.experiments}
        for one in treatments:
            key = (one.symptom, one.cause)
            if one.experiment not in names or key in seen or not one.command:
                continue
            seen.add(key)
            if one.knob and any(set(differing_knobs(group, other)) == {one.knob} for other in setting.groups):
                continue  # it was looked into
            if command := _command_of(one, group, base):
                words = one.symptom.replace("_", " "), one.cause.replace("_", " ")
                reason = f"the doctor found {words[0]} in {one.experiment}, and nobody tried whether {words[1]} is the cause"
                runs = cost_of(command, group.knobs.get("train.steps")) if " -S " in command else "no training"
                yield Step(Kind.FINDING, command, runs, reason, group is setting.best)


def _command_of(one: Treatment, group: Group, base: Mapping[str, Knob]) -> str:
    """The doctor's experiment on the variant itself: with its other knobs, and queued like the other steps."""
    words = shlex.split(one.command)
    values = [words[at + 1].split("=", 1) for at, word in enumerate(words[:-1]) if word in ("-S", "--set-param")]
    if words[:3] != ["dvc", "exp", "run"]:
        return one.command
    known = {name: [_value(text)] for name, text in (pair for pair in values if len(pair) == 2)}
    return queue_line(group, known, base) if known else ""


def _value(text: str) -> Knob:
    """A value as it is typed after -S."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, bool | int | float | str) or found is None else text
