"""`rally plan`, `rally plan run` and `rally plan show`, with their options."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from pipeline.lab.commands import CommandGroup
from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError


class PlanGroup(CommandGroup):
    """`rally plan`, which tells the name of a plan from a command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            enter_project()
            from pipeline.lab.plan import form

            if args[0] in form.plans():
                raise UserError(
                    f"rally plan {args[0]}: is a plan; use `rally plan show {args[0]}` or `rally plan run {args[0]}`"
                )
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=PlanGroup, rich_markup_mode=None)
LEAST_CARD, MOST_CARD, MOST_HOURS = 1.0, 1000.0, 1000.0


@app.callback(invoke_without_command=True)
def plan(
    context: typer.Context,
    card: Annotated[float | None, typer.Option("--card", metavar="GB", help="The memory of the card.")] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="For this machine's CPU instead of a card.")] = False,
    hours: Annotated[
        float | None,
        typer.Option("--hours", metavar="HOURS", help="Of the longest run; all runs take three to four times that."),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME", help="The text. Default: tinystories, on a CPU that of params.yaml.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Write it to notebook/plans/NAME.yaml; its runs are NAME-01, …."),
    ] = None,
    clock: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Time 20 steps of each size, if the machine is this one.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Plan experiments for the card at hand.

    \b
    rally plan --card 12 --hours 2 --name first    print the plan, and write it
    rally plan --cpu --hours 0.2 --name small      the same game without a card
    rally plan run first                           the next run, as an experiment of DVC
    rally plan show first                          what is done, what held, what is next
    rally plan                                     the plans that there are

    Finds the network that learns most in the hours and fits the memory (as `rally budget` estimates it), two smaller ones to
    search with, the order of the search, and what every run must be at steps 0, 1, 10, 100 and 1,000, at 10, 25 and 50 % and at
    the end, with what to do where it is not. Without --name nothing is written.
    """  # noqa: D301 (typer's mark for lines that stay)
    enter_project()
    given = {"--card": card, "--cpu": cpu or None, "--hours": hours, "--data": data, "--name": name}
    options = [option for option, value in given.items() if value is not None]
    if context.invoked_subcommand is not None:
        if options:
            raise UserError(f"rally plan {context.invoked_subcommand}: is of a written plan, without {', '.join(options)}")
        return
    if not options:
        _list(as_json=as_json)
        return
    problems = _problems(card, cpu=cpu, hours=hours)
    if problems:
        raise UserError(*problems)
    from pipeline.lab.dvc.base_params import base_params
    from pipeline.lab.plan import form
    from pipeline.lab.plan.draft import Wish, draft
    from pipeline.lab.plan.page import as_json as page_json
    from pipeline.lab.plan.page import page

    if name is not None:
        form.check_free(name)
    assert hours is not None
    made = draft(Wish(name or "first", None if cpu else card, hours, data, clock), base_params().sections)
    path = form.write(made) if name is not None else None
    if as_json:
        print(json.dumps(page_json(made), ensure_ascii=False))
    else:
        print(page(made, written=path is not None))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The plan.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command and the forecast, but do not run it.")] = False,
) -> None:
    """Do the next run of a plan, as an ordinary experiment of DVC.

    Before it begins, its forecast goes into the ledger of bets and its checkpoints into notebook/plans/NAME/NN.yaml; afterwards
    both are judged. A run that was interrupted is done again, from where its training stopped.
    """
    enter_project()
    from pipeline.lab.plan import form
    from pipeline.lab.plan.play import run_next

    sys.exit(run_next(form.read(name), dry_run=dry_run))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The plan.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what of a plan is done, what held, and what is next."""
    enter_project()
    from pipeline.lab.plan import form, shown

    made = form.read(name)
    print(json.dumps(shown.as_json(made), ensure_ascii=False) if as_json else shown.show(made))


def _list(*, as_json: bool) -> None:
    """Print the plans that there are."""
    from pipeline.lab.plan import form

    names = form.plans()
    if as_json:
        print(json.dumps(names))
    elif names:
        print(*(f"{form.path_of(one)}: `rally plan show {one}`" for one in names), sep="\n")
    else:
        print(f"There is no plan yet; {form.HOW_TO_MAKE}.")


def _problems(card: float | None, *, cpu: bool, hours: float | None) -> list[str]:
    """What is wrong with the options."""
    problems = []
    if cpu and card is not None:
        problems.append("--card and --cpu: name two machines; give one")
    elif not cpu and card is None:
        problems.append("--card: is missing; give its memory in GB (--card 12), or --cpu")
    elif card is not None and not LEAST_CARD <= card <= MOST_CARD:
        problems.append(
            f"--card {card:g}: cannot be the memory of a card in GB; use {LEAST_CARD:g} to {MOST_CARD:g}, such as 12"
        )
    if hours is None:
        problems.append("--hours: is missing; give those of the longest run, such as 2")
    elif not 0 < hours <= MOST_HOURS:
        problems.append(f"--hours {hours:g}: cannot be the time of a run; use more than 0, at most {MOST_HOURS:g}, such as 2")
    return problems
