"""A comparison as one HTML page that works offline, in the look of the report; its answer and tables need no script."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline.artifacts.writing import write_text
from pipeline.figures import report
from pipeline.figures.samples import inline
from pipeline.figures.style import LINES, LINES_ON_DARK
from pipeline.figures.words import formatted, knob_text
from pipeline.lab.comparison.comparison import Comparison, Importance
from pipeline.lab.comparison.page import differences
from pipeline.lab.comparison.page.answer import answer
from pipeline.lab.comparison.page.curves import Columns, Curve, curve_data, curves_of
from pipeline.lab.comparison.page.knob_axes import KnobAxis, knob_axes
from pipeline.lab.comparison.page.table import table
from pipeline.lab.comparison.page.variants import Variant, counted, key, sentence, variants, varied
from pipeline.lab.experiments.records import Group
from pipeline.lab.statistics.intervals import Interval

HERE = Path(__file__).parent
MOST_VARIANTS = 400  # of the table and the pictures
MOST_KNOBS = 12  # columns of the table
BRIEF = 44  # letters of the values that name a variant in the pictures, if no two variants have the same
MOST_PANELS = 9  # pictures of the scores over a knob
SCRIPTS = ("charts.js", "curves.js", "knobs.js", "table.js")


def write_page(comparison: Comparison, among: Sequence[Group], path: Path, curves: Mapping[str, Columns] | None = None) -> Path:
    """Write the page of a comparison.

    Args:
        among: further variants for the table and the pictures, such as all that the importance of the knobs was computed on;
            those of the comparison are shown in any case.
        path: of the file, whose folder must be there.
        curves: an experiment's name -> its columns, such as step, loss and validation_loss, each as long as the others. Without
            them the page has no curves and says so.

    Returns:
        The path.
    """
    write_text(path, page(comparison, among, curves))
    return path


def page(comparison: Comparison, among: Sequence[Group] = (), curves: Mapping[str, Columns] | None = None) -> str:
    """The whole page: names and values are escaped, and only its own scripts may run."""
    groups, elsewhere = _alike(comparison, among)
    all_knobs = varied(groups, _named_knobs(comparison))
    knobs = all_knobs[:MOST_KNOBS]
    everyone = variants(groups, comparison.metric, comparison.minimizes, knobs)
    own = {key(group) for group in comparison.groups}
    compared = [one for one in everyone if key(one.group) in own]
    shown = everyone[:MOST_VARIANTS]
    kept = curves_of(shown, curves or {})
    axes = knob_axes(all_knobs[:MOST_PANELS], shown)
    rows = differences.rows(comparison, {key(one.group): one for one in compared})
    styles = [(folder / name).read_text(encoding="utf-8") for folder, name in ((report.HERE, "report.css"), (HERE, "page.css"))]
    scripts = [(report.HERE / "report.js").read_text(encoding="utf-8")]
    scripts.append("\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS))
    return _template().render(
        comparison=comparison,
        answer=answer(comparison, compared),
        rows=rows,
        open_rows=differences.OPEN,
        importance=_importance(comparison.importance),
        interactions=[
            (one, ", ".join(f"{knob_text(best)} at {knob_text(value)}" for value, best in one.best.items()))
            for one in comparison.interactions
        ],
        table=table(shown, compared, comparison.metric, comparison.minimizes, knobs),
        has_others=len(compared) < len(everyone),
        axes=axes,
        shares=_shares(comparison.importance, axes),
        curves=kept,
        data=_data(comparison, shown, compared, axes, kept),
        notes=[
            *map(sentence, comparison.notes),
            *_notes(comparison, everyone, shown, all_knobs, rows.hidden, kept, curves or {}),
            *([f"{counted(elsewhere, 'variant')} of other tasks or data {_is(elsewhere)} left out."] if elsewhere else []),
        ],
        style="\n".join(styles),
        scripts=scripts,
        hashes=[report.script_hash(script) for script in scripts],
    )


def _alike(comparison: Comparison, among: Sequence[Group]) -> tuple[list[Group], int]:
    """The groups of the comparison and those of the same tasks and data, each once; how many others there are."""
    unique = {key(group): group for group in (*among, *comparison.groups)}
    own = {key(group) for group in comparison.groups}
    of = {(one.task, one.data) for group in comparison.groups for one in group.experiments[:1]}
    found = [
        group for name, group in unique.items() if name in own or (group.experiments[0].task, group.experiments[0].data) in of
    ]
    return found, len(unique) - len(found)


def _named_knobs(comparison: Comparison) -> list[str]:
    """The knobs that the comparison itself speaks of, the most telling first."""
    shares = list(comparison.importance.shares) if comparison.importance else []
    return [*shares, *(name for one in comparison.differences for name in one.knobs)]


@functools.cache
def _template() -> jinja2.Template:
    environment = report.templates(HERE)
    environment.filters.update(number=formatted, percent=_percent, inline=inline)
    return environment.get_template("page.html.jinja")


def _importance(importance: Importance | None) -> dict[str, Any] | None:
    """The bars of the knobs in percent, the longest interval as wide as the room; or why there are none."""
    if importance is None:
        return None
    bars = [(name, Interval(*(min(1.0, max(0.0, end)) for end in share))) for name, share in importance.shares.items()]
    pairs = sorted(importance.pairs.items(), key=lambda pair: -pair[1])
    return {
        "bars": bars,
        "scale": 100 / (max((bar.high for _, bar in bars), default=0.0) or 1.0),
        "pairs": [(" and ".join(names), share) for names, share in pairs if share >= 0.01],
        "of": importance,
        "refused": sentence(importance.refused) or ("" if bars else "There are no shares."),
    }


def _shares(importance: Importance | None, axes: Sequence[KnobAxis]) -> list[str]:
    """What stands below the name of each knob's picture."""
    shares = importance.shares if importance and not importance.refused else {}
    return [f"explains {_percent(shares[axis.name].mean)}" if axis.name in shares else "" for axis in axes]


def _percent(share: float) -> str:
    return f"{formatted(100 * share, 2)} %"


def _data(
    comparison: Comparison,
    shown: Sequence[Variant],
    compared: Sequence[Variant],
    axes: Sequence[KnobAxis],
    kept: Sequence[Curve],
) -> dict[str, Any]:
    """What the scripts draw; JSON has no infinity, so what is not finite is null."""
    compared_groups = {id(one.group) for one in compared}
    brief = len({one.what for one in shown}) == len(shown) and all(0 < len(one.what) <= BRIEF for one in shown)
    return {
        "metric": comparison.metric,
        "minimizes": comparison.minimizes,
        "variants": [
            {
                "name": one.label,
                "brief": one.what if brief else one.label,
                "scores": [_finite(score) for score in one.scores],
                "mean": _finite(one.mean),
                "low": _finite(one.spread.low) if one.spread else None,
                "high": _finite(one.spread.high) if one.spread else None,
                "seeds": one.seeds,
                "diverged": one.diverged,
                "compared": id(one.group) in compared_groups,
            }
            for one in shown
        ],
        "knobs": [axis.data() for axis in axes],
        "curves": curve_data(kept),
        "colors": {"light": LINES, "dark": LINES_ON_DARK},
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _notes(
    comparison: Comparison,
    everyone: Sequence[Variant],
    shown: Sequence[Variant],
    knobs: Sequence[str],
    hidden: int,
    kept: Sequence[Curve],
    curves: Mapping[str, Columns],
) -> Iterator[str]:
    """What the page does not show, and why."""
    if hidden:
        decided = "decided and undecided ones alike"
        yield f"{counted(hidden, 'difference')} {_is(hidden)} not shown, {decided}, because the page would be too long."
    if len(everyone) > len(shown):
        yield f"Only the best {len(shown)} of {len(everyone):,} variants are in the table and the pictures."
    if more := knobs[MOST_KNOBS:]:
        yield f"{counted(len(more), 'further knob')} that vary too {_is(len(more))} not shown: {', '.join(more)}."
    if more := knobs[MOST_PANELS:MOST_KNOBS]:
        yield f"No picture, but a column of the table: {', '.join(more)}."
    if kept:
        without = len(shown) - len({curve.variant for curve in kept})
        if without:
            yield f"{counted(without, 'variant')} {'has' if without == 1 else 'have'} no curve, because none was found."
        columns = {name for table in curves.values() for name in table} - {curve.column for curve in kept}
        if aside := sorted(columns - {"step", "targets", "clipped", "epoch"}):
            yield f"Curves without room on the page, or without a value: {', '.join(aside)}."
        if any(curve.stops for curve in kept):
            yield "A mean over seeds ends where one of them ended or diverged, because the others have another mean."
    if scoreless := [one for one in everyone if one.spread is None]:
        names = ", ".join(one.label for one in scoreless[:5]) + (" and others" if len(scoreless) > 5 else "")
        many = counted(len(scoreless), "variant")
        yield f"{many} without a {comparison.metric} {_is(len(scoreless))} in no picture: {names}."
        yield from dict.fromkeys(e.missing for one in scoreless[:5] for e in one.group.experiments if e.missing)
    yield "Pictures of readings are not here: `dvc exp apply NAME`, then `plots/report.html`, has those of one experiment."


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
