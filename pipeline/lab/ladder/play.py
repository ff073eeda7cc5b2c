"""`rally ladder`: what it costs, its runs, its law, its forecasts, and the files that it leaves; or the law of given points."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.artifacts.writing import write_bytes
from pipeline.figures.style import png
from pipeline.lab.commands import print_notes
from pipeline.lab.data_catalogue import data_set
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.dvc.overrides import expand_grid, with_overrides
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.fleet.opening import opened_fleet
from pipeline.lab.fleet.table import POOL
from pipeline.lab.ladder import climb, record, shown
from pipeline.lab.ladder.floor import floor_of
from pipeline.lab.ladder.ladders import Ladder, find_ladder, with_sizes
from pipeline.lab.ladder.picture import draw_ladder
from pipeline.lab.ladder.runs import Run, runs_of, seconds_of, train_all
from pipeline.lab.scaling.fit import fit_law
from pipeline.lab.scaling.isoflops import by_budget, minimum
from pipeline.lab.scaling.law import cost_of
from pipeline.lab.scaling.own import LEDGER, read_ladders, write_ladder
from pipeline.lab.scaling.points import Point, check_enough
from pipeline.lab.studies.pages import terminal
from pipeline.lab.studies.report import progress_display
from pipeline.lab.studies.runs.identity import RESULTS
from pipeline.lab.studies.runs.sweep import made_tokens
from pipeline.params.errors import UserError
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

OWN_KNOBS = ("model.width", "train.steps", "seed")  # which a ladder varies


def play_ladder(
    name: str,
    overrides: Sequence[str] = (),
    *,
    added: Sequence[str] = (),
    count: str = "all",
    branched: bool = False,
    as_is: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
    on: str = POOL,
    remote: str = "",
) -> None:
    """Climb a ladder and tell it on the terminal.

    Args:
        overrides: each "train.lr=0.001"; they win over the ladder's.
        added: further sizes, each FLOPS:WIDTH.
        count: what N counts: "all" or "blocks".
        branched: decay from one plateau for each width and seed, instead of full runs.
        dry_run: only say what it costs.
        on, remote: the machines that train; see `opened_fleet`.

    Raises:
        UserError: there is no such ladder, a knob cannot be used, or notebook/ladder.json is damaged.
    """
    ladder = with_sizes(find_ladder(name), added)
    read_ladders()  # damage is said now, and not when the runs are done
    base = _base(ladder, overrides, as_is=as_is)
    with opened_fleet(on, base, remote) as fleet:
        if fleet and branched:
            raise UserError("--branched --on: the decays branch from one plateau on one machine; leave one out")
        out = Console(stderr=True) if as_json else terminal.console()
        if dry_run and (missing := _missing_text(base)):
            out.print(f"{ladder.name}: {ladder.says}\n{missing}", highlight=False, markup=False, soft_wrap=True)
            return
        runs = runs_of(ladder, base)
        for line in shown.cost_lines(ladder, runs, seconds_of(runs)):
            out.print(line, highlight=False, markup=False, soft_wrap=True)
        if dry_run:
            words = ["rally", "ladder", name, *(word for text in overrides for word in ("-S", text))]
            words += [word for text in added for word in ("--add", text)] + ["--count", count] * (count != "all")
            words += ["--branched"] * branched + ["--as-is"] * as_is
            out.print(f"Nothing was trained. Next: {shlex.join(words)}", highlight=False, markup=False, soft_wrap=True)
            return
        display = functools.partial(progress_display, base.sections["runtime"]["progress"])
        climbed = _climb(out, ladder, runs, overrides, count, _trainer(fleet, branched=branched), display)
    if as_json:
        print(json.dumps(record.ladder_json(ladder, climbed, overrides), indent=1))


def _trainer(fleet: Fleet | None, *, branched: bool) -> climb.Train:
    if not branched:
        return functools.partial(train_all, fleet=fleet)
    from pipeline.lab.ladder.branches import train_branched

    return train_branched


def _climb(
    out: Console,
    ladder: Ladder,
    runs: Sequence[Run],
    overrides: Sequence[str],
    count: str,
    train: climb.Train,
    display: climb.Display,
) -> climb.Climbed:
    """Train the runs and tell what they give; the forecasts of the top stand in the ledger before it runs."""
    entropy = floor_of(runs[0].variant.params, runs[0].data) if ladder.known else None
    climbed = climb.climb_rungs(runs, count, entropy, train, display)
    shown.show_climbed(out, ladder, climbed)
    forecasts = climb.forecast_top(ladder.name, runs, climbed)
    write_ladder(ladder.name, record.ladder_json(ladder, replace(climbed, top=forecasts), overrides))
    out.print(
        f"\nforecasts of the top rung, written before it runs ({ladder.top.flops:.2g} FLOPs):", highlight=False, soft_wrap=True
    )
    out.print(shown.forecast_table(forecasts, climbed))
    climbed = replace(climbed, top=climb.climb_top(ladder.name, forecasts, train, display))
    write_ladder(ladder.name, record.ladder_json(ladder, climbed, overrides))
    out.print("\nthe top rung, run and scored:")
    out.print(shown.forecast_table(climbed.top, climbed))
    for one in climbed.top:
        for sentence in one.scored:
            out.print(f"width {one.run.width}: {sentence}", highlight=False, markup=False, soft_wrap=True)
    out.print()
    for flops in (ladder.rungs[-1].flops, ladder.top.flops):
        out.print(shown.advice_line(climbed.fit, climbed.cost, flops), highlight=False, soft_wrap=True)
    picture = RESULTS / f"ladder-{ladder.name}.png"
    write_bytes(picture, _picture(ladder, climbed))
    out.print(f"\n{picture}, {LEDGER}", highlight=False, soft_wrap=True)
    return climbed


def _base(ladder: Ladder, overrides: Sequence[str], *, as_is: bool) -> BaseParams:
    """The base parameters with the ladder's knobs and the user's.

    Raises:
        UserError: one of the user's cannot be read, has several values, or is one that the ladder varies.
    """
    base = base_params(as_is=as_is)
    [texts, *more] = expand_grid(overrides) if overrides else [[]]
    if more:
        raise UserError("-S: a knob has several values; a ladder takes one")
    names = [text.partition("=")[0] for text in texts]
    if own := [name for name in names if name in OWN_KNOBS]:
        raise UserError(*(f"-S {name}: the ladder varies this knob; override another one" for name in own))
    print_notes(base.notes({*ladder.knobs, *names, *OWN_KNOBS}))
    return replace(base, sections=with_overrides(with_knobs(base.sections, ladder.knobs), texts))


def _missing_text(base: BaseParams) -> str:
    """What to say of a text that must be downloaded before a step can be timed; "" where it is here, or is made here."""
    params = parse(Params, with_knobs(base.sections, {"train.steps": 2}))
    entry = data_set(params.task.kind, params.prepare.dataset)
    if entry.source == "local" or made_tokens(params) is not None:
        return ""
    return (
        f"Its text, {params.prepare.dataset} ({entry.size}), is not here yet, so nothing can be timed; "
        "without --dry-run it is downloaded, and Ctrl-C ends the ladder before or after any run"
    )


def _picture(ladder: Ladder, climbed: climb.Climbed) -> bytes:
    rungs = sorted({run.rung for run in climbed.runs})
    groups = [
        climb.points_of(
            [run for run in climbed.runs if run.rung == rung],
            [loss for run, loss in zip(climbed.runs, climbed.losses, strict=True) if run.rung == rung],
            climbed.count,
        )
        for rung in rungs
    ]
    top = [(one, one.run.point(one.loss, climbed.count)) for one in climbed.top if one.loss is not None]
    captions = shown.law_lines(climbed.fit, climbed.points)[1:2]
    inside = [one.is_inside for one in climbed.top if one.is_inside is not None]
    captions.append(f"{sum(inside)} of {len(inside)} held-out runs inside the 80 % interval that was written before they ran")
    figure = draw_ladder(
        ladder.says, captions, [group for group in groups if group], climbed.minima, climbed.fit, climbed.cost, top
    )
    return png(figure, dpi=120)


# ---------------------------------------------------------------------------------------------------------- given points


def fit_points(
    name: str, points: Sequence[Point], *, entropy: float | None, leave_out: int, at: float | None, as_json: bool
) -> None:
    """Fit points that were measured elsewhere, and say what the law advises, with and without the highest losses.

    Args:
        name: of the points.
        leave_out: how many of the highest losses are left out of the second fit.
        at: FLOPs for which advice is given; by default those of the cheapest and of the dearest point.

    Raises:
        UserError: they are too few or too close.
    """
    out = Console(stderr=True) if as_json else terminal.console()
    if leave_out >= len(points):
        raise UserError(f"--leave-out {leave_out}: there are {len(points)} points; leave out fewer")
    check_enough(points)
    computes = [at] if at else [min(point.flops for point in points), max(point.flops for point in points)]
    content: dict[str, Any] = {"points": name}
    cost = cost_of(points)
    kept = sorted(points, key=lambda point: point.loss)[: len(points) - leave_out]
    try:
        check_enough(kept)
    except UserError as error:
        raise UserError(f"--leave-out {leave_out}: leaves too little: {error}") from None
    chosen = [("all", list(points)), *([("without_highest", kept)] if leave_out else [])]
    for label, some in chosen:
        fit = fit_law(some, entropy)
        what = "all points" if label == "all" else f"without the {leave_out} highest losses"
        out.print(f"\n{name}, {what}:", highlight=False, markup=False, soft_wrap=True)
        for line in (*shown.law_lines(fit, some), *(shown.advice_line(fit, cost, flops) for flops in computes)):
            out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        computed = min(point.flops for point in some), max(point.flops for point in some)
        content[label] = record.fit_json(fit) | {"points": len(some), "advice": record.advice_json(fit, cost, *computed)}
    groups = by_budget(kept)
    minima = [minimum(group) for group in groups]
    out.print()
    for line in shown.minima_lines(None, minima):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    content["minima"] = [record.minimum_json(one) for one in minima]
    picture = RESULTS / f"points-{Path(name).stem}.png"  # not that of a ladder of the same name
    if groups:
        title, captions = f"The points of {Path(name).name}", shown.law_lines(fit, kept)[:2]
        write_bytes(picture, png(draw_ladder(title, captions, groups, minima, fit, cost), dpi=120))
        out.print(f"\n{picture}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps(content, indent=1))
