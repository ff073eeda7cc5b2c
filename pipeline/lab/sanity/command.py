"""`rally check-model` and its options."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.lab.commands import SetParam, params_with
from pipeline.lab.project import enter_project


def check_model(
    set_param: SetParam = None,
    overfit: Annotated[
        bool, typer.Option("--overfit", help="Also overfit one batch with random labels, which takes some seconds.")
    ] = False,
) -> None:
    """Check that the untrained network is sound.

    Initial loss, causal mask, independence of the examples in a batch, equality with and without cache: what every training
    checks at its start. Ends with status 1 if one of them fails.
    """
    enter_project()
    params = params_with(set_param or [])
    from rich.console import Console

    from pipeline.lab.sanity import check

    console = Console()
    is_sound = check.at_start(params, console)
    is_sound &= not overfit or check.overfit(params, console)
    sys.exit(0 if is_sound else 1)
