"""Variants of a setting in a table: the knobs that differ, seeds, mean, interval, what diverged, findings, and marks."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.figures.words import knob_text
from pipeline.lab.comparison.comparable import diverged, unfinished, without_scores
from pipeline.lab.comparison.comparison import Ruling
from pipeline.lab.experiments.records import Group
from pipeline.lab.experiments.variants import findings_text, score_of, score_text
from pipeline.lab.summary.document import Table
from pipeline.lab.summary.settings import Setting

MOST_KNOBS = 8  # with their usual values


def variant_table(setting: Setting) -> Table:
    """A line for each variant, the best first."""
    heads = ("variant", "knobs", "seeds", setting.metric or "score", "diverged", "doctor", "not comparable")
    return Table(heads, tuple(_row(setting, one) for one in setting.groups), frozenset({2, 3, 4}))


def _row(setting: Setting, group: Group) -> tuple[str, ...]:
    scored, lost, waits = len(group.values(setting.metric)), diverged(group), unfinished(group)
    seeds = f"{scored + lost}" + (f" (+{waits} to come)" if waits else "")
    score = score_text(score_of(group, setting.metric)) or f"– ({without_scores(group)})"
    share = f"{lost} of {scored + lost}" if lost else "0"
    return (
        group.name,
        knobs_text(setting, group),
        seeds,
        score,
        share,
        findings_text(group),
        "; ".join(marks(setting, group)),
    )


def knobs_text(setting: Setting, group: Group) -> str:
    """The knobs in which a variant is unlike the most of its setting."""
    common = setting.common()
    unlike = [name for name in common if name in group.knobs and group.knobs[name] != common[name]]
    return ", ".join(f"`{name}` {knob_text(group.knobs[name])}" for name in unlike) or "as most"


def common_text(setting: Setting) -> str:
    """What "as most" is; "" where nothing was varied."""
    common = setting.common()
    words = [f"`{name}` {knob_text(value)}" for name, value in list(common.items())[:MOST_KNOBS]]
    more = f" and {len(common) - MOST_KNOBS} more" if len(common) > MOST_KNOBS else ""
    return f"As most: {', '.join(words)}{more}." if words else ""


def marks(setting: Setting, group: Group) -> Iterator[str]:
    """Why a variant cannot be compared with others, once for each reason."""
    seen: dict[str, list[str]] = {}
    for one in setting.differences:
        if one.ruling is Ruling.NOT_COMPARABLE and group in (one.first, one.second):
            other = one.second if one.first is group else one.first
            seen.setdefault(one.reason, []).append(other.name)
    for reason, names in seen.items():
        yield f"with {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {reason}"
