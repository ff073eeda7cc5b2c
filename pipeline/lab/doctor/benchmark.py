"""The benchmark of the doctor: runs with known faults, and how many of them it finds and explains.

Every fault is put into otherwise healthy runs, on several tasks, once per seed; in addition there are healthy runs. Ranges and
votes were fitted on half of the tasks; the other half is held out, and gives the figures that count.
"""

from __future__ import annotations

import os
import signal
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.artifacts.writing import write_bytes, write_json
from pipeline.doctor.case import Case
from pipeline.doctor.diagnose import diagnose
from pipeline.figures.style import png
from pipeline.lab.doctor import reported
from pipeline.lab.doctor.cases import FITTED_ON, HELD_OUT, KNOWN, TASKS, BenchmarkRun, benchmark_runs
from pipeline.lab.doctor.confusion_plot import draw
from pipeline.lab.doctor.fit_ranges import fitted, lines
from pipeline.lab.doctor.reported import REPORTED
from pipeline.lab.doctor.run_case import case_of, encode_data_of
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.table import FAULTS
from pipeline.lab.faults.unseen import UNSEEN
from pipeline.lab.statistics.share import Share
from pipeline.lab.studies.report import progress_display
from pipeline.lab.studies.runs.identity import RESULTS
from pipeline.lab.workers import run_in_processes
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.names import suggest

NAMED = 2  # causes, among which the right one must be

AIMS = {"found": 0.9, "right": 0.7, "false alarms": 0.05}


@dataclass(frozen=True)
class Outcome:
    """The diagnosis of a run of the benchmark.

    Attributes:
        finding: the first one, or "healthy".
        causes: those that were named, in the order in which they are shown.
        blind: the same with the knobs hidden.
        harm: by how many nats the loss ended above that of the healthy runs of its task and recipe; None where unknown.
    """

    run: BenchmarkRun
    finding: str
    causes: tuple[str, ...]
    blind: tuple[str, ...]
    harm: float | None

    @property
    def found(self) -> bool:
        return self.finding != "healthy"

    @property
    def right(self) -> bool:
        return bool(self.run.fault and KNOWN[self.run.fault].cause) and KNOWN[self.run.fault].cause in self.causes[:NAMED]

    @property
    def right_blind(self) -> bool:
        return bool(self.run.fault and KNOWN[self.run.fault].cause) and KNOWN[self.run.fault].cause in self.blind[:NAMED]


def run_benchmark(base_params: BaseParams, *, seeds: int, healthy: int, only: Sequence[str], fit: bool = False) -> None:
    """Run the benchmark, print its results, and write them to FOUND.

    Args:
        base_params: the knobs of params.yaml, on which those of the runs are set.
        healthy: how many runs without a fault each task has.
        only: the faults to test; empty = all of them.
        fit: also fit the ranges on the tasks for fitting, and print them.

    Raises:
        UserError: there is no such fault, or ranges are to be fitted without all faults.
    """
    if unknown := [name for name in only if name not in FAULTS]:
        raise UserError(*(f"--fault: there is no '{name}'. {suggest(name, tuple(FAULTS))}" for name in unknown))
    if fit and only:
        raise UserError("--fit: needs the runs of all faults; leave out --fault")
    runs = [run for run in benchmark_runs(TASKS, seeds, healthy) if not only or not run.fault or run.fault in only]
    with progress_display(base_params.sections["runtime"]["progress"], len(runs)) as advance:
        cases = cases_of(runs, base_params.sections, advance)
    console = Console(highlight=False)
    if fit:
        chosen = {run: case for run, case in cases.items() if run.task in FITTED_ON}
        console.print(*lines(fitted(chosen)), sep="\n", soft_wrap=True)
    results: dict[str, Any] = {"made_of": base_params.as_json()}
    for half, tasks in (("fitted on", FITTED_ON), ("held out", HELD_OUT)):
        outcomes = diagnosed({run: case for run, case in cases.items() if run.task in tasks})
        console.print(table_of(f"{half}: {', '.join(tasks)}", outcomes))
        for name, rate in error_rates(outcomes).items():
            console.print(f"{name}: {rate.in_percent()}")
        results[half] = as_json(outcomes)
    write_json(RESULTS / "doctor-benchmark.json", results)
    write_bytes(RESULTS / "doctor-benchmark.png", png(draw(confusion(outcomes), sentence(outcomes)), dpi=120))
    console.print(f"{RESULTS / 'doctor-benchmark.png'}, {RESULTS / 'doctor-benchmark.json'}")


def run_unseen(base_params: BaseParams, *, seeds: int, healthy: int) -> None:
    """Run the faults of lab/faults/unseen.py on the held-out tasks, with healthy runs, and print the results by themselves.

    Raises:
        UserError: there are none.
    """
    if not UNSEEN:
        raise UserError("--unseen: pipeline/lab/faults/unseen.py has no faults yet; its docstring shows how to write one")
    runs = list(benchmark_runs(HELD_OUT, seeds, healthy, UNSEEN))
    with progress_display(base_params.sections["runtime"]["progress"], len(runs)) as advance:
        outcomes = diagnosed(cases_of(runs, base_params.sections, advance))
    console = Console(highlight=False)
    console.print(table_of(f"unseen faults: {', '.join(HELD_OUT)}", outcomes))
    for name, rate in error_rates(outcomes).items():
        console.print(f"{name}: {rate.in_percent()}")
    write_json(RESULTS / "doctor-unseen.json", {"made_of": base_params.as_json(), "unseen": as_json(outcomes)})
    console.print(f"{RESULTS / 'doctor-unseen.json'}")


def run_reported(base_params: BaseParams) -> None:
    """Run the trainings of reported.py once each, and print what the doctor says of them."""
    runs = {one.run(): name for name, one in REPORTED.items()}
    with progress_display(base_params.sections["runtime"]["progress"], len(runs)) as advance:
        cases = cases_of(runs, base_params.sections, advance)
    Console(highlight=False).print(reported.table_of({runs[run]: case for run, case in cases.items()}))


# ----------------------------------------------------------------------------------------------------------------- running


def cases_of(
    runs: Iterable[BenchmarkRun], base_params: Mapping[str, Any], advance: Callable[[], None]
) -> dict[BenchmarkRun, Case]:
    """The case of every run; in as many processes as there are cores, one thread each."""
    runs = list(runs)
    encode_data_of(runs, base_params)
    os.environ["OMP_NUM_THREADS"] = "1"
    found = {}
    workers = base_params["runtime"]["workers"] or cores()
    tasks = {run: (run, base_params) for run in runs}
    for run, case in run_in_processes(case_of, tasks, workers, on_ctrl_c=signal.SIG_DFL):
        found[run] = case
        advance()
    return {run: found[run] for run in runs}


# ---------------------------------------------------------------------------------------------------------------- counting


def diagnosed(cases: Mapping[BenchmarkRun, Case]) -> list[Outcome]:
    """The diagnosis of every case, with and without the knobs."""
    healthy: dict[tuple[str, str], list[float]] = {}
    for run, case in cases.items():
        if not run.fault and case.final_loss is not None:
            healthy.setdefault((run.task, run.recipe), []).append(case.final_loss)
    outcomes = []
    for run, case in cases.items():
        diagnosis, blind = diagnose(case), diagnose(replace(case, knobs={}))
        losses = healthy.get((run.task, run.recipe))
        harm = case.final_loss - statistics.median(losses) if losses and case.final_loss is not None else None
        outcomes.append(Outcome(run, diagnosis.finding, diagnosis.causes, blind.causes, harm))
    return outcomes


def error_rates(outcomes: Sequence[Outcome]) -> dict[str, Share]:
    """How often faults are found and explained, and how often healthy runs raise an alarm."""
    sick = [one for one in outcomes if one.run.fault]
    healthy = [one for one in outcomes if not one.run.fault]
    return {
        "found": Share(sum(one.found for one in sick), len(sick)),
        f"right cause among the first {NAMED}": Share(sum(one.right for one in sick), len(sick)),
        "the same with the knobs hidden": Share(sum(one.right_blind for one in sick), len(sick)),
        "false alarms": Share(sum(one.found for one in healthy), len(healthy)),
    }


def confusion(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """How often each cause was named first, for each fault, and for healthy runs."""
    counted: dict[str, dict[str, int]] = {}
    for one in sorted(outcomes, key=lambda one: [*KNOWN, ""].index(one.run.fault)):
        row = counted.setdefault(one.run.fault or "healthy", {})
        named = one.causes[0] if one.causes else one.finding
        row[named] = row.get(named, 0) + 1
    return counted


def table_of(title: str, outcomes: Sequence[Outcome]) -> Table:
    """A row per fault: how often it was found and named, and what it did to the loss."""
    table = Table(
        "fault", "harm, nats", "found", "right first", f"right in top {NAMED}", "knobs hidden", "else named first", title=title
    )
    for fault in [*KNOWN, ""]:
        rows = [one for one in outcomes if one.run.fault == fault]
        if not rows:
            continue
        harms = [one.harm for one in rows if one.harm is not None]
        right = KNOWN[fault].cause if fault else "healthy"
        named = [one.causes[0] if one.causes else one.finding for one in rows]
        others = [name for name in dict.fromkeys(named) if name != right]
        table.add_row(
            fault or "healthy",
            f"{statistics.median(harms):+.2f}" if harms else "",
            f"{sum(one.found for one in rows)} of {len(rows)}",
            *(
                [str(named.count(right)), str(sum(one.right for one in rows)), str(sum(one.right_blind for one in rows))]
                if fault
                else ["", "", ""]
            ),
            ", ".join(others),
        )
    return table


def sentence(outcomes: Sequence[Outcome]) -> str:
    """The results in one line."""
    rates = ", ".join(f"{name} {rate.share:.0%}" for name, rate in error_rates(outcomes).items() if "knobs" not in name)
    return f"Held-out tasks ({', '.join(HELD_OUT)}): {rates}."


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The rates and the confusion table."""
    shown = {
        name: {"hits": rate.hits, "of": rate.count, "interval": list(rate.interval)}
        for name, rate in error_rates(outcomes).items()
    }
    return {"rates": shown, "first named": confusion(outcomes)}
