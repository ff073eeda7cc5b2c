"""`rally track` and its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.lab.project import enter_project
from pipeline.params.errors import printable


def track(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT]…", help="Without any: this commit, and its experiments; `workspace`: the run here."
        ),
    ] = None,
    to: Annotated[Literal["tensorboard", "mlflow", "trackio"], typer.Option(help="The tracker.")] = "tensorboard",
    folder: Annotated[Path | None, typer.Option(help="Where it reads; otherwise tracked/TRACKER.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="The experiments of all commits, not of this one only.")] = False,
) -> None:
    """Show experiments in TensorBoard, MLflow or trackio."""
    called_from = enter_project()
    from pipeline.lab.tracking import track as room
    from pipeline.params.errors import UserError
    from pipeline.progress import follower, say

    if names and all_:
        raise UserError("--all means the experiments of all commits; name some, or use --all")
    place = Path(os.path.relpath(called_from / folder)) if folder else Path("tracked", to)
    done = room.track(to, names or [], place, follower("auto"), all_commits=all_)
    for line in done.left_out:
        say(line)
    runs = f"{done.written} run{'s' if done.written != 1 else ''} written"
    print(printable(f"{place}: {runs}, {done.known} there before; `{done.look}` shows them"))
