"""Ranges of signs fitted on runs with known faults: by the gap between healthy and sick runs, and nothing cleverer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from pipeline.artifacts.writing import rounded
from pipeline.doctor.case import Case
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.signs.base import FITTED, Range, Side
from pipeline.doctor.signs.table import SIGNS
from pipeline.lab.doctor.cases import BenchmarkRun
from pipeline.lab.faults.table import FAULTS

ODD, SICK = 0.25, 0.5  # shares of the way from the last healthy run to where the sick ones begin
BEGIN = 0.25  # the quantile of the sick runs at which they begin: some faults hardly show
FEWEST = 3  # sick runs beyond the last healthy one; with fewer, the sign does not separate them


def fitted(cases: Mapping[BenchmarkRun, Case]) -> dict[str, Range]:
    """The range of every sign that is marked as fitted, from healthy runs and from the faults for whose causes it votes.

    On each side with a bound: odd begins a quarter, sick half of the way from the most extreme healthy run to where those sick
    runs begin for whose cause the sign votes. Where none of these is beyond the healthy ones, that way is twice the spread of
    the healthy ones. Distances are logarithmic where all numbers are above 0.
    """
    found = {}
    for name, sign in SIGNS.items():
        known = sign.range
        if known.origin != FITTED:
            continue
        values = {run: sign.read(case) for run, case in cases.items()}
        healthy = [value for run, value in values.items() if not run.fault and value is not None]
        if not healthy:
            continue
        low, sick_low = _bounds(healthy, _sick(name, "low", values), "low") if math.isfinite(known.low) else (-math.inf,) * 2
        high, sick_high = (
            _bounds(healthy, _sick(name, "high", values), "high") if math.isfinite(known.high) else (math.inf,) * 2
        )
        found[name] = Range(FITTED, low, high, sick_low, sick_high)
    return found


def _sick(name: str, side: Side, values: Mapping[BenchmarkRun, float | None]) -> list[float]:
    """The values of a sign in the runs for whose cause it votes on that side."""
    causes = {
        cause
        for cause, one in CAUSES.items()
        if any((sign, way) == (name, side) and points > 0 for sign, way, points in one.parsed_votes())
    }
    return [value for run, value in values.items() if value is not None and run.fault and FAULTS[run.fault].cause in causes]


def _bounds(healthy: Sequence[float], sick: Iterable[float], side: Side) -> tuple[float, float]:
    """(odd beyond, sick beyond) on one side."""
    sick = list(sick)
    into, back = _scale([*healthy, *sick])
    sign = 1 if side == "high" else -1
    inside = [sign * into(value) for value in healthy]
    last, spread = max(inside), max(inside) - min(inside)
    beyond = [sign * into(value) for value in sick if sign * into(value) > last]
    way = float(np.quantile(beyond, BEGIN)) - last if len(beyond) >= FEWEST else 2 * spread
    odd, ill = (rounded(back(sign * (last + share * way)), 2) for share in (ODD, SICK))
    return odd, ill


def _scale(values: Sequence[float]) -> tuple[Callable[[float], float], Callable[[float], float]]:
    if min(values) > 0:
        return math.log, math.exp
    return float, float


def lines(ranges: Mapping[str, Range]) -> Iterable[str]:
    """The fitted ranges, to paste into the entries of the signs in doctor/signs/."""
    for name, found in ranges.items():
        bounds = ("low", "high", "sick_low", "sick_high")
        parts = [f"{bound}={getattr(found, bound):g}" for bound in bounds if math.isfinite(getattr(found, bound))]
        yield f"{name}: Range(FITTED, {', '.join(parts)}),"
