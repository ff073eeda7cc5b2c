"""What a comparison says of a setting: differences, which knob mattered, and which knobs move each other's best value."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.figures.words import formatted, knob_text
from pipeline.lab.comparison.compare import signed
from pipeline.lab.comparison.comparison import Difference, Ruling
from pipeline.lab.comparison.shown import percent
from pipeline.lab.summary.document import Block, Table
from pipeline.lab.summary.settings import NOT_EARNED, Setting

MOST = 40  # differences of a setting; --json has all
LEAST_TOGETHER = 0.05  # of the explained variance, that two knobs have only together
ORDER = (Ruling.BETTER, Ruling.WORSE, Ruling.UNDECIDED, Ruling.NOT_COMPARABLE)


def differences(setting: Setting) -> Iterator[Block]:
    """All pairs that differ in one knob: decided ones first, then the surest."""
    found = sorted(setting.differences, key=_place)
    rows = tuple(_row(one) for one in found[:MOST])
    if rows:
        yield Table(("change", "variants", f"gap in {setting.metric}", "p", "ruling"), rows, frozenset({2, 3}))
    elif setting.comparison:
        yield "No two variants differ in one knob alone."
    if len(found) > MOST:
        yield f"{len(found) - MOST} more differences: `rally compile --json`."


def _place(one: Difference) -> tuple[int, float, str, str]:
    kind = ORDER.index(one.ruling)
    return (0 if kind < 2 else kind, one.adjusted if one.adjusted is not None else 2.0, one.first.name, one.second.name)


def _row(one: Difference) -> tuple[str, ...]:
    change = ", ".join(f"`{name}` {knob_text(old)} → {knob_text(new)}" for name, (old, new) in one.knobs.items())
    gap = f"{signed(one.gap.mean)} ({signed(one.gap.low)} … {signed(one.gap.high)})" if one.gap else "–"
    p = "–" if one.adjusted is None else "< 0.001" if one.adjusted < 0.001 else formatted(one.adjusted, 2)
    return change or "the code", f"{one.first.name} → {one.second.name}", gap, p, ruling(one)


def ruling(one: Difference) -> str:
    """What is said of a difference, and of one that was not seen how large it would have to be."""
    match one.ruling:
        case Ruling.BETTER:
            return f"{one.second.name} is better"
        case Ruling.WORSE:
            return f"{one.first.name} is better"
        case Ruling.NOT_COMPARABLE:
            return f"not comparable: {one.reason}"
        case _ if one.gap and one.gap.low == one.gap.high == 0:
            return "no difference: equal scores"
        case _ if one.visible is None:
            return f"undecided: {one.reason}"
        case _:
            seen = NOT_EARNED if one.reason == NOT_EARNED else "no difference seen"
            return f"{seen}; so many seeds would have seen ± {formatted(one.visible)}"


def importance(setting: Setting) -> Iterator[Block]:
    """The share of each knob, or why it is not known."""
    found = setting.comparison.importance if setting.comparison else None
    if found is None:
        return
    if found.refused:
        yield f"Not known: {found.refused}."
        return
    rows = tuple(
        (f"`{name}`", percent(share.mean), f"{percent(max(0.0, share.low))} … {percent(share.high)}")
        for name, share in found.shares.items()
    )
    yield f"Of what a forest explains of {found.metric} over {found.rows} variants (out-of-bag R² {formatted(found.r2, 2)}):"
    yield Table(("knob", "share", "90 % of shuffles"), rows, frozenset({1, 2}))
    for (one, other), share in found.pairs.items():
        if share >= LEAST_TOGETHER:
            yield f"`{one}` and `{other}` have {percent(share)} only together."


def interactions(setting: Setting) -> Iterator[Block]:
    """The knobs to tune again when another one changes."""
    if setting.comparison is None:
        return
    for moved in setting.comparison.interactions:
        best = ", ".join(f"{knob_text(value)} at {knob_text(where)}" for where, value in moved.best.items())
        yield f"Tune `{moved.tuned}` again when you change `{moved.changed}`: its best value moves ({best})."
    if not setting.comparison.interactions:
        yield "None seen. It takes lines of three values of one knob at two values of another."
