"""A search played for a learner: question, prediction, runs, winners with their fresh scores, verdicts, what comes next."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.pages import terminal
from pipeline.lab.studies.pages.rulings import rulings
from pipeline.lab.studies.prediction import ask_prediction, begin_study, settle_predictions
from pipeline.lab.studies.report import progress_display
from pipeline.lab.studies.runs.identity import has_results
from pipeline.lab.studies.search import result
from pipeline.lab.studies.search.budget import budget_text
from pipeline.lab.studies.search.run import Trainings, run_searches, samplers_of, search_identity
from pipeline.lab.studies.search_space import Search


def play_search(
    name: str, entry: Entry, search: Search, base: BaseParams, *, asks: bool = False, fleet: Fleet | None = None
) -> Path:
    """Play a search and tell it on the terminal.

    Args:
        asks: ask the learner for a prediction first, if there is a terminal.
        fleet: the machines that run what is not kept; None = this one.

    Returns:
        Its page.

    Raises:
        UserError: Optuna is not installed, or a knob cannot be used; before anything runs.
    """
    samplers = samplers_of(search)
    check(search, base)
    identity, out = search_identity(name, search, base), terminal.console()
    terminal.say_question(out, name, entry)
    if asks:
        ask_prediction(name, search.sweep, identity, lambda: has_results(name, identity))
        out.print()
    runs = f"{budget_text(search)}; {entry.price}"
    terminal.say_parts(out, [("Predicted", entry.predicts), ("Control", entry.control), ("Runs", runs)])
    begin_study(name, identity)
    trainings = Trainings(search, base, fleet=fleet)
    allowed = trainings.allowance(identity)
    count = len(samplers) * (allowed.runs + search.fresh)
    with progress_display(base.sections["runtime"]["progress"], count) as advance:
        trainings.advance = advance
        tried = run_searches(search, samplers, trainings.score, allowed, higher_is_better=trainings.measure.higher_is_better)
    found = result.scores(search, tried, trainings.held_out)
    verdicts = [claim.judge({search.measure: found}) for _, claim in search.sweep.claims]
    terminal.say_tables(out, {search.measure: found})
    out.print()
    out.print(
        Text.assemble(("the best point of each search", "bold"), (f"  fresh: {search.fresh} seeds, mean and 95 % CI", "dim"))
    )
    out.print(result.winners_table(search, tried))
    out.print()
    terminal.say_parts(out, [("Too good", f"{sampler}: {said}") for sampler, said in result.too_good(search, found)])
    terminal.say_parts(out, [("Edge", said) for said in result.at_edges(search, tried)])
    terminal.say_rulings(out, list(rulings(name, search.sweep, verdicts)))
    bet = settle_predictions(name, identity, verdicts)
    files = result.write_search(name, entry, search, base, tried, found, verdicts, bet)
    terminal.say_end(out, entry, bet, files)
    return files["html"]


def check(search: Search, base: BaseParams) -> None:
    """Check that every end of a range and every choice can be used.

    Raises:
        ParamsError: with one line for each that cannot.
    """
    Trainings(search, base).check_space()
