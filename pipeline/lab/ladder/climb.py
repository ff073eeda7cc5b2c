"""A ladder from its first rung to its top: runs, minima, the law, the forecast of the top before it runs, and its score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pipeline.lab.bets.question import NumberAnswer
from pipeline.lab.ladder.bets import begin_run, bet_on, settle_run
from pipeline.lab.ladder.runs import Run
from pipeline.lab.scaling.fit import Fit, fit_law
from pipeline.lab.scaling.forecast import Forecast, forecast, seeds_spread
from pipeline.lab.scaling.hindcast import Hindcast, hindcast
from pipeline.lab.scaling.isoflops import Minimum, minimum
from pipeline.lab.scaling.law import Cost, cost_of
from pipeline.lab.scaling.points import Point
from pipeline.params.errors import UserError

Train = Callable[[Sequence[Run], Callable[[], None]], dict[int, float]]
"""The loss of each run, by its place in the list."""

Display = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""From a number of runs to a progress bar."""


@dataclass(frozen=True)
class Forecasted:
    """A run of the top rung, with what was said of it.

    Attributes:
        said: by the law, before it ran.
        loss: what came out; None before it has run, or where it diverged.
        scored: what the ledger says of it, in sentences.
        late: its record was here when the forecast was written.
    """

    run: Run
    said: Forecast
    loss: float | None = None
    scored: tuple[str, ...] = ()
    late: bool = False

    @property
    def is_inside(self) -> bool | None:
        return None if self.loss is None else self.said.low <= self.loss <= self.said.high

    def error(self, entropy: float) -> float | None:
        """How far the median is off, as a share of the excess over the entropy that came out."""
        return None if self.loss is None else (self.said.median - self.loss) / (self.loss - entropy)


@dataclass(frozen=True)
class Climbed:
    """What a ladder has given.

    Attributes:
        count: what N counts, an entry of COUNTS.
        entropy: E, where it is known: the loss of the text's own rule on the validation examples.
        runs, losses: those below the top; inf where one diverged.
        minima: of each budget.
        fit: of the runs below the top.
        tested: how far the law of the rungs before it misses the last rung; None where the rungs are too few.
        top: its runs, each with its forecast.
    """

    count: str
    entropy: float | None
    runs: Sequence[Run]
    losses: Sequence[float]
    minima: Sequence[Minimum]
    fit: Fit
    cost: Cost
    tested: Hindcast | None = None
    top: Sequence[Forecasted] = field(default=())

    @property
    def points(self) -> list[Point]:
        """Of the runs that ended."""
        return points_of(self.runs, self.losses, self.count)


def points_of(runs: Sequence[Run], losses: Sequence[float], count: str) -> list[Point]:
    """The points of the runs that did not diverge."""
    return [run.point(loss, count) for run, loss in zip(runs, losses, strict=True) if math.isfinite(loss)]


def climb_rungs(runs: Sequence[Run], count: str, entropy: float | None, train: Train, display: Display) -> Climbed:
    """Train all runs below the top, and fit the law to them.

    Raises:
        UserError: too many diverged, so that no law can be fitted.
    """
    below = [run for run in runs if run.rung >= 0]
    with display(len(below)) as advance:
        found = train(below, advance)
    losses = [found[at] for at in range(len(below))]
    points = points_of(below, losses, count)
    lost = len(below) - len(points)
    tested = hindcast(points, entropy)
    try:
        fit = fit_law(points, entropy, recency=tested.recency if tested else 0.0)
    except UserError as error:
        why = f" ({lost} of {len(below)} runs diverged)" if lost else ""
        raise UserError(*(f"{problem}{why}" for problem in error.problems)) from None
    rungs = sorted({run.rung for run in below})
    groups = [points_of(*_of_rung(below, losses, rung), count) for rung in rungs]
    minima = [minimum(group) for group in groups if group]
    return Climbed(count, entropy, below, losses, minima, fit, cost_of(points), tested)


def _of_rung(runs: Sequence[Run], losses: Sequence[float], rung: int) -> tuple[list[Run], list[float]]:
    at = [place for place, run in enumerate(runs) if run.rung == rung]
    return [runs[place] for place in at], [losses[place] for place in at]


def forecast_top(name: str, runs: Sequence[Run], climbed: Climbed) -> list[Forecasted]:
    """Write the forecast of every run of the top into the ledger of bets."""
    top, spread = [run for run in runs if run.rung < 0], seeds_spread(climbed.points, climbed.entropy)
    naive = min(point.loss for point in climbed.points)
    forecasts = []
    for run in top:
        form = (climbed.tested.error_at(run.flops), climbed.tested.sizes) if climbed.tested else None
        said = forecast(climbed.fit, float(run.sizes[climbed.count]), float(run.tokens), spread, form)
        bet = bet_on(name, run, said, naive)
        # The forecast that counts is the one that stands in the ledger.
        if isinstance(bet.answer, NumberAnswer):
            said = Forecast(bet.answer.low, bet.answer.median, bet.answer.high)
        forecasts.append(Forecasted(run, said, late=bet.late))
    return forecasts


def climb_top(name: str, forecasts: Sequence[Forecasted], train: Train, display: Display) -> list[Forecasted]:
    """Train the top rung, and score its forecasts."""
    runs = [one.run for one in forecasts]
    for run in runs:
        if not run.is_done:
            begin_run(name, run)
    with display(len(runs)) as advance:
        found: Mapping[int, float] = train(runs, advance)
    scored = []
    for at, one in enumerate(forecasts):
        sentences = tuple(settle_run(name, one.run, found[at]))
        loss = found[at] if math.isfinite(found[at]) else None
        scored.append(Forecasted(one.run, one.said, loss, sentences, one.late))
    return scored
