"""The doctor as a forecaster: its findings as probabilities over the choices, and the signs that speak for a cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pipeline.doctor.case import Case
from pipeline.doctor.causes.table import CAUSES
from pipeline.doctor.diagnose import HEALTHY, Diagnosis, diagnose, read_signs, votes

# By the trial in docs/doctor.md (92.2 % of the faults found, 3.3 % false alarms), with one draw in five healthy.
HEALTHY_IF_SILENT = 0.2 * 0.967 / (0.2 * 0.967 + 0.8 * 0.078)
HEALTHY_IF_FOUND = 0.2 * 0.033 / (0.2 * 0.033 + 0.8 * 0.922)


def blind_case(case: Case) -> Case:
    """The case without its knobs, which the learner does not see either."""
    return replace(case, knobs={})


def doctors_forecast(case: Case, choices: Sequence[str]) -> dict[str, float]:
    """The probability that the doctor gives to each choice.

    That of "healthy" follows from its trial; the causes share the rest as exp(points), where a named cause has its points and
    one that is not named has none.
    """
    case = blind_case(case)
    found = diagnose(case)
    healthy = HEALTHY_IF_FOUND if found.findings else HEALTHY_IF_SILENT
    points, named = votes(case, read_signs(case)), set(found.causes)
    weights = {name: math.exp(points.get(name, 0.0) if name in named else 0.0) for name in choices if name != HEALTHY}
    whole = sum(weights.values())
    return {name: healthy if name == HEALTHY else (1 - healthy) * weights[name] / whole for name in choices}


def telling_signs(diagnosis: Diagnosis, cause: str, among: Sequence[str] | None = None, most: int = 3) -> tuple[str, ...]:
    """The signs that are out of range and speak most for a cause, strongest first; only those that were shown, if given."""
    by_name = {sign.name: sign for sign in diagnosis.signs if among is None or sign.name in among}
    points = {
        sign: vote * by_name[sign].weight
        for sign, side, vote in CAUSES[cause].parsed_votes()
        if vote > 0 and side != "healthy" and sign in by_name and by_name[sign].side == side
    }
    return tuple(sorted(points, key=lambda sign: -points[sign])[:most])
