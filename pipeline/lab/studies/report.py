"""The report of a grid: tables with confidence intervals, a verdict for every claim, a plot, and a JSON file."""

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
from pipeline.lab.studies.grid import Sweep, cell_titles, results
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.pictures.panels import draw_study, split_panels
from pipeline.lab.studies.runs.sweep import run_all

RESULTS = Path("results")  # git-ignored: results of this machine, next to those in docs/
COLOURS = {Status.HELD: "green", Status.FAILED: "green", Status.REFUTED: "red", Status.PASSED: "red"}


def run_study(name: str, sweep: Sweep, base: BaseParams, *, dry_run: bool) -> None:
    """Run the grid of a study, print its results, and write them to RESULTS.

    Args:
        base: the base parameters, with the overrides of the entry and the user.
        dry_run: only validate all parameters and count the runs.

    Raises:
        ParamsError: with one line for each knob that cannot be used.
    """
    variants, noun = list(sweep.variants(base.sections)), "runs" if sweep.bench else "trainings"
    if dry_run:
        print(f"{len(variants):,} {noun}: {' x '.join(map(str, sweep.shape[:-1]))} cells, {len(sweep.seeds)} seeds")
        return
    with progress_display(variants[0].params.runtime.progress, len(variants), noun) as advance:
        records = run_all(variants, sweep.network_metrics, advance)
    found = results(sweep, records)
    verdicts = [(f"{name}, a control" if claim.control else name, claim.judge(found)) for name, claim in sweep.claims]
    console = Console()
    for measure, whole in found.items():
        for title, panel in split_panels(whole):
            console.print(table(title, panel, measure))
    for title, verdict in verdicts:
        console.print(f"{title}: ", end="", highlight=False, markup=False)
        console.print(verdict.status.value, style=f"bold {COLOURS.get(verdict.status, 'yellow')}", end="", highlight=False)
        console.print(f": {verdict.sentence}", highlight=False, markup=False, soft_wrap=True)
    made_of = base.as_json() | {"varied": [list(map(dict, knobs)) for knobs in sweep.knobs]}
    write_json(RESULTS / f"{name}.json", as_json(sweep, found, verdicts) | {"made_of": made_of})
    write_bytes(RESULTS / f"{name}.png", png(draw_study(sweep, found, records, verdicts), dpi=120))
    console.print(f"{RESULTS / name}.png, {RESULTS / name}.json", highlight=False)


@contextlib.contextmanager
def progress_display(kind: str, count: int, noun: str = "trainings") -> Iterator[Callable[[], None]]:
    """A progress bar, lines or nothing; yields a function to call after each run.

    Args:
        kind: of runtime.progress.
        count: of the runs.
    """
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
    """A row for each place of the last axis, a column for each line: the mean over seeds and its 95 % confidence interval.

    Along a scale of numbers the best value is bold.
    """
    lines, across = panel.axes
    seeds = panel.values.shape[-1]
    # Text, for a knob's value may look like Rich's markup.
    heading = Text(f"{title}: {measure}, {seeds} seeds" if title else f"{measure}, {seeds} seeds")
    drawn = Table(title=heading, title_justify="left")
    drawn.add_column(Text(across.name), justify="right")
    for label in cell_titles([lines]):
        drawn.add_column(Text(f"{lines.name} {label}".strip() or measure), justify="right")
    means = panel.values.mean(axis=-1)
    best = (
        np.where(np.isfinite(means), means, -np.inf).argmax(axis=1)
        if MEASURES[measure].higher_is_better
        else means.argmin(axis=1)
    )
    for at, label in enumerate(cell_titles([across])):
        cells = [cell(panel, panel.values[line, at], MEASURES[measure].if_missing) for line in range(len(lines.labels))]
        marked = across.is_scale() and not panel.logarithmic
        styles = ["bold" if marked and best[line] == at else "" for line in range(len(cells))]
        drawn.add_row(Text(label), *map(Text, cells, styles))
    return drawn


def cell(panel: Results, values: np.ndarray, if_missing: str = "diverged") -> str:
    """2.5310 ± 0.0012; on a logarithmic scale 15,600 (9,200 to 26,000); or how many of the seeds have no number, and why."""
    if missing := int((~np.isfinite(values)).sum()):
        return f"{missing} of {len(values)} {if_missing}"
    low, mean, high = panel.interval(values)
    if panel.logarithmic:
        return formatted(mean) + (f" ({formatted(low)} to {formatted(high)})" if len(values) > 1 else "")
    return f"{mean:.4f}" + (f" ± {(high - low) / 2:.4f}" if len(values) > 1 else "")


def as_json(sweep: Sweep, found: Mapping[str, Results], verdicts: Sequence[tuple[str, Verdict]]) -> dict[str, Any]:
    """The numbers of the report; None where a training diverged."""

    def flat(values: np.ndarray) -> list[float | None]:
        return [rounded(value) if math.isfinite(value) else None for value in values.ravel().tolist()]

    return {
        "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in sweep.axes],
        "seeds": list(sweep.seeds),
        "values": {measure: flat(whole.values) for measure, whole in found.items()},  # the seeds changing fastest
        "verdicts": [{"claim": name, "status": verdict.status.value, "says": verdict.sentence} for name, verdict in verdicts],
    }
