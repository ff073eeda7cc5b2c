"""`rally claims`, `rally claims add` and `rally claims replay`, with their options."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pipeline.lab.commands import CommandGroup
from pipeline.lab.project import enter_project

app = typer.Typer(cls=CommandGroup, help="List what was claimed and whether it still stands.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def claims(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="End with status 1 if one is stale or refuted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List what was claimed and whether it still stands.

    Each file of notebook/claims holds a claim, the numbers that it was judged on, and digests of the code, data and knobs that
    made them. The numbers are judged again, and the digests compared; nothing is trained. A claim is stale where code, data,
    knobs or bounds have changed since.
    """
    enter_project()
    if context.invoked_subcommand is not None:
        return
    from pipeline.lab.claim_files import listing
    from pipeline.lab.claim_files.standing import Project

    project = Project()
    found, missing = listing.standings(project), listing.missing_files(project)
    if as_json:
        print(json.dumps(listing.as_json(found, missing), ensure_ascii=False))
    else:
        listing.say(found, missing)
    sys.exit(1 if check and not listing.passes(found) else 0)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A grid of studies/ that was played; with --from a name of your own.")],
    arms: Annotated[
        str | None, typer.Option("--from", metavar="NAME,NAME,…", help="Experiments of DVC, one of each variant.")
    ] = None,
    checks: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="CLAIM", help="Of experiments: exceeds: {measure: loss, more: A, less: B, by: 0.02}"),
    ] = None,
) -> None:
    """Write the claim file of a study that was played, or of experiments.

    A study's claims, and the numbers of results/NAME.json, become notebook/claims/NAME.yaml. They are confirmatory if nobody
    had seen the seeds before (`rally play NAME --fresh`), else exploratory. With --from and --check, a claim of your own about
    scores of experiments, in the words of a study's `check`.
    """
    enter_project()
    from pipeline.lab.claim_files import adding, form
    from pipeline.params.errors import UserError

    if bool(arms) != bool(checks):
        raise UserError("--from and --check: belong together; a study brings its own claims")
    file = adding.add_experiments(name, arms.split(","), checks) if arms and checks else adding.add_study(name)
    print(f"{form.path_of(name)}: {file.status}, {file.kind}")


@app.command()
def replay(
    name: Annotated[str, typer.Argument(help="A claim.")],
    fresh: Annotated[bool, typer.Option("--fresh", help="Make it again with seeds of which nobody saw a result.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask for all runs, although nothing is stale.")] = False,
    sample: Annotated[int, typer.Option(min=0, metavar="N", help="Make only N runs; if they are equal, keep all values.")] = 0,
) -> None:
    """Make again what is stale of a claim, and write its file: `git diff notebook/claims` is the changed conclusion.

    Runs that are kept and of this code are read. Where only a bound has changed, the values that are there are judged. After a
    change of the code that changes no number, such as a comment, --sample 2 is enough. Ends with status 1 if a sample differs.
    """
    enter_project()
    from pipeline.lab.claim_files import form
    from pipeline.lab.claim_files import replay as room
    from pipeline.params.errors import UserError

    if sample and (fresh or again):
        raise UserError("--sample: makes a few of the runs; --fresh and --again make all of them. Give one")
    before = form.read(name).status
    done = room.replay(name, fresh=fresh, again=again, sample=sample)
    was = f" (was {before})" if before != done.file.status else ""
    print(f"{name}: {done.file.status}{was}, {done.file.kind}; {done.text}")
    sys.exit(0 if done.is_equal else 1)
