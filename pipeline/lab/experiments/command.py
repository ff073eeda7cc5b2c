"""`rally show` and `rally check-params`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.lab.project import enter_project


def show(
    context: typer.Context,
    each: Annotated[bool, typer.Option("--each", help="Every experiment in a row of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Groups, scores and experiments as one JSON object.")] = False,
    all_commits: Annotated[bool, typer.Option("-A", "--all-commits", help="The experiments of all commits.")] = False,
) -> None:
    """Show experiments, the seeds of one variant in a row.

    Those of this commit, or those named. A score is the mean over its seeds with a 95 % confidence interval. It is shown only
    beside the knobs, code and data that it was measured with; a line below the table says what is not shown, and why. --rev,
    -n, -a, -T, --hide-queued, --hide-failed, --hide-workspace, --sort-by and --sort-order are those of `dvc exp show`; with
    --csv or --md its own table is printed.
    """
    enter_project()
    from pipeline.lab.experiments.show import show

    sys.exit(show(context.args, each=each, as_json=as_json, all_commits=all_commits))


def check_params(context: typer.Context) -> None:
    """Check params.yaml and -S overrides. ./run does this by itself.

    A whole DVC command may follow (dvc exp run -n NAME …, dvc exp apply NAME, dvc queue start). Then it is also checked that
    the name is free, that git tracks all code, and that nothing would be lost.
    """
    enter_project()
    from pipeline.lab.experiments.command_check import check_command

    check_command(context.args)
