"""Where does sick begin? Ranges of signs from runs of which one knows what they have: the widest gap, and nothing cleverer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from pipeline.artifacts.writing import rounded
from pipeline.doctor.case import Case
from pipeline.doctor.causes import CAUSES
from pipeline.doctor.ranges import FITTED, RANGES, Range, Side
from pipeline.doctor.signs import SIGNS
from pipeline.lab.doctor.cases import Patient
from pipeline.lab.faults.faults import FAULTS

ODD, SICK = 0.25, 0.5  # shares of the way from the last healthy run to where the sick ones begin
BEGIN = 0.25  # the quantile of the sick runs at which they do: some faults hardly show
FEWEST = 3  # sick runs beyond the last healthy one, or the sign tells none of them


def fitted(cases: Mapping[Patient, Case]) -> dict[str, Range]:
    """The range of every sign that is marked as fitted, from healthy runs and from the faults for whose causes it votes.

    On each side on which it has a bound: odd a quarter, sick half of the way from the most extreme healthy run to where the
    runs begin that are sick by what the sign votes for. Where none of those is beyond the healthy ones, twice their own spread
    stands for that way. Ways are measured in the logarithm where all numbers are above 0.
    """
    found = {}
    for name, known in RANGES.items():
        if known.origin != FITTED:
            continue
        values = {patient: SIGNS[name].read(case) for patient, case in cases.items()}
        healthy = [value for patient, value in values.items() if not patient.fault and value is not None]
        if not healthy:
            continue
        low, sick_low = _bounds(healthy, _sick(name, "low", values), "low") if math.isfinite(known.low) else (-math.inf,) * 2
        high, sick_high = (
            _bounds(healthy, _sick(name, "high", values), "high") if math.isfinite(known.high) else (math.inf,) * 2
        )
        found[name] = Range(FITTED, low, high, sick_low, sick_high)
    return found


def _sick(name: str, side: Side, values: Mapping[Patient, float | None]) -> list[float]:
    """The sign's numbers in the runs whose cause it speaks for on that side."""
    causes = {
        cause
        for cause, one in CAUSES.items()
        if any((sign, way) == (name, side) and points > 0 for sign, way, points in one.ballots())
    }
    return [
        value
        for patient, value in values.items()
        if value is not None and patient.fault and FAULTS[patient.fault].cause in causes
    ]


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
    """The lines of the table, to be pasted."""
    for name, found in ranges.items():
        bounds = ("low", "high", "sick_low", "sick_high")
        said = [f"{bound}={getattr(found, bound):g}" for bound in bounds if math.isfinite(getattr(found, bound))]
        yield f'    "{name}": Range(FITTED, {", ".join(said)}),'
