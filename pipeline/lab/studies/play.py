"""A study played for a learner: question, prediction, control, runs, tables, verdicts, what to notice, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.lab.commands import print_notes
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.studies import recipes
from pipeline.lab.studies.claims.base import Verdict
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry, find_entry, read_entries
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.pages import terminal
from pipeline.lab.studies.pages.rulings import rulings
from pipeline.lab.studies.prediction import ask_prediction, begin_study, settle_predictions
from pipeline.lab.studies.report import run_grid, size_text, write_results
from pipeline.lab.studies.runs.identity import already_run, study_identity
from pipeline.params.errors import UserError

QUICK_SEEDS = 3  # the fewest that give an interval worth reading: Student's factor is 4.3, of two seeds 12.7


@dataclass(frozen=True)
class Played:
    """A study that was played.

    Attributes:
        found: every measure on the grid.
        verdicts: on its claims, in their order.
        picture, page, numbers: the files that it wrote: PNG, HTML and JSON.
    """

    name: str
    entry: Entry
    sweep: Sweep
    found: Mapping[str, Results]
    verdicts: tuple[Verdict, ...]
    picture: Path
    page: Path
    numbers: Path


def play_study(
    name: str,
    overrides: Sequence[str] = (),
    *,
    seeds: Sequence[int] | None = None,
    quick: bool = False,
    asks: bool = False,
    as_is: bool = False,
) -> Played:
    """Play a grid of studies/ and tell it on the terminal.

    Args:
        name: of the study.
        overrides: each "train.lr=0.001"; they win over the entry's.
        seeds: instead of its own.
        quick: at most QUICK_SEEDS seeds.
        asks: ask the learner for a prediction before the machine's is shown, if there is a terminal.
        as_is: start from params.yaml as it is, not from that of the last commit.

    Raises:
        UserError: there is no such grid, or a knob cannot be used.
    """
    entry = find_entry(name, read_entries())
    if entry.sweep is None:
        kind = "search" if entry.search else "single DVC experiment"
        raise UserError(f"{name}: is a {kind}, not a grid; `rally play {name}` runs it")
    chosen = tuple(seeds) if seeds else entry.sweep.seeds
    sweep = replace(entry.sweep, seeds=chosen[:QUICK_SEEDS] if quick else chosen)
    base = recipes.apply_entry(base_params(as_is=as_is), entry, overrides)
    print_notes(base.notes(recipes.overridden_knobs(entry, overrides)))
    return play_grid(name, entry, sweep, base, asks=asks)


def play_grid(
    name: str, entry: Entry, sweep: Sweep, base: BaseParams, *, asks: bool = False, fleet: Fleet | None = None
) -> Played:
    """Play a grid with parameters that are at hand; see `play_study`.

    Raises:
        ParamsError: with one line for each knob that cannot be used, before anything runs.
    """
    runs, out = _runs_text(entry, sweep, base), terminal.console()
    terminal.say_question(out, name, entry)
    identity = study_identity(name, sweep, base)
    if asks:
        ask_prediction(name, sweep, identity, lambda: already_run(name, sweep, base))
        out.print()
    terminal.say_parts(out, [("Predicted", entry.predicts), ("Control", entry.control), ("Runs", runs)])
    begin_study(name, identity)
    outcome = run_grid(sweep, base, fleet)
    terminal.say_tables(out, outcome.found)
    terminal.say_rulings(out, list(rulings(name, sweep, outcome.verdicts)))
    bet = settle_predictions(name, identity, outcome.verdicts)
    files = write_results(name, entry, sweep, base, outcome, bet)
    terminal.say_end(out, entry, bet, files)
    return Played(name, entry, sweep, outcome.found, outcome.verdicts, files["png"], files["html"], files["json"])


def _runs_text(entry: Entry, sweep: Sweep, base: BaseParams) -> str:
    """How many runs there are, and what they cost."""
    return f"{size_text(sweep, list(sweep.variants(base.sections)))}; {entry.price}"
