"""The runs of a drill: a study, or commands and a computation; what they found, and their identity for bets."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.identity import digest
from pipeline.lab.course.computations.table import COMPUTATIONS
from pipeline.lab.course.day import Drill, Run
from pipeline.lab.course.truths.base import Found
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies import recipes
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


def play_grid_of(run: Run, entry: Entry, base: BaseParams, *, quick: bool) -> tuple[Found, Path]:
    """Run a study, print its tables and verdicts, write its files; what it found, and its picture."""
    from pipeline.lab.studies.pages import terminal
    from pipeline.lab.studies.pages.rulings import rulings
    from pipeline.lab.studies.report import run_grid, size_text, write_results

    sweep, own = prepared(run, entry, base, quick=quick)
    out = terminal.console()
    terminal.say_parts(out, [("Predicted", entry.predicts), ("Runs", size_text(sweep, list(sweep.variants(own.sections))))])
    outcome = run_grid(sweep, own)
    terminal.say_tables(out, outcome.found)
    terminal.say_rulings(out, list(rulings(run.play, sweep, outcome.verdicts)))
    files = write_results(run.play, entry, sweep, own, outcome)
    return Found(outcome.found, [verdict.status.value for verdict in outcome.verdicts]), files["png"]


def computed(drill: Drill, base: BaseParams) -> tuple[Found, Path | None]:
    """Compute the answer of a drill, print it, and write its picture if it has one."""
    result = COMPUTATIONS[drill.run.do].run(base, **drill.run.arguments)
    print(*result.lines, sep="\n")
    if result.picture is None:
        return Found({}, (), result.values), None
    from pipeline.artifacts.writing import write_bytes
    from pipeline.figures.style import png

    write_bytes(file := RESULTS / f"{drill.name}.png", png(result.picture, dpi=100))
    return Found({}, (), result.values), file


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
