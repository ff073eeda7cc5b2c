"""The runs of a drill: a study, or commands and a computation; what they found, and their identity for bets."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.identity import digest
from pipeline.lab.course.computations.table import COMPUTATIONS
from pipeline.lab.course.day import Drill, Run
from pipeline.lab.course.truths.base import Found
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies import recipes
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.runs.identity import RESULTS, already_run, study_identity

QUICK_SEEDS = 3  # the fewest that give an interval worth reading


def prepared(run: Run, entry: Entry, base: BaseParams, *, quick: bool) -> tuple[Sweep, BaseParams]:
    """The grid of a study and its base parameters, shortened if it is to be quick.

    Raises:
        UserError: a knob of the short form cannot be used.
    """
    assert entry.sweep, "reading.py admits grids alone"
    seeds = run.seeds or entry.sweep.seeds
    sweep = replace(entry.sweep, seeds=(run.quick.seeds or seeds[:QUICK_SEEDS]) if quick else seeds)
    return sweep, recipes.apply_entry(base, entry, run.quick.set if quick else ())


def identity_of(drill: Drill, entry: Entry | None, base: BaseParams, *, quick: bool) -> str:
    """A digest of what answers a drill: the runs of its study, or what it computes; "" for a blind fault."""
    if entry:
        sweep, own = prepared(drill.run, entry, base, quick=quick)
        return study_identity(drill.run.play, sweep, own)
    return "" if drill.run.blind else digest([drill.run.do, drill.run.arguments, drill.run.commands])[:32]


def is_known(drill: Drill, entry: Entry | None, base: BaseParams, *, quick: bool) -> bool:
    """Whether the answer is here already, so that a bet on it comes too late."""
    if not entry:
        return False
    sweep, own = prepared(drill.run, entry, base, quick=quick)
    return already_run(drill.run.play, sweep, own)


@dataclass(frozen=True)
class Answer:
    """What a run gave for a drill.

    Attributes:
        found: what a truth is read from.
        picture: its file, where there is one.
        say: prints the part that answers the question.
        say_details: prints all tables with their intervals, and the verdict on every claim; None where there is no more.
    """

    found: Found
    picture: Path | None
    say: Callable[[], None]
    say_details: Callable[[], None] | None = None


def play_grid_of(drill: Drill, entry: Entry, base: BaseParams, *, quick: bool) -> Answer:
    """Run the study of a drill and write its files."""
    from pipeline.lab.studies.pages import terminal
    from pipeline.lab.studies.pages.rulings import rulings
    from pipeline.lab.studies.report import run_grid, size_text, write_results

    assert drill.truth
    sweep, own = prepared(drill.run, entry, base, quick=quick)
    out, name = terminal.console(), drill.run.play
    terminal.say_parts(out, [("Runs", size_text(sweep, list(sweep.variants(own.sections))))])
    outcome = run_grid(sweep, own)
    files = write_results(name, entry, sweep, own, outcome)
    judged = list(rulings(name, sweep, outcome.verdicts))
    measure = drill.truth.measure(sweep)
    part = within(outcome.found[measure], drill.truth.at)

    def say_details() -> None:
        terminal.say_parts(out, [("Predicted", entry.predicts), ("Control", entry.control)])
        terminal.say_tables(out, outcome.found)
        terminal.say_rulings(out, judged)

    found = Found(outcome.found, [verdict.status.value for verdict in outcome.verdicts])
    return Answer(found, files["png"], lambda: terminal.say_means(out, {measure: part}), say_details)


def within(whole: Results, at: Mapping[str, Any]) -> Results:
    """A measure without the panels that a drill does not ask about; rows and columns stay, to compare with."""
    panels = [axis.name for axis in whole.axes[:-2]]
    return whole.at({name: label if isinstance(label, list) else [label] for name, label in at.items() if name in panels})


def computed(drill: Drill, base: BaseParams) -> Answer:
    """Compute the answer of a drill, and write its picture if it has one."""
    result = COMPUTATIONS[drill.run.do].run(base, **drill.run.arguments)

    def say() -> None:
        print("", *result.lines, sep="\n")

    file = None
    if result.picture is not None:
        from pipeline.artifacts.writing import write_bytes
        from pipeline.figures.style import png

        write_bytes(file := RESULTS / f"{drill.name}.png", png(result.picture, dpi=100))
    return Answer(Found({}, (), result.values), file, say)


def run_commands(lines: Sequence[str], needs: str) -> None:
    """Run commands whose output the learner reads; those that need a trained model are left out where there is none."""
    for line in lines:
        if needs and not Path(needs).exists():
            print(f"$ {line}\n(left out: it needs {needs}, which `./run dvc repro` makes)\n")
            continue
        print(f"$ {line}", flush=True)
        program, _, rest = line.partition(" ")
        words = [sys.executable, "-m", "pipeline.lab.cli"] if program == "rally" else [sys.executable, "-m", "dvc"]
        subprocess.run([*words, *shlex.split(rest)], check=False)
        print(flush=True)
