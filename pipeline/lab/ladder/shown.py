"""A ladder in the terminal: its runs, the best size of each budget, the law, what it advises, and the forecasts of the top."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.figures.words import formatted
from pipeline.lab.budget.report import clock
from pipeline.lab.ladder.climb import Climbed, Forecasted
from pipeline.lab.ladder.ladders import Ladder
from pipeline.lab.ladder.runs import Run
from pipeline.lab.scaling.fit import Fit
from pipeline.lab.scaling.forecast import advice
from pipeline.lab.scaling.hindcast import FEWEST_BUDGETS, Hindcast
from pipeline.lab.scaling.isoflops import Minimum, exponent
from pipeline.lab.scaling.law import Cost
from pipeline.lab.scaling.points import Point

BAD = 0.15  # error of the excess above which a forecast is called off

COUNTED = {"all": "all parameters", "blocks": "parameters without embeddings and head"}


def cost_lines(ladder: Ladder, runs: Sequence[Run], seconds: float) -> list[str]:
    """What a ladder is and costs, before it starts."""
    done = sum(run.is_done for run in runs)
    budgets = ", ".join(f"{rung.flops:.2g}" for rung in ladder.rungs)
    left = f"; {done} are here already, {len(runs) - done} to train" if done else ""
    time = f"; about {clock(seconds)} on this machine, timed on 20 steps of each width" if seconds else ""
    return [
        f"{ladder.name}: {ladder.says}",
        f"{len(ladder.rungs)} rungs of {budgets} FLOPs, and the top of {ladder.top.flops:.2g}, which is held out",
        f"{len(runs)} trainings, each with its own full schedule{left}{time}",
    ]


def _table(*columns: str) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        drawn.add_column(Text(column), justify="right")
    return drawn


def runs_table(climbed: Climbed) -> Table:
    """A row for each size and budget, with the mean loss over seeds."""
    excess = climbed.entropy is not None
    drawn = _table("FLOPs", "width", "N", "tokens", "tokens/N", "loss", *(["above E"] if excess else []), "seeds")
    groups = dict[tuple[int, int], list[tuple[Run, float]]]()
    for run, loss in zip(climbed.runs, climbed.losses, strict=True):
        groups.setdefault((run.rung, run.width), []).append((run, loss))
    for group in groups.values():
        run, size = group[0][0], group[0][0].sizes[climbed.count]
        lasting = [loss for _, loss in group if math.isfinite(loss)]
        mean = sum(lasting) / len(lasting) if lasting else None
        above = (
            [formatted(mean - climbed.entropy) if mean is not None and climbed.entropy is not None else "–"] if excess else []
        )
        seeds = str(len(group)) if len(lasting) == len(group) else f"{len(lasting)} of {len(group)}"
        row = [f"{run.flops:.2g}", str(run.width), f"{size:,}", f"{run.tokens:,}", formatted(run.tokens / size)]
        drawn.add_row(*row, formatted(mean, 4) if mean is not None else "diverged", *above, seeds)
    return drawn


def minima_lines(ladder: Ladder | None, minima: Sequence[Minimum], widths: Sequence[Sequence[int]] = ()) -> Iterator[str]:
    """The best size of each budget; at an edge the command that adds a size beyond it.

    Args:
        widths: of the budgets, as many lists; empty where the points are of a file.
    """
    for at, one in enumerate(minima):
        best = f"{one.flops:.2g} FLOPs: best N {formatted(one.size)}"
        if not one.edge:
            yield f"{best} ({formatted(one.low)} to {formatted(one.high)}), loss {formatted(one.loss, 4)}"
            continue
        if one.edge == "flat":
            why = "no parabola that opens upward goes through the sizes; use more of them, or more seeds"
            yield f"{best}: {why}"
            continue
        how = ""
        if ladder and widths:
            more = widths[at][0] * 2 // 3 if one.edge == "smallest" else widths[at][-1] * 3 // 2
            how = f": rally ladder {ladder.name} --add {one.flops:.3g}:{more // 4 * 4}"
        yield f"{best}, the {one.edge} that was tried, so a better one may lie beyond; extend{how}"
    if (slope := exponent(minima)) is not None:
        yield f"best N grows as FLOPs^{slope:.2f}, by these minima"


def law_lines(fit: Fit, points: Sequence[Point]) -> list[str]:
    """The law and the intervals of its numbers."""
    numbers = fit.law.numbers()
    said = []
    for letter in ("E", "A", "alpha", "B", "beta"):
        if letter == "E" and fit.known:
            said.append(f"E {numbers[letter]:.4f} (known)")
            continue
        low, high = fit.interval_of(letter)
        said.append(f"{letter} {formatted(numbers[letter], 4)} ({formatted(low)} to {formatted(high)})")
    of = "the excess" if fit.known else "the loss"
    return [
        f"L = E + A/N^alpha + B/D^beta, fitted to {len(points)} points; 80 % intervals from {len(fit.again)} bootstraps",
        "; ".join(said),
        f"a run lies {fit.spread:.1%} of {of} around the law (standard deviation, by the median)",
    ]


def tested_line(tested: Hindcast | None, *, known: bool) -> str:
    """How far the law of the budgets before it misses the last one."""
    if tested is None:
        return (
            "how far the law itself is off is not known, and not in the intervals: the last rung is forecast by the others "
            f"where there are {FEWEST_BUDGETS[known]} rungs or more"
        )
    of = "the excess" if known else "the loss"
    said = f"without the last rung, the law misses its {tested.sizes} sizes by {math.expm1(tested.error):.0%} of {of}"
    if not tested.recency:
        return said
    return f"{said}, and least if a run counts as its compute to the power {formatted(tested.recency)}; so it does here"


def advice_line(fit: Fit, cost: Cost, flops: float) -> str:
    """How many tokens to train each parameter on, at some compute."""
    found = advice(fit, cost, flops)
    middle, low, high = (formatted(number) for number in found[1:])
    return f"at {flops:.2g} FLOPs: {middle} tokens per parameter ({low} to {high})"


def forecast_table(forecasts: Sequence[Forecasted], climbed: Climbed) -> Table:
    """What was said of each run of the top, and what came out."""
    entropy = climbed.fit.law.entropy
    drawn = _table("width", "N", "tokens", "forecast (80 %)", "came out", "", "error of the excess")
    for one in forecasts:
        said = f"{one.said.median:.4f} ({one.said.low:.4f} to {one.said.high:.4f})"
        error, size = one.error(entropy), one.run.sizes[climbed.count]
        word = "" if one.is_inside is None else "inside" if one.is_inside else "outside"
        off = "–" if error is None else f"{error:+.0%}"
        loss = "–" if one.loss is None else f"{one.loss:.4f}"
        style = "" if error is None else "green" if one.is_inside and abs(error) <= BAD else "red"
        late = " (late)" if one.late else ""
        drawn.add_row(
            *map(Text, (str(one.run.width), f"{size:,}", f"{one.run.tokens:,}", said, loss)), Text(word + late, style), off
        )
    return drawn


def show_climbed(out: Console, ladder: Ladder, climbed: Climbed) -> None:
    """Everything but the forecasts of the top."""
    out.print(Text(f"\nN: {COUNTED[climbed.count]}; loss in nats per token", "dim"))
    out.print(runs_table(climbed))
    out.print()
    for line in minima_lines(ladder, climbed.minima, [rung.widths for rung in ladder.rungs]):
        out.print(Text(line), soft_wrap=True)
    out.print()
    for line in (*law_lines(climbed.fit, climbed.points), tested_line(climbed.tested, known=climbed.fit.known)):
        out.print(Text(line), soft_wrap=True)
