"""What `rally compare` prints: one block for each difference, then what else the variants say together."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.figures.words import formatted, knob_text
from pipeline.lab.comparison.compare import signed
from pipeline.lab.comparison.comparison import Comparison, Difference, Importance, Ruling
from pipeline.lab.experiments.records import Group

LABEL = 9  # characters
WIDTH = 80  # of a line that is not a command
MOST_KNOBS = 6  # named in a block
MOST_SHARES = 8
LEAST_PAIR = 0.05  # of what is explained; less is not worth a line


def lines_of(comparison: Comparison) -> Iterator[str]:
    """The comparison as lines of text."""
    more = "less is better" if comparison.minimizes else "more is better"
    yield f"{comparison.metric} ({more})"
    for one in comparison.differences:
        yield ""
        yield from _block(one)
    if comparison.importance:
        yield ""
        yield from _importance(comparison.importance)
    for moved in comparison.interactions:
        best = ", ".join(f"{knob_text(best)} at {knob_text(value)}" for value, best in moved.best.items())
        yield from _wrapped("", f"Tune {moved.tuned} again when you change {moved.changed}: its best value moves ({best}).")
    if comparison.notes:
        yield ""
    for note in comparison.notes:
        yield from _wrapped("", f"Note: {note}.")


def _block(one: Difference) -> Iterator[str]:
    """One difference: names, knobs, means, gap, ruling, and what to do next."""
    yield f"{one.first.name} → {one.second.name}"
    for name, (old, new) in list(one.knobs.items())[:MOST_KNOBS]:
        yield from _wrapped("knob", f"{name} {knob_text(old)} → {knob_text(new)}")
    if not one.knobs:
        yield from _wrapped("knobs", "equal; the code differs")
    if len(one.knobs) > MOST_KNOBS:
        yield from _wrapped("", f"and {len(one.knobs) - MOST_KNOBS} more knobs")
    if one.ruling is not Ruling.NOT_COMPARABLE or one.gap:
        yield from _wrapped("mean", f"{_mean(one.first, one.metric)} → {_mean(one.second, one.metric)}")
    if one.gap:
        yield from _wrapped("gap", f"{signed(one.gap.mean)} ({signed(one.gap.low)} … {signed(one.gap.high)})")
    yield from _wrapped("ruling", ruling_text(one))
    if one.better is not None and one.p is not None:
        adjusted = f", corrected {_p(one.adjusted)}" if one.adjusted not in (None, one.p) else ""
        chance = f"P({one.second.name} is better) {_equals(percent(one.better))}"
        yield from _wrapped("sure?", f"{chance}, p {_equals(_p(one.p))}{adjusted}")
    if one.ruling is Ruling.UNDECIDED and one.visible is not None:
        yield from _wrapped("seen", f"so many seeds find a difference of {formatted(one.visible)} in 4 of 5 comparisons")
    label = "next"
    for command in one.command.splitlines():
        yield f"  {label:<{LABEL}}{command}"
        label = ""


def ruling_text(one: Difference) -> str:
    """The ruling in plain words."""
    why = f": {one.reason}" if one.reason else ""
    match one.ruling:
        case Ruling.BETTER:
            return f"{one.second.name} is better{why}"
        case Ruling.WORSE:
            return f"{one.first.name} is better{why}"
        case _:
            return f"{one.ruling.value}{why}"


def _mean(group: Group, metric: str) -> str:
    values = group.array(metric)
    return f"{formatted(float(values.mean()), 4)} ({len(values)} seed{'s' * (len(values) != 1)})"


def _p(number: float | None) -> str:
    return "< 0.001" if number is not None and number < 0.001 else formatted(number, 2)


def percent(share: float) -> str:
    """A probability in percent; never quite 0 or 100."""
    return "> 99.9 %" if share > 0.999 else "< 0.1 %" if share < 0.001 else f"{formatted(100 * share)} %"


def _equals(text: str) -> str:
    """`= 97.4 %`, or `> 99.9 %` as it is."""
    return text if text[0] in "<>" else f"= {text}"


def _importance(found: Importance) -> Iterator[str]:
    if found.refused:
        yield from _wrapped("", f"Which knob mattered? Not known: {found.refused}.")
        return
    yield f"Which knob mattered ({found.rows} variants, out-of-bag R² {formatted(found.r2, 2)})"
    for name, share in list(found.shares.items())[:MOST_SHARES]:
        ends = f"({percent(max(0.0, share.low))} … {percent(share.high)})"
        yield from _wrapped("", f"{name} {percent(share.mean)} {ends}")
    for (one, other), both in found.pairs.items():
        if both >= LEAST_PAIR:
            yield from _wrapped("", f"{one} and {other} only together: {percent(both)}")


def _wrapped(label: str, text: str) -> list[str]:
    """Lines of at most WIDTH characters, the first with a label."""
    first, rest = (f"  {label:<{LABEL}}", " " * (LABEL + 2)) if label else ("", "  ")
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison for programs; a variant is given by its name, seeds and scores."""
    found = comparison.importance
    return {
        "metric": comparison.metric,
        "minimizes": comparison.minimizes,
        "variants": [_variant(group, comparison.metric) for group in comparison.groups],
        "differences": [_difference(one) for one in comparison.differences],
        "importance": found
        and {
            "rows": found.rows,
            "r2": found.r2,
            "refused": found.refused,
            "shares": {name: share._asdict() for name, share in found.shares.items()},
            "pairs": [{"knobs": list(names), "share": share} for names, share in found.pairs.items()],
        },
        "interactions": [
            {
                "tuned": one.tuned,
                "changed": one.changed,
                "best": [{"value": value, "best": best} for value, best in one.best.items()],
            }
            for one in comparison.interactions
        ],
        "notes": list(comparison.notes),
    }


def _variant(group: Group, metric: str) -> Mapping[str, Any]:
    return {
        "name": group.name,
        "experiments": [one.name for one in group.experiments],
        "scores": {str(seed): value for seed, value in group.values(metric).items()},
    }


def _difference(one: Difference) -> Mapping[str, Any]:
    return {
        "first": one.first.name,
        "second": one.second.name,
        "knobs": {name: list(values) for name, values in one.knobs.items()},
        "ruling": one.ruling.value,
        "gap": one.gap and {name: value if abs(value) != float("inf") else None for name, value in one.gap._asdict().items()},
        "in_pairs": one.pairing and one.pairing.is_earned,
        "r": one.pairing and one.pairing.r,
        "p": one.p,
        "adjusted": one.adjusted,
        "better": one.better,
        "visible": one.visible,
        "needed": one.needed,
        "command": one.command,
        "reason": one.reason,
    }
