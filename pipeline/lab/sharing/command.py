"""`rally share` and its options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import printable


def share(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]…", help="Without any: this commit, and its experiments.")
    ] = None,
    to: Annotated[str, typer.Option(metavar="NAME", help="The git remote for commits and experiments.")] = "origin",
    remote: Annotated[str, typer.Option(metavar="NAME", help="The DVC remote for the data; otherwise the default one.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="The experiments of all commits, not of this one only.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare contents too: download every file once, keep none.")
    ] = False,
    run_cache: Annotated[
        bool, typer.Option("--run-cache", help="Also what `dvc repro --pull` needs to skip stages that ran here.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send a commit, experiments and data; check every file."""
    enter_project()
    from pipeline.lab.sharing import share as room
    from pipeline.lab.sharing.request import NotSharedError
    from pipeline.lab.sharing.shown import lines
    from pipeline.params.errors import UserError
    from pipeline.progress import follower, say

    if names and all_:
        raise UserError("--all means the experiments of all commits; name some, or use --all")
    options = room.Options(remote, to, all_, verify, run_cache, dry_run)
    try:
        done = room.share(Path.cwd(), names or [], options, follower("auto"), say)
    except NotSharedError as error:
        say(str(error))
        raise typer.Exit(1) from None
    for note in done.notes:
        say(note)
    if as_json:
        print(json.dumps(done.as_json(), indent=2))
    else:
        for line in lines(done):
            print(printable(line))
    if done.held_back:
        raise typer.Exit(1)
