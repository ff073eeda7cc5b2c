"""What a sweep found, for people: a table with intervals, a verdict for every claim, a picture."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.writing import rounded, write_bytes, write_json
from pipeline.figures.style import formatted, png
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies.claims.base import Status, Verdict
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.grid import Sweep, results, titles
from pipeline.lab.studies.metrics import MEASURES
from pipeline.lab.studies.panels import draw_study, split_panels
from pipeline.lab.studies.sweep import run_all

RESULTS = Path("results")  # git-ignored: what was found here, beside what docs/ says was found elsewhere
COLOURS = {Status.HELD: "green", Status.FAILED: "green", Status.REFUTED: "red", Status.PASSED: "red"}


def run_study(name: str, sweep: Sweep, standing: BaseParams, *, dry_run: bool) -> None:
    """Train the grid of a study, print what came of it, and leave it in FOUND.

    Args:
        standing: the knobs that it stands on, with those that it sets.
        dry_run: check every knob and count the trainings, no more.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    variants, noun = list(sweep.variants(standing.sections)), "runs" if sweep.bench else "trainings"
    if dry_run:
        print(f"{len(variants):,} {noun}: {' x '.join(map(str, sweep.shape[:-1]))} places, {len(sweep.seeds)} seeds")
        return
    with progress_display(variants[0].params.runtime.progress, len(variants), noun) as advance:
        records = run_all(variants, sweep.read, advance)
    found = results(sweep, records)
    verdicts = [(f"{claim}, a control" if check.control else claim, check.judge(found)) for claim, check in sweep.checks]
    console = Console()
    for measure, whole in found.items():
        for title, panel in split_panels(whole):
            console.print(table(title, panel, measure))
    for claim, verdict in verdicts:
        console.print(f"{claim}: ", end="", highlight=False, markup=False)
        console.print(verdict.status.value, style=f"bold {COLOURS.get(verdict.status, 'yellow')}", end="", highlight=False)
        console.print(f": {verdict.says}", highlight=False, markup=False, soft_wrap=True)
    made_of = standing.as_json() | {"varied": [list(map(dict, knobs)) for knobs in sweep.knobs]}
    write_json(RESULTS / f"{name}.json", as_json(sweep, found, verdicts) | {"made_of": made_of})
    write_bytes(RESULTS / f"{name}.png", png(draw_study(sweep, found, records, verdicts), dpi=120))
    console.print(f"{RESULTS / name}.png, {RESULTS / name}.json", highlight=False)


@contextlib.contextmanager
def progress_display(kind: str, count: int, noun: str = "trainings") -> Iterator[Callable[[], None]]:
    """A bar, lines or nothing while so many trainings are done; gives what is called after each."""
    if kind == "bar" or (kind == "auto" and sys.stderr.isatty()):
        columns = (TextColumn(noun), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=count)
            yield lambda: bar.advance(task)
        return
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if kind != "none" and done * 10 // count > (done - 1) * 10 // count:
            print(f"{done:,} of {count:,} {noun}", file=sys.stderr, flush=True)

    yield advance


# --------------------------------------------------------------------------------------------------------------- tables


def table(title: str, panel: Results, measure: str) -> Table:
    """A row for each place of the last axis, a column a line: the mean over seeds and its 95 % interval.

    Along numbers that grow the best is bold.
    """
    lines, across = panel.axes
    seeds = panel.values.shape[-1]
    # Text, for a knob's value may look like Rich's markup.
    heading = Text(f"{title}: {measure}, {seeds} seeds" if title else f"{measure}, {seeds} seeds")
    drawn = Table(title=heading, title_justify="left")
    drawn.add_column(Text(across.name), justify="right")
    for label in titles([lines]):
        drawn.add_column(Text(f"{lines.name} {label}".strip() or measure), justify="right")
    means = panel.values.mean(axis=-1)
    best = np.where(np.isfinite(means), means, -np.inf).argmax(axis=1) if MEASURES[measure].rises else means.argmin(axis=1)
    for at, label in enumerate(titles([across])):
        cells = [cell(panel, panel.values[line, at], MEASURES[measure].absent) for line in range(len(lines.labels))]
        marked = across.is_scale() and not panel.logarithmic
        styles = ["bold" if marked and best[line] == at else "" for line in range(len(cells))]
        drawn.add_row(Text(label), *map(Text, cells, styles))
    return drawn


def cell(panel: Results, values: np.ndarray, absent: str = "diverged") -> str:
    """2.5310 ± 0.0012; of what spans decades 15,600 (9,200 … 26,000); or how many of the seeds have no number, and why."""
    if lost := int((~np.isfinite(values)).sum()):
        return f"{lost} of {len(values)} {absent}"
    low, mean, high = panel.interval(values)
    if panel.logarithmic:
        return formatted(mean) + (f" ({formatted(low)} … {formatted(high)})" if len(values) > 1 else "")
    return f"{mean:.4f}" + (f" ± {(high - low) / 2:.4f}" if len(values) > 1 else "")


def as_json(sweep: Sweep, found: Mapping[str, Results], verdicts: Sequence[tuple[str, Verdict]]) -> dict[str, Any]:
    """The numbers behind it; None where a training diverged."""

    def flat(values: np.ndarray) -> list[float | None]:
        return [rounded(value) if math.isfinite(value) else None for value in values.ravel().tolist()]

    return {
        "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in sweep.axes],
        "seeds": list(sweep.seeds),
        "values": {measure: flat(whole.values) for measure, whole in found.items()},  # the seeds changing fastest
        "verdicts": [{"claim": claim, "status": verdict.status.value, "says": verdict.says} for claim, verdict in verdicts],
    }
