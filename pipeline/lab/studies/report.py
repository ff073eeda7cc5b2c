"""The runs of a grid, their verdicts, and the files that hold them: a picture, a page and a JSON file."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.artifacts.writing import rounded, write_bytes, write_json, write_text
from pipeline.figures.style import png
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.studies.claims.base import Verdict
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.grid import Sweep, Variant, results
from pipeline.lab.studies.measures.record import Record
from pipeline.lab.studies.pages import page
from pipeline.lab.studies.pages.rulings import rulings
from pipeline.lab.studies.pictures.panels import draw_study
from pipeline.lab.studies.runs.identity import RESULTS, study_identity
from pipeline.lab.studies.runs.sweep import make_data, run_all
from pipeline.progress import INTERVAL


@dataclass(frozen=True)
class Outcome:
    """What a grid has given.

    Attributes:
        found: every measure of it.
        records: every run, by its place.
        verdicts: on its claims, in their order.
    """

    found: Mapping[str, Results]
    records: Mapping[tuple[int, ...], Record]
    verdicts: tuple[Verdict, ...]


def run_grid(sweep: Sweep, base: BaseParams, fleet: Fleet | None = None) -> Outcome:
    """Run every cell that is not cached, and judge the claims.

    Args:
        base: the base parameters, with the overrides of the entry and the user.
        fleet: the machines that run what is not kept; None = this one.

    Raises:
        ParamsError: with one line for each knob that cannot be used, before anything runs.
    """
    variants = list(sweep.variants(base.sections))
    make_data(variants)  # before the bar of the runs, for the stages have bars of their own
    with progress_display(variants[0].params.runtime.progress, len(variants), noun(variants)) as advance:
        records = run_all(variants, sweep.network_metrics, advance, fleet)
    found = results(sweep, records)
    return Outcome(found, records, tuple(claim.judge(found) for _, claim in sweep.claims))


def noun(variants: Sequence[Variant]) -> str:
    """What its runs are called: networks where they are looked at but not trained."""
    if any(variant.bench for variant in variants):
        return "runs"
    return "trainings" if any(variant.params.train.steps > 1 for variant in variants) else "networks"


def size_text(sweep: Sweep, variants: Sequence[Variant]) -> str:
    """How many runs it has, such as `21 trainings: 7 cells, 3 seeds`."""
    cells = " x ".join(map(str, sweep.shape[:-1]))
    return f"{len(variants):,} {noun(variants)}: {cells} cells, {len(sweep.seeds)} seed{'s' * (len(sweep.seeds) != 1)}"


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
    done, told = 0, time.monotonic()

    def advance() -> None:
        nonlocal done, told
        done += 1
        if kind != "none" and done < count and time.monotonic() - told >= INTERVAL:  # cached runs are done at once
            told = time.monotonic()
            print(f"{done:,} of {count:,} {noun}", file=sys.stderr, flush=True)

    yield advance


# ---------------------------------------------------------------------------------------------------------------- files


def write_results(name: str, entry: Entry, sweep: Sweep, base: BaseParams, outcome: Outcome, bet: str = "") -> dict[str, Path]:
    """Write the picture, the page and the numbers of a study to RESULTS.

    Args:
        bet: what the learner had predicted and what came of it, in a sentence; "" = nothing.

    Returns:
        "png", "html", "json" -> the file.
    """
    files = {kind: RESULTS / f"{name}.{kind}" for kind in ("png", "html", "json")}
    judged = list(rulings(name, sweep, outcome.verdicts))
    captions = [f"{ruling.status}: {ruling.claimed}. {ruling.found}" for ruling in judged]
    alone, in_page = (
        png(draw_study(sweep, outcome.found, outcome.records, *texts), dpi=120)
        for texts in ((entry.question, captions), ("", []))
    )
    made_of = base.as_json() | {"varied": [list(map(dict, knobs)) for knobs in sweep.knobs]}
    numbers = as_json(sweep, outcome) | {"identity": study_identity(name, sweep, base), "made_of": made_of}
    write_bytes(files["png"], alone)
    write_json(files["json"], numbers)
    write_text(files["html"], page.page(name, entry, sweep, base, outcome.found, outcome.verdicts, in_page, bet))
    return files


def as_json(sweep: Sweep, outcome: Outcome) -> dict[str, Any]:
    """The numbers of the report; None where a training diverged."""

    def flat(values: np.ndarray) -> list[float | None]:
        return [rounded(value) if math.isfinite(value) else None for value in values.ravel().tolist()]

    return {
        "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in sweep.axes],
        "seeds": list(sweep.seeds),
        "rounds": sweep.basis.rounds,
        "held_out": {measure: whole.held_out for measure, whole in outcome.found.items()},
        "values": {measure: flat(whole.values) for measure, whole in outcome.found.items()},  # the seeds changing fastest
        "verdicts": [
            {
                "claim": f"{name}, a control" if claim.control else name,
                "status": verdict.status.value,
                "claimed": verdict.claimed,
                "found": verdict.found,
                "says": verdict.sentence,
            }
            for (name, claim), verdict in zip(sweep.claims, outcome.verdicts, strict=True)
        ],
    }
