"""Controls of a study that cannot fail, because its own claims already say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.lab.studies.claims.base import Claim
from pipeline.lab.studies.claims.implied import Ranges, Unknown, excluding
from pipeline.lab.studies.claims.results import Axis, Results
from pipeline.lab.studies.measures.metrics import MEASURES


def implied_controls(axes: tuple[Axis, ...], measures: Sequence[str], claims: Sequence[tuple[str, Claim]]) -> list[str]:
    """One line for each control that fails wherever the study's claims hold; it names the claims."""
    shape = tuple(len(axis.labels) for axis in axes)
    cells: Mapping[str, Results] = {
        name: Results(
            axes, (np.arange(int(np.prod(shape))) + number * int(np.prod(shape))).reshape(*shape, 1).astype(np.float64)
        )
        for number, name in enumerate(measures)
    }
    regions = [claim.regions(cells) for _, claim in claims]
    ranges: dict[Unknown, tuple[float, float]] = {
        int(cell): (MEASURES[name].low, MEASURES[name].high) for name, whole in cells.items() for cell in whole.values.ravel()
    }
    for unknown in {unknown for region in regions for part in region for one in part for unknown, _ in one.factors}:
        if isinstance(unknown, tuple):
            ranges[unknown] = _range_of(unknown, ranges)
    made = [number for number, (_, claim) in enumerate(claims) if not claim.control]
    problems = []
    for number, (name, claim) in enumerate(claims):
        if claim.control and (found := excluding([regions[other] for other in made], regions[number], ranges)) is not None:
            by = " and ".join(_described(*claims[made[other]]) for other in found)
            verb = "holds" if len(found) == 1 else "hold"
            problems.append(
                f"check: the control {_described(name, claim)} cannot hold where {by} {verb}: it shows nothing; use one "
                "that shares the mechanism and lacks the cause"
            )
    return problems


def _range_of(unknown: tuple[object, ...], ranges: Ranges) -> tuple[float, float]:
    kind = str(unknown[0])
    if kind == "best":
        return ranges[unknown[1][0]]  # type: ignore[index]
    return {"share": (0.0, 1.0), "optimum": (-np.inf, np.inf)}.get(kind, (0.0, np.inf))


def _described(name: str, claim: Claim) -> str:
    """A claim as it stands in the study."""
    given = claim.model_dump(exclude_defaults=True, exclude={"control"})
    return f"{name} ({', '.join(f'{key} {value}' for key, value in given.items())})"
