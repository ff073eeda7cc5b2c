"""The benchmark of a plan's checkpoints: how many faults miss one by step 100, and how many healthy runs do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.artifacts.writing import write_json
from pipeline.doctor.case import Case
from pipeline.doctor.signs.plan import Judged, judged
from pipeline.lab.doctor.benchmark import cases_of
from pipeline.lab.doctor.cases import HELD_OUT, RECIPES, BenchmarkRun, benchmark_runs
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.plan.checkpoints import Interval, as_json, checkpoints
from pipeline.lab.statistics.share import Share
from pipeline.lab.studies.report import progress_display
from pipeline.lab.studies.runs.identity import RESULTS

TESTED = tuple(FAULTS)[:20]  # the first of the table: those that the doctor was first made for, so none was chosen
UNKNOWN = Interval(0.0, 0.0, 0.0, "none: checkpoints of the curve and the end are left out")


@dataclass(frozen=True)
class Seen:
    """One run, and the checkpoints by step 100 that it missed."""

    run: BenchmarkRun
    missed: tuple[Judged, ...]


def plan_runs(healthy: int) -> Iterator[BenchmarkRun]:
    """Each fault on each held-out task, each task with another recipe, and healthy runs of every task and recipe.

    Args:
        healthy: how many healthy runs each task has.
    """
    for fault, (task, recipe) in itertools.product(TESTED, zip(HELD_OUT, RECIPES, strict=True)):
        yield BenchmarkRun(task, recipe, 1, fault)
    yield from benchmark_runs(HELD_OUT, 1, healthy, ())


def run_plan_benchmark(base_params: BaseParams, *, healthy: int) -> None:
    """Train what is not kept, print the table, and write it to results/doctor-plan.json."""
    runs = list(plan_runs(healthy))
    with progress_display(base_params.sections["runtime"]["progress"], len(runs)) as advance:
        seen = [missed(run, case) for run, case in cases_of(runs, base_params.sections, advance).items()]
    console = Console(highlight=False)
    console.print(table_of(seen))
    for line in sentences(seen):
        console.print(line)
    write_json(RESULTS / "doctor-plan.json", {"made_of": base_params.as_json(), "rows": as_rows(seen)})
    console.print(f"{RESULTS / 'doctor-plan.json'}")


def missed(run: BenchmarkRun, case: Case) -> Seen:
    """The checkpoints by step 100 that a run missed; a run that was stopped before has missed those that it did not reach."""
    rows = [as_json(one) for one in checkpoints(case.knob("train.steps"), UNKNOWN) if one.at.startswith("step ")]
    found = judged(replace(case, plan={"checkpoints": rows}))
    return Seen(run, tuple(one for one in found if not one.held))


def as_rows(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """For each fault, and "healthy": on how many runs a checkpoint was missed, and which."""
    rows = []
    for fault in (*TESTED, ""):
        of_fault = [one for one in seen if one.run.fault == fault]
        names = [f"{one.checkpoint.at} {one.checkpoint.what}" for run in of_fault for one in run.missed]
        most = sorted(dict.fromkeys(names), key=lambda name: -names.count(name))
        hits = sum(bool(one.missed) for one in of_fault)
        rows.append({"fault": fault or "healthy", "missed": hits, "of": len(of_fault), "checkpoints": most})
    return rows


def table_of(seen: Sequence[Seen]) -> Table:
    """A row per fault: on how many tasks it missed a checkpoint, and which most often."""
    table = Table("fault", "missed one", "which, the most frequent first", title="Checkpoints by step 100")
    for row in as_rows(seen):
        shown = ", ".join(name.replace("_", " ") for name in row["checkpoints"][:3])
        table.add_row(row["fault"], f"{row['missed']} of {row['of']}", shown)
    return table


def sentences(seen: Sequence[Seen]) -> Iterator[str]:
    """How many faults and healthy runs missed a checkpoint."""
    rows: list[Mapping[str, Any]] = [row for row in as_rows(seen) if row["fault"] != "healthy"]
    sick, healthy = [one for one in seen if one.run.fault], [one for one in seen if not one.run.fault]
    yield f"faults that missed one in most of their runs: {sum(2 * row['missed'] > row['of'] for row in rows)} of {len(rows)}"
    yield f"runs with a fault that missed one: {Share(sum(bool(one.missed) for one in sick), len(sick)).in_percent()}"
    if healthy:
        yield f"healthy runs that missed one: {Share(sum(bool(one.missed) for one in healthy), len(healthy)).in_percent()}"
