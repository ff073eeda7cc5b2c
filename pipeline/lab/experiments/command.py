"""`rally show` and `rally check-params`, which hand their words on to DVC."""

from __future__ import annotations

import sys

import typer

from pipeline.lab.project import enter_project


def show(context: typer.Context) -> None:
    """Show all experiments in one table, grouped by task.

    Those of this commit; -A shows those of all commits. A score whose knobs are not those of its row is shown as a dash, and a
    line below the table says why. The table is made from `dvc exp show`, which is printed; other options are passed on to it.
    """
    enter_project()
    from pipeline.lab.experiments import table

    sys.exit(table.show(context.args))


def check_params(context: typer.Context) -> None:
    """Check params.yaml and -S overrides. ./run does this by itself.

    A whole DVC command may follow (dvc exp run -n NAME …, dvc exp apply NAME, dvc queue start). Then it is also checked that
    the name is free, that git tracks all code, and that nothing would be lost.
    """
    enter_project()
    from pipeline.lab.experiments.command_check import check_command

    check_command(context.args)
