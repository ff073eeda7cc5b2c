"""What a sweep found, for people: a table with intervals, a verdict for every claim, a picture."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.artifacts import rounded, write_bytes, write_json
from pipeline.figures.style import png
from pipeline.lab.checks import Status, Verdict
from pipeline.lab.grid import Sweep, results, titles
from pipeline.lab.picture import Line, Panel, draw
from pipeline.lab.results import Axis, Edge, Results, best_of_line, interval
from pipeline.lab.sweep import train_all

FOUND = Path("results")  # git-ignored: what was found here, beside what docs/ says was found elsewhere
COLOURS = {Status.HELD: "green", Status.REFUTED: "red"}


def play(name: str, sweep: Sweep, standing: Mapping[str, Any], *, dry_run: bool) -> None:
    """Train the grid of a study, print what came of it, and leave it in FOUND.

    Args:
        standing: the sections of params.yaml, with the knobs that the study sets.
        dry_run: check every knob and count the trainings, no more.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    variants = list(sweep.variants(standing))
    if dry_run:
        print(f"{len(variants):,} trainings: {' x '.join(map(str, sweep.shape[:-1]))} places, {len(sweep.seeds)} seeds")
        return
    with following(variants[0][1].runtime.progress, len(variants)) as advance:
        found = results(sweep, train_all(variants, advance))
    verdicts = [(claim, check.judge(found)) for claim, check in sweep.checks]
    console = Console()
    for title, panel in panels(found):
        console.print(table(title, panel, sweep.measure))
    for claim, verdict in verdicts:
        console.print(f"{claim}: ", end="", highlight=False, markup=False)
        console.print(verdict.status.value, style=f"bold {COLOURS.get(verdict.status, 'yellow')}", end="", highlight=False)
        console.print(f": {verdict.says}", highlight=False, markup=False, soft_wrap=True)
    write_json(FOUND / f"{name}.json", as_json(sweep, found, verdicts))
    write_bytes(FOUND / f"{name}.png", png(picture(found, sweep.measure, verdicts), dpi=120))
    console.print(f"{FOUND / name}.png, {FOUND / name}.json", highlight=False)


@contextlib.contextmanager
def following(kind: str, count: int) -> Iterator[Callable[[], None]]:
    """A bar, lines or nothing while so many trainings are done; gives what is called after each."""
    if kind == "bar" or (kind == "auto" and sys.stderr.isatty()):
        columns = (TextColumn("trainings"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=count)
            yield lambda: bar.advance(task)
        return
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if kind != "none" and done * 10 // count > (done - 1) * 10 // count:
            print(f"{done:,} of {count:,} trainings", file=sys.stderr, flush=True)

    yield advance


# --------------------------------------------------------------------------------------------------------------- tables


def panels(found: Results) -> Iterator[tuple[str, Results]]:
    """(title, results on the last two axes) for every combination of the axes before those; a lone axis is one line."""
    *outer, across = found.axes
    lines = outer.pop() if outer else Axis("", ("",))
    values = found.values.reshape(-1, len(lines.labels), *found.values.shape[-2:])
    for title, part in zip(titles(outer, named=True), values, strict=True):
        yield title, Results((lines, across), part)


def table(title: str, panel: Results, measure: str) -> Table:
    """A row for each place of the last axis, a column a line: the mean over seeds and its 95 % interval; the best is bold."""
    lines, across = panel.axes
    seeds = panel.values.shape[-1]
    drawn = Table(title=f"{title}: {measure}, {seeds} seeds" if title else f"{measure}, {seeds} seeds", title_justify="left")
    drawn.add_column(across.name, justify="right")
    for label in titles([lines]):
        drawn.add_column(f"{lines.name} {label}".strip() or measure, justify="right")
    best = panel.values.mean(axis=-1).argmin(axis=1)
    for at, label in enumerate(titles([across])):
        cells = [cell(panel.values[line, at]) for line in range(len(lines.labels))]
        drawn.add_row(label, *(f"[bold]{text}[/]" if best[line] == at else text for line, text in enumerate(cells)))
    return drawn


def cell(values: np.ndarray) -> str:
    """2.5310 ± 0.0012; or how many of the seeds diverged."""
    if lost := int((~np.isfinite(values)).sum()):
        return f"{lost} of {len(values)} diverged"
    low, mean, high = interval(values)
    return f"{mean:.4f}" + (f" ± {(high - low) / 2:.4f}" if len(values) > 1 else "")


# --------------------------------------------------------------------------------------------------------------- picture


def picture(found: Results, measure: str, verdicts: Sequence[tuple[str, Verdict]]) -> Figure:
    """The grid as lines with their intervals, and what was said of it."""
    sides = [Panel(title, tuple(_lines(panel))) for title, panel in panels(found)]
    lines, across = next(panels(found))[1].axes
    sentences = [f"{verdict.status.value.capitalize()}: {verdict.says}." for _, verdict in verdicts]
    return draw(sides, across.name, f"{measure.replace('_', ' ')} (nats a token)", lines.name, " ".join(sentences))


def _lines(panel: Results) -> Iterator[Line]:
    lines, across = panel.axes
    for values, label in zip(panel.values, titles([lines]), strict=True):
        best = best_of_line(across.scale(), values) if across.is_scale() else Edge("below")
        optimum = None if isinstance(best, Edge) else 2 ** float(best.mean())
        yield Line(label, across.labels, [interval(seeds) for seeds in values], optimum)


def as_json(sweep: Sweep, found: Results, verdicts: Sequence[tuple[str, Verdict]]) -> dict[str, Any]:
    """The numbers behind it; None where a training diverged."""
    values = [rounded(value) if math.isfinite(value) else None for value in found.values.ravel().tolist()]
    return {
        "measure": sweep.measure,
        "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in found.axes],
        "seeds": list(sweep.seeds),
        "values": values,  # flat, the seeds changing fastest
        "verdicts": [{"claim": claim, "status": verdict.status.value, "says": verdict.says} for claim, verdict in verdicts],
    }
