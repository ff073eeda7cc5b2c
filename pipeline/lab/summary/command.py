"""`rally compile` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.lab.project import enter_project


def compile_(
    all_commits: Annotated[
        bool, typer.Option("-A", "--all-commits", help="The experiments of all commits, not only of this branch.")
    ] = False,
    since: Annotated[str, typer.Option(metavar="REV", help="Of this branch only this commit and those after it.")] = "",
    metric: Annotated[str | None, typer.Option(help="The score that decides where it is measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Compile all observations, and say what to try next.

    Variants of each task with their seeds, all differences corrected together, which knob mattered, claims with their status,
    bets and findings; then at most five commands with cost and reason. Trains nothing. Writes results/report.html, and
    notebook/report.md, which changes only if the notebook does.
    """
    enter_project()
    from pipeline.lab.summary.request import compile_all

    compile_all(all_commits=all_commits, since=since, metric=metric, as_json=as_json, open_page=open_page)
