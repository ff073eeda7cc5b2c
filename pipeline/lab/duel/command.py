"""`rally duel` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.lab.commands import SetParam
from pipeline.lab.project import enter_project


def duel(
    set_param: SetParam = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", metavar="FILE", help="Change the challenger's code, as `git diff` writes it.")
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="loss, accuracy or bits_per_byte, on the validation split.")
    ] = "",
    at_least: Annotated[float, typer.Option("--at-least", help="The smallest gain worth keeping, in units of the metric.")] = 0,
    least: Annotated[int, typer.Option("--least", help="Pairs before the first look, at least 3.")] = 3,
    most: Annotated[int, typer.Option("--most", help="Pairs at most, up to 20.")] = 10,
    draws: Annotated[
        str, typer.Option("--draws", help="seed: each seed draws its own data and split; one: all share them.")
    ] = "seed",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would train and what that costs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it begins.")] = False,
) -> None:
    """Is a change better than the last commit? Keep or discard it.

    \b
    rally duel -S train.lr=0.03           other knobs against those of the last commit
    rally duel --patch change.diff        other code against that of the last commit
    rally duel -S train.lr=0.03 --most 20 goes on with a duel that was undecided

    Champion and challenger train with the same seeds, pair by pair, until the difference is larger than chance, or it is clear
    that it will not be. Of challengers that change nothing at most 5 % are kept, however often you look. Each duel is a line of
    notebook/duels.jsonl. A duel that was killed goes on where it stopped.

    Exit status: 0 keep, 1 discard or undecided, 2 it could not be run.
    """  # noqa: D301 (typer's mark for lines that stay)
    called_from = enter_project()
    from pipeline.lab.duel.rule import Options
    from pipeline.lab.duel.session import run_duel

    options = Options(at_least, least, most)
    file = called_from / patch if patch else None
    asks = not (yes or as_json or dry_run)
    status = run_duel(set_param or [], file, metric, options, draws, dry_run=dry_run, as_json=as_json, asks=asks)
    raise typer.Exit(status)
