"""`rally doctor` and `rally doctor benchmark`, with their options."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.lab.commands import CommandGroup, print_notes
from pipeline.lab.project import enter_project

app = typer.Typer(cls=CommandGroup, help="Say whether the run is healthy and, if not, why.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def doctor(
    context: typer.Context,
    all_signs: Annotated[
        bool,
        typer.Option("--all", help="Show every sign (a measured value with its healthy range), not only those out of range."),
    ] = False,
) -> None:
    """Say whether the run is healthy and, if not, why.

    Each finding comes with its evidence, its likeliest causes, and the experiment that would confirm each, as a command to
    paste. Ends with status 1 if the diagnosis is of other knobs, code or data than those in this folder.
    """
    enter_project()
    if context.invoked_subcommand is None:
        from pipeline.lab.doctor.show import show

        sys.exit(0 if show(all_signs=all_signs) else 1)


@app.command()
def benchmark(
    seeds: Annotated[int, typer.Option(min=1, help="Runs with each fault on each task.")] = 3,
    healthy: Annotated[int, typer.Option(min=0, help="Healthy runs on each task.")] = 10,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="Only this fault; repeat it for more. Default: all of them.")
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Print the ranges that the first half of the tasks suggests.")] = False,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Only the faults of lab/faults/unseen.py, which no range was fitted on.")
    ] = False,
    reported: Annotated[
        bool, typer.Option("--reported", help="Only the runs on which the doctor was once judged from outside, once each.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only the checkpoints of `rally plan`: how many of 20 faults miss one by step 100.")
    ] = False,
) -> None:
    """Test the doctor on runs with known faults.

    Some 800 trainings of language models, most with a fault put in on purpose: an hour on two cores. What was
    trained is kept, so an interrupted benchmark goes on where it stopped, and one with other thresholds trains nothing.
    """
    enter_project()
    from pipeline.lab.dvc.base_params import base_params
    from pipeline.params.errors import UserError
    from pipeline.params.parse import parse
    from pipeline.params.schema import Params

    parse(Params, dict((standing := base_params()).sections))
    print_notes(standing.notes())
    from pipeline.lab.doctor import benchmark as room

    if unseen + reported + plan + bool(fit or fault) > 1:
        raise UserError("--unseen, --reported, --plan, --fit and --fault are different tests; give one")
    if plan:
        from pipeline.lab.doctor.plan_benchmark import run_plan_benchmark

        run_plan_benchmark(standing, healthy=healthy)
    elif unseen:
        room.run_unseen(standing, seeds=seeds, healthy=healthy)
    elif reported:
        room.run_reported(standing)
    else:
        room.run_benchmark(standing, seeds=seeds, healthy=healthy, only=fault or [], fit=fit)
