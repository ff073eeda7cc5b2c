"""`rally play` and its options."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.lab.commands import SetParam, print_notes
from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError


def play(
    name: Annotated[str | None, typer.Argument(help="A study of studies/. Without it: list them.")] = None,
    set_param: SetParam = None,
    experiment: Annotated[str | None, typer.Option("-n", "--name", help="The name of the experiment.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Put it in DVC's queue; `dvc queue start` runs it.")] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Start from params.yaml as it is, not from that of the last commit.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and print the command, but do not run it.")] = False,
    tell: Annotated[bool, typer.Option("--about", help="Print everything about it, but do not run it.")] = False,
    more_seeds: Annotated[
        list[str] | None,
        typer.Option("--seeds", help="Further seeds of a grid, such as 4-8: another look, at a price."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="As many seeds that nobody saw: does it hold again?")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask for no prediction.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page of a grid in a browser.")] = False,
) -> None:
    """Run a study of studies/: one experiment or a whole grid.

    An experiment is one training, by `dvc exp run`; the command is checked and printed first. A grid is many trainings, over
    knobs and seeds, in this process: it asks for your prediction, runs, judges each claim, and says what to notice and what
    comes next, here and on a page (results/NAME.html). Both start from params.yaml as last committed: later changes are listed
    but ignored, unless you give --as-is. Without a name: list the studies.
    """
    enter_project()
    from pipeline.lab.dvc import run_dvc
    from pipeline.lab.dvc.base_params import base_params
    from pipeline.lab.studies import entries, listing, recipes

    if name is None:
        print(listing.listing(entries.read_entries()))
        return
    entry = entries.find_entry(name, entries.read_entries())
    if tell:
        print(listing.about(name, entry))
        return
    if entry.sweep:
        if experiment or queue:
            raise UserError(f"{name}: is a grid, not a single DVC experiment; leave out -n and --queue")
        entry = recipes.with_seeds(entry, set_param or [], more_seeds or [], fresh=fresh)
        base = recipes.apply_entry(base_params(as_is=as_is), entry, set_param or [])
        print_notes(base.notes(recipes.overridden_knobs(entry, set_param or [])))
        assert entry.sweep
        from pipeline.lab.studies import play as player
        from pipeline.lab.studies import report

        if dry_run:
            print(report.size_text(entry.sweep, list(entry.sweep.variants(base.sections))))
            return
        played = player.play_grid(name, entry, entry.sweep, base, asks=not yes)
        if open_page:
            typer.launch(played.page.resolve().as_uri())
        return
    if more_seeds or fresh:
        raise UserError(f"{name}: is a single DVC experiment, which has one seed; leave out --seeds and --fresh")
    if open_page:
        raise UserError(f"{name}: is a single DVC experiment, which has no page; `dvc plots show` draws it. Leave out --open")
    base = base_params(as_is=as_is)
    commands = recipes.experiment_commands(name, set_param or [], experiment=experiment, queue=queue, base=base)
    print_notes(base.notes(recipes.overridden_knobs(entry, set_param or [])))
    if dry_run:
        print(*map(run_dvc.shell_line, commands), sep="\n")
        return
    from pipeline.lab.experiments.command_check import check_command

    for command in commands:
        check_command(command)
    sys.exit(run_dvc.run_dvc(*commands))
