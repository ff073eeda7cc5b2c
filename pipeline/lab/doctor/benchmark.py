"""The doctor's own trial: runs of which one knows what they have, and what the doctor says of them.

Every fault is put into otherwise healthy runs, on several tasks, once a seed; beside them are healthy runs. Ranges and votes
were fitted on half of the tasks; what counts is the other half.
"""

from __future__ import annotations

import math
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
from pipeline.lab.doctor.cases import FITTED_ON, HELD_OUT, TASKS, Patient, patients
from pipeline.lab.doctor.confusion_plot import draw
from pipeline.lab.doctor.fit_ranges import fitted, lines
from pipeline.lab.doctor.run_case import case_of, data_for
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.faults.faults import FAULTS
from pipeline.lab.studies.report import RESULTS, progress_display
from pipeline.lab.workers import run_in_processes
from pipeline.params.errors import UserError
from pipeline.params.machine import cores
from pipeline.params.names import suggest

NAMED = 2  # causes among which the right one must be

AIMS = {"found": 0.9, "right": 0.7, "false alarms": 0.05}


@dataclass(frozen=True)
class Outcome:
    """What the doctor said of a patient.

    Attributes:
        finding: the first one, or "healthy".
        causes: those that it named, in the order in which one reads them.
        blind: the same where it was not shown the knobs.
        harm: how many nats the loss ended above that of the healthy runs of its task and recipe; None where nothing tells.
    """

    patient: Patient
    finding: str
    causes: tuple[str, ...]
    blind: tuple[str, ...]
    harm: float | None

    @property
    def found(self) -> bool:
        return self.finding != "healthy"

    @property
    def right(self) -> bool:
        return bool(self.patient.fault) and FAULTS[self.patient.fault].cause in self.causes[:NAMED]

    @property
    def right_blind(self) -> bool:
        return bool(self.patient.fault) and FAULTS[self.patient.fault].cause in self.blind[:NAMED]


@dataclass(frozen=True)
class Rate:
    """How often something was so, of how often it could have been, with Wilson's 95 % interval.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """

    hits: int
    of: int

    @property
    def share(self) -> float:
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        z, n, p = 1.959964, self.of, self.share
        middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max((middle - half) / (1 + z**2 / n), 0.0), min((middle + half) / (1 + z**2 / n), 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:.1%} ({low:.0%} … {high:.0%}; {self.hits} of {self.of})"


def run_benchmark(standing: BaseParams, *, seeds: int, healthy: int, only: Sequence[str], fit: bool = False) -> None:
    """Hold the trial, print what came of it, and leave it in FOUND.

    Args:
        standing: the knobs that the trainings stand on.
        healthy: runs without a fault, of each task.
        only: faults to look at; none = all of them.
        fit: print the lines of the table of ranges that the tasks to fit on speak for.

    Raises:
        UserError: there is no such fault, or ranges are to be fitted on some alone.
    """
    if unknown := [name for name in only if name not in FAULTS]:
        raise UserError(*(f"--fault: there is no '{name}'. {suggest(name, tuple(FAULTS))}" for name in unknown))
    if fit and only:
        raise UserError("--fit: wants all faults to lie beside the healthy runs; leave --fault out")
    wanted = [one for one in patients(TASKS, seeds, healthy) if not only or not one.fault or one.fault in only]
    with progress_display(standing.sections["runtime"]["progress"], len(wanted)) as advance:
        cases = cases_of(wanted, standing.sections, advance)
    console = Console(highlight=False)
    if fit:
        chosen = {patient: case for patient, case in cases.items() if patient.task in FITTED_ON}
        console.print(*lines(fitted(chosen)), sep="\n", soft_wrap=True)
    told: dict[str, Any] = {"made_of": standing.as_json()}
    for half, tasks in (("fitted on", FITTED_ON), ("held out", HELD_OUT)):
        outcomes = diagnosed({patient: case for patient, case in cases.items() if patient.task in tasks})
        console.print(table(f"{half}: {', '.join(tasks)}", outcomes))
        for name, rate in error_rates(outcomes).items():
            console.print(f"{name}: {rate}")
        told[half] = as_json(outcomes)
    write_json(RESULTS / "doctor-trial.json", told)
    write_bytes(RESULTS / "doctor-trial.png", png(draw(confusion(outcomes), sentence(outcomes)), dpi=120))
    console.print(f"{RESULTS / 'doctor-trial.png'}, {RESULTS / 'doctor-trial.json'}")


# ----------------------------------------------------------------------------------------------------------------- running


def cases_of(wanted: Iterable[Patient], standing: Mapping[str, Any], advance: Callable[[], None]) -> dict[Patient, Case]:
    """What every patient leaves; in as many processes as there are cores, one thread each."""
    ahead = list(wanted)
    data_for(ahead, standing)
    os.environ["OMP_NUM_THREADS"] = "1"
    found = {}
    workers = standing["runtime"]["workers"] or cores()
    tasks = {patient: (patient, standing) for patient in ahead}
    for patient, case in run_in_processes(case_of, tasks, workers, on_ctrl_c=signal.SIG_DFL):
        found[patient] = case
        advance()
    return {patient: found[patient] for patient in ahead}


# ---------------------------------------------------------------------------------------------------------------- counting


def diagnosed(cases: Mapping[Patient, Case]) -> list[Outcome]:
    """What the doctor says of every case."""
    usual: dict[tuple[str, str], list[float]] = {}
    for patient, case in cases.items():
        if not patient.fault and case.final is not None:
            usual.setdefault((patient.task, patient.recipe), []).append(case.final)
    outcomes = []
    for patient, case in cases.items():
        said, blind = diagnose(case), diagnose(replace(case, knobs={}))
        twins = usual.get((patient.task, patient.recipe))
        harm = case.final - statistics.median(twins) if twins and case.final is not None else None
        outcomes.append(Outcome(patient, said.finding, said.causes, blind.causes, harm))
    return outcomes


def error_rates(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    """The figures that the trial is about."""
    sick = [one for one in outcomes if one.patient.fault]
    healthy = [one for one in outcomes if not one.patient.fault]
    return {
        "found": Rate(sum(one.found for one in sick), len(sick)),
        f"right cause among the first {NAMED}": Rate(sum(one.right for one in sick), len(sick)),
        "the same without seeing the knobs": Rate(sum(one.right_blind for one in sick), len(sick)),
        "false alarms": Rate(sum(one.found for one in healthy), len(healthy)),
    }


def confusion(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """How often each cause was named first, for each fault, and for healthy runs."""
    counted: dict[str, dict[str, int]] = {}
    for one in sorted(outcomes, key=lambda one: [*FAULTS, ""].index(one.patient.fault)):
        row = counted.setdefault(one.patient.fault or "healthy", {})
        said = one.causes[0] if one.causes else one.finding
        row[said] = row.get(said, 0) + 1
    return counted


def table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """A row a fault: how often it was found, and named; what it did to the loss."""
    drawn = Table("fault", "harm, nats", "found", "right first", f"right in {NAMED}", "blind", "else named first", title=title)
    for fault in [*FAULTS, ""]:
        rows = [one for one in outcomes if one.patient.fault == fault]
        if not rows:
            continue
        harms = [one.harm for one in rows if one.harm is not None]
        right = FAULTS[fault].cause if fault else "healthy"
        said = [one.causes[0] if one.causes else one.finding for one in rows]
        others = [name for name in dict.fromkeys(said) if name != right]
        drawn.add_row(
            fault or "healthy",
            f"{statistics.median(harms):+.2f}" if harms else "",
            f"{sum(one.found for one in rows)} of {len(rows)}",
            *(
                [str(said.count(right)), str(sum(one.right for one in rows)), str(sum(one.right_blind for one in rows))]
                if fault
                else ["", "", ""]
            ),
            ", ".join(others),
        )
    return drawn


def sentence(outcomes: Sequence[Outcome]) -> str:
    """What came of it, in one line."""
    said = ", ".join(f"{name} {rate.share:.0%}" for name, rate in error_rates(outcomes).items() if "knobs" not in name)
    return f"Tasks that nothing was fitted on ({', '.join(HELD_OUT)}): {said}."


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The numbers behind it."""
    shown = {
        name: {"hits": rate.hits, "of": rate.of, "interval": list(rate.interval)}
        for name, rate in error_rates(outcomes).items()
    }
    return {"rates": shown, "first named": confusion(outcomes)}
