"""`rally budget` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.lab.commands import SetParam
from pipeline.lab.project import enter_project


def budget(
    name: Annotated[str | None, typer.Argument(help="A study of studies/. Without it: params.yaml as it is.")] = None,
    set_param: SetParam = None,
    for_card: Annotated[
        float | None,
        typer.Option("--card", min=0.5, metavar="GB", help="The memory of the card to fit on. Default: this machine."),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="The vocabulary size, if no text has been tokenized yet.")
    ] = None,
    clock: Annotated[
        bool,
        typer.Option("--measure/--no-measure", help="Time 20 training steps on this machine; --no-measure only estimates."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Estimate the memory and time of a training, and where it fits.

    Parameters, FLOPs, memory, time; and if it does not fit, the cheapest changes that make it fit.
    """
    enter_project()
    from pipeline.lab.studies.recipes import params_with

    params = params_with(set_param or [], name)
    from pipeline.lab.budget import estimate, report
    from pipeline.lab.stand_ins.data_shape import data_of

    report.show(estimate.estimate(params, data_of(params, vocabulary), for_card=for_card, clock=clock), as_json=as_json)
