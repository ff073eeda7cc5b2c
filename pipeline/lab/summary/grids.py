"""The studies that were played here, from results/NAME.json."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.reading import read_json
from pipeline.lab.statistics.intervals import Interval, interval
from pipeline.lab.studies.claims.results import Results
from pipeline.lab.studies.entries import Entry, read_entries
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.runs.identity import RESULTS
from pipeline.lab.summary.records import Grid, Place
from pipeline.params.errors import UserError


def played_grids(folder: Path = RESULTS) -> tuple[list[Grid], list[str]]:
    """(every study with results here, by name; what cannot be read, in words); other files in the folder are passed over."""
    grids, damaged = list[Grid](), list[str]()
    paths = sorted(folder.glob("*.json"))
    entries = read_entries() if paths else {}
    for path in paths:
        entry = entries.get(path.stem)
        try:
            grids.append(grid_of(path.stem, read_json(path, "axes", "values", "verdicts", "seeds"), entry))
        except (UserError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if entry and entry.sweep:
                damaged.append(f"{path} is damaged, or of another version; `rally play {path.stem}` writes it again")
    return grids, damaged


def grid_of(name: str, content: Mapping[str, Any], entry: Entry | None) -> Grid:
    """A study from its results.

    Args:
        entry: of studies/; None where it is no longer there.
    """
    seeds = tuple(content["seeds"])
    sweep = entry.sweep if entry else None
    return Grid(
        name,
        entry.question if entry else "",
        tuple(_places(content)),
        seeds,
        tuple((one["claim"], one["status"], one["says"]) for one in content["verdicts"]),
        own_seeds=sweep is not None and seeds == tuple(sweep.seeds),
        is_known=sweep is not None,
        costs=entry.costs if entry else "",
    )


def _places(content: Mapping[str, Any]) -> Iterator[Place]:
    axes = [(axis["name"], axis["labels"]) for axis in content["axes"]]
    labels = [
        ", ".join(f"{name} {label}" for (name, _), label in zip(axes, place, strict=True))
        for place in itertools.product(*(labels for _, labels in axes))
    ]
    values = {
        measure: np.array([math.inf if value is None else value for value in flat], dtype=np.float64).reshape(len(labels), -1)
        for measure, flat in content["values"].items()
    }
    held_out = content.get("held_out", {})
    for at, label in enumerate(labels):
        rows = {measure: whole[at] for measure, whole in values.items()}
        lost = max((int((~np.isfinite(row)).sum()) for row in rows.values()), default=0)
        yield Place(
            label, {measure: interval_of(measure, row, held_out.get(measure, 0)) for measure, row in rows.items()}, lost
        )


def interval_of(measure: str, values: np.ndarray, held_out: int = 0) -> Interval | None:
    """The mean of a measure and its interval, as the page of the study has them; None where a training diverged.

    Args:
        held_out: of a share, how many examples all seeds have in common.
    """
    if not np.isfinite(values).all():
        return None
    if (known := MEASURES.get(measure)) is None:
        return interval(values)
    return Results((), values, known.logarithmic, known.quantity, known.low, known.high, held_out).interval(values)
