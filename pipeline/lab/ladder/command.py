"""`rally ladder` and its options."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.lab.commands import On, Remote, SetParam
from pipeline.lab.project import enter_project
from pipeline.params.errors import UserError

PUBLISHED, DEFAULT = "chinchilla", "zipf"


def ladder(
    name: Annotated[
        str, typer.Argument(help="zipf, plays or card; `rally ladder list` describes them.", show_default="zipf")
    ] = "",
    set_param: SetParam = None,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="FLOPS:WIDTH", help="Try this width at that budget too.")
    ] = None,
    count: Annotated[
        str, typer.Option("--count", help="What N counts: all parameters, or blocks (no embeddings, no head).")
    ] = "all",
    branched: Annotated[
        bool, typer.Option("--branched", help="Branch the decays of all budgets from one plateau for each width.")
    ] = False,
    points: Annotated[
        str | None,
        typer.Option(
            "--points",
            metavar="FILE",
            help="Fit the runs of this CSV file (columns params, tokens or flops, loss); chinchilla: the published ones.",
        ),
    ] = None,
    entropy: Annotated[float | None, typer.Option(min=0, help="Of --points: E, where it is known, nats per token.")] = None,
    leave_out: Annotated[int, typer.Option(min=0, help="Of --points: a second fit without so many highest losses.")] = 0,
    at: Annotated[
        float | None, typer.Option("--at", min=1, max=1e30, metavar="FLOPS", help="Of --points: advise on this compute.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Start from params.yaml as it is, not from that of the last commit.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would train and what it costs; makes the text.")
    ] = False,
    on: On = "pool",
    remote: Remote = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Forecast a larger run from smaller ones, then check it.

    \b
    rally ladder                          the ladder zipf: minutes on two cores
    rally ladder plays --count blocks     another text; N without embeddings and head
    rally ladder --points runs.csv        the law of your own runs
    rally ladder --points chinchilla --leave-out 5 --at 5e16

    Several sizes are trained at each of several compute budgets, each run with its own full schedule. Parabolas give the best
    size of each budget, and all runs together L = E + A/N^alpha + B/D^beta. The largest budget is held out: its forecast is
    written to the ledger of bets before it runs, and scored after it. Runs are kept: a second start trains what is missing.
    """  # noqa: D301 (typer's mark for lines that stay)
    called_from = enter_project()
    if count not in ("all", "blocks"):
        raise UserError(f"--count {count}: is neither all nor blocks")
    if points is not None:
        if not points:
            raise UserError("--points: is empty; name a CSV file, or chinchilla")
        if name:
            raise UserError(f"rally ladder {name} --points: a ladder and a file; leave one out")
        if set_param or add or branched or as_is or dry_run or on != "pool" or remote:
            raise UserError("--points: nothing is trained; leave out -S, --add, --branched, --as-is, --dry-run and --on")
        from pipeline.lab.scaling.points import read_points
        from pipeline.lab.scaling.published import fetch_points

        found = fetch_points() if points == PUBLISHED else read_points(called_from / points)
        from pipeline.lab.ladder.play import fit_points  # after the file was read: it imports torch

        fit_points(points, found, entropy=entropy, leave_out=leave_out, at=at, as_json=as_json)
        return
    if entropy is not None or leave_out or at:
        raise UserError("--entropy, --leave-out and --at: are of --points; name a file with it")
    from pipeline.lab.ladder.ladders import read_ladders

    if name == "list":
        if as_json:
            print(
                json.dumps([{"name": one.name, "says": one.says, "measured": one.measured} for one in read_ladders().values()])
            )
            return
        for one in read_ladders().values():
            print(f"{one.name:<8}{one.says}; {one.measured}")
        return
    from pipeline.lab.ladder.play import play_ladder

    play_ladder(
        name or DEFAULT,
        set_param or [],
        added=add or [],
        count=count,
        branched=branched,
        as_is=as_is,
        dry_run=dry_run,
        as_json=as_json,
        on=on,
        remote=remote,
    )
