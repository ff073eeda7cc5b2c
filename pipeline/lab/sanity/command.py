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
        bool,
        typer.Option(
            "--overfit",
            help="Also check that the network can memorize one batch with random labels, which takes some seconds.",
        ),
    ] = False,
) -> None:
    """Check that the untrained network is sound.

    Its loss must be that of guessing, no prediction may depend on later tokens or on other examples of the batch, and
    generating with a key/value cache must give the same logits as without. Every training makes these checks at its start.
    Ends with status 1 if one fails.
    """
    enter_project()
    params = params_with(set_param or [])
    from rich.console import Console

    from pipeline.lab.sanity import check

    console = Console()
    is_sound = check.at_start(params, console)
    is_sound &= not overfit or check.overfit(params, console)
    sys.exit(0 if is_sound else 1)
