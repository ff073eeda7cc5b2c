"""A ladder as numbers, for notebook/ladder.json and --json: every run with its identity, the fit, intervals and forecasts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.artifacts.writing import rounded
from pipeline.lab.ladder.climb import Climbed, Forecasted
from pipeline.lab.ladder.ladders import Ladder
from pipeline.lab.scaling.fit import Fit
from pipeline.lab.scaling.forecast import advice
from pipeline.lab.scaling.isoflops import Minimum, exponent
from pipeline.lab.scaling.law import Cost
from pipeline.lab.scaling.own import REACH, data_key

STEPS_OF_ADVICE = 9  # computes for which the advice is kept, evenly in the logarithm

LETTERS = ("E", "A", "B", "alpha", "beta")


def fit_json(fit: Fit) -> dict[str, Any]:
    """The law with the 80 % intervals of its numbers."""
    law = {letter: rounded(number) for letter, number in fit.law.numbers().items()}
    intervals = {letter: [rounded(end) for end in fit.interval_of(letter)] for letter in LETTERS}
    return {
        "law": law,
        "interval_80": intervals,
        "entropy_is_known": fit.known,
        "spread_of_a_run": rounded(fit.spread),
        "bootstraps": len(fit.again),
    }


def advice_json(fit: Fit, cost: Cost, low: float, high: float) -> list[list[float]]:
    """[FLOPs, tokens per parameter, low, high] for computes from far below a ladder to far above it."""
    start, end = math.log(low / REACH), math.log(high * REACH)
    computes = [math.exp(start + (end - start) * at / (STEPS_OF_ADVICE - 1)) for at in range(STEPS_OF_ADVICE)]
    return [[rounded(number) for number in advice(fit, cost, flops)] for flops in computes]


def minimum_json(one: Minimum) -> dict[str, Any]:
    """A minimum; its interval only where it is one."""
    interval = {} if one.edge else {"interval_80": [rounded(one.low), rounded(one.high)]}
    return {"flops": rounded(one.flops), "size": rounded(one.size), "loss": rounded(one.loss), "edge": one.edge, **interval}


def ladder_json(ladder: Ladder, climbed: Climbed, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Everything about a ladder that can be used without training it again.

    Args:
        overrides: the user's, each "train.lr=0.001".
    """
    points = climbed.points
    flops = [run.flops for run in (*climbed.runs, *(one.run for one in climbed.top))]
    return {
        "says": ladder.says,
        "overrides": list(overrides),
        "data": data_key(climbed.runs[0].variant.params),
        "count": climbed.count,
        "entropy": None if climbed.entropy is None else rounded(climbed.entropy),
        "compute": [rounded(min(flops)), rounded(max(flops))],
        "runs": [
            {
                "identity": run.identity,
                "record": run.record.stem,
                "width": run.width,
                "seed": run.variant.params.seed,
                "sizes": dict(run.sizes),
                "tokens": run.tokens,
                "flops": rounded(run.flops),
                "loss": rounded(loss) if math.isfinite(loss) else None,
            }
            for run, loss in zip(climbed.runs, climbed.losses, strict=True)
        ],
        "fit": fit_json(climbed.fit),
        "hindcast": None if climbed.tested is None else {k: rounded(v) for k, v in climbed.tested._asdict().items()},
        "flops_per_token": {"factor": rounded(climbed.cost.factor), "exponent": rounded(climbed.cost.exponent)},
        "minima": [minimum_json(one) for one in climbed.minima],
        "exponent_of_minima": None if (slope := exponent(climbed.minima)) is None else rounded(slope),
        "advice": advice_json(climbed.fit, climbed.cost, min(point.flops for point in points), max(flops)),
        "top": [_forecast_json(one, climbed) for one in climbed.top],
    }


def _forecast_json(one: Forecasted, climbed: Climbed) -> dict[str, Any]:
    error = one.error(climbed.fit.law.entropy)
    return {
        "identity": one.run.identity,
        "record": one.run.record.stem,
        "width": one.run.width,
        "sizes": dict(one.run.sizes),
        "tokens": one.run.tokens,
        "flops": rounded(one.run.flops),
        "forecast": [rounded(number) for number in one.said],
        "late": one.late,
        "loss": None if one.loss is None else rounded(one.loss),
        "inside": one.is_inside,
        "error_of_excess": None if error is None else rounded(error, 3),
    }
