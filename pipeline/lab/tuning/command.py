"""`rally autotune` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.lab.project import enter_project


def autotune(
    forget: Annotated[
        bool, typer.Option("--forget", help="Measure nothing; `auto` means again what it means on an untuned machine.")
    ] = False,
    compiling: Annotated[
        bool, typer.Option("--compile", help="Measure torch.compile on a CPU too, where it hardly pays: half a minute more.")
    ] = False,
) -> None:
    """Measure the fastest settings of this machine.

    Threads, precision and attention kernel, tried with steps of the training of params.yaml: less than a minute in all. The
    fastest setting is what `auto` means from then on, in all your clones on this machine.
    """
    enter_project()
    from pipeline.params.load import load

    params = load()
    from pipeline.lab.tuning import tune

    tune.forget(params) if forget else tune.tune(params, compiling=compiling)
