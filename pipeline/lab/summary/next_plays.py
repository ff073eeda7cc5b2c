"""The rules about studies and forecasts: seeds for an undecided claim, and a replication where a forecast missed by far."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from pipeline.figures.words import formatted
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.question import NumberAnswer
from pipeline.lab.comparison.more_seeds import queue_line
from pipeline.lab.experiments.records import Group
from pipeline.lab.summary.next_runs import FEW_SEEDS
from pipeline.lab.summary.records import UNDECIDED, Grid, Notebook
from pipeline.lab.summary.step import Kind, Step, cost_of

FAR = 2  # widths of the interval between the truth and its nearer end
MORE = 2  # seeds of an experiment whose forecast missed


def plays(notebook: Notebook) -> Iterator[Step]:
    """Every step that plays a study or repeats what was forecast, in no order."""
    for grid in notebook.grids:
        yield from undecided_claims(grid)
    yield from surprises(notebook)


def undecided_claims(grid: Grid) -> Iterator[Step]:
    """A claim of a played study is undecided with few seeds: as many again."""
    claims = [claim for claim, status, _ in grid.verdicts if status == UNDECIDED]
    if not claims or not grid.is_known or not grid.own_seeds or not grid.seeds or len(grid.seeds) > FEW_SEEDS:
        return
    first, count = max(grid.seeds) + 1, len(grid.seeds)
    text = f"{first}-{first + count - 1}" if count > 1 else str(first)
    runs = count * len(grid.places)
    which = "a claim of {} is" if len(claims) == 1 else f"{len(claims)} claims of {{}} are"
    reason = f"{which.format(grid.name)} undecided with {count} seed{'s' * (count != 1)}"
    yield Step(Kind.UNDECIDED, f"rally play {grid.name} --seeds {text}", f"{runs} runs", reason)


def surprises(notebook: Notebook) -> Iterator[Step]:
    """The truth lay farther outside an interval than FAR times its width: is it the forecast, or the truth?"""
    studies = {grid.name for grid in notebook.grids if grid.is_known}
    for bet in notebook.bets:
        widths = missed_by(bet)
        if widths is None or widths <= FAR:
            continue
        command, cost = _again(bet, notebook, studies)
        if command:
            truth = bet.outcome.truth if bet.outcome else None
            who = "you" if bet.who == "learner" else f"the {bet.who}"
            away = f"{formatted(widths, 2)} of its widths" if math.isfinite(widths) else "any number of its widths"
            reason = (
                f"{who} said {bet.answer.text(bet.question)} for {bet.target.name}, and it was"
                f" {formatted(truth if isinstance(truth, float) else None)}, {away} outside: see whether that comes out again"
            )
            yield Step(Kind.SURPRISE, command, cost, reason, urgency=widths)


def missed_by(bet: Bet) -> float | None:
    """By how many widths of its interval a forecast missed; 0 inside; None of what is no scored forecast of a number."""
    if not bet.counts or not isinstance(bet.answer, NumberAnswer) or bet.outcome is None:
        return None
    low, high, truth = bet.answer.low, bet.answer.high, bet.outcome.truth
    if not isinstance(truth, float):
        return None
    if bet.question.logarithmic:
        if min(low, high, truth) <= 0:
            return None
        low, high, truth = math.log(low), math.log(high), math.log(truth)
    off = max(low - truth, truth - high, 0.0)
    return off / (high - low) if high > low else math.inf if off else 0.0


def _again(bet: Bet, notebook: Notebook, studies: set[str]) -> tuple[str, str]:
    """(the command that repeats it, its cost); empty where nothing repeats it, such as a drill of the course."""
    if found := re.fullmatch(r"study ([^:]+): .+", bet.target.name):
        if found[1] not in studies:
            return "", ""
        grid = next(one for one in notebook.grids if one.name == found[1])
        return f"rally play {grid.name} --fresh", f"{len(grid.seeds) * len(grid.places)} runs"
    if found := re.fullmatch(r"exp ([^:]+): .+", bet.target.name):
        groups: Sequence[Group] = [one for setting in notebook.settings for one in setting.groups]
        group = next((one for one in groups if any(each.name == found[1] for each in one.experiments)), None)
        if group:
            first = max(one.seed for one in group.experiments) + 1
            command = queue_line(group, {"seed": list(range(first, first + MORE))}, notebook.base)
            return command, cost_of(command, group.knobs.get("train.steps"))
    return "", ""
