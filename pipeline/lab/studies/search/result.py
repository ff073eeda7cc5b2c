"""The result of a search: what was found, how good it is on fresh seeds, and by how much the best found was too good."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.writing import rounded, write_bytes, write_json, write_text
from pipeline.figures.style import png
from pipeline.figures.words import formatted, knob_text
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.studies.claims.base import Verdict
from pipeline.lab.studies.claims.results import Axis, Results
from pipeline.lab.studies.entries import Entry
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.pages.page import page
from pipeline.lab.studies.pages.rulings import rulings
from pipeline.lab.studies.pages.tables import cell
from pipeline.lab.studies.report import Outcome, as_json
from pipeline.lab.studies.runs.identity import RESULTS
from pipeline.lab.studies.search.budget import budget_json
from pipeline.lab.studies.search.picture import draw_search
from pipeline.lab.studies.search.run import Tried, search_identity
from pipeline.lab.studies.search_space import SAMPLERS, SCORES, Search


def scores(search: Search, tried: Sequence[Tried], held_out: int = 0) -> Results:
    """The found and the fresh score of each sampler in each search; a fresh score is the mean over the fresh seeds.

    Args:
        held_out: on how many examples a share was measured, where all seeds share them; 0 otherwise.
    """
    values = np.empty(search.sweep.shape)  # scores, samplers, searches
    for at, one in enumerate(tried):
        place = (at % len(SAMPLERS), at // len(SAMPLERS))
        values[(0, *place)] = one.winner.value
        values[(1, *place)] = float(np.mean(one.fresh))
    measure = MEASURES[search.measure]
    about = (measure.logarithmic, measure.quantity, measure.low, measure.high, held_out, search.sweep.basis)
    return Results(search.sweep.axes, values, *about)


def too_good(search: Search, found: Results) -> Iterator[tuple[str, str]]:
    """(sampler, by how much the best found was too good, in a sentence), for each sampler."""
    sign = -1 if MEASURES[search.measure].higher_is_better else 1
    pairs = found.pairing
    for sampler in SAMPLERS:
        best, again = (found.at({"score": score, "sampler": sampler}).values for score in SCORES)
        if not (np.isfinite(best).all() and np.isfinite(again).all()):
            yield sampler, "a winner diverged, among the searches or on fresh seeds"
            continue
        apart = found.difference(sign * again, sign * best, pairs)
        share = f", {100 * abs(apart.mean) / abs(again.mean()):.0f} % of it" if again.mean() else ""
        word = "better" if apart.mean >= 0 else "worse"
        by = f"by {formatted(abs(apart.mean))}{share}"
        yield sampler, f"the best found is {word} than its fresh score {by} ({found.text(apart)}, {found.seeds_text})"


def winners_table(search: Search, tried: Sequence[Tried]) -> Table:
    """The best point of every search, with its score found and its scores on fresh seeds."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("seed", "sampler", *(knob.name for knob in search.space), "found", "fresh"):
        drawn.add_column(Text(column), justify="right")
    measure = MEASURES[search.measure]
    for one in tried:
        again = Results((), np.array(one.fresh), measure.logarithmic, low=measure.low, high=measure.high)
        point = [knob_text(one.winner.values[knob.name], 4) for knob in search.space]
        words = (str(one.seed), one.sampler, *point, formatted(one.winner.value), cell(again, again.values, measure.if_missing))
        drawn.add_row(*map(Text, words))
    return drawn


def at_edges(search: Search, tried: Sequence[Tried]) -> list[str]:
    """A sentence for each knob whose best value lies at an end of its range in half of the searches or more."""
    sentences = []
    for knob in search.space:
        count = sum(knob.is_at_edge(one.winner.values[knob.name]) for one in tried)
        if 2 * count >= len(tried):
            sentences.append(
                f"{knob.name}: {count} of {len(tried)} winners lie at an end of its range ({knob.text()}): a better value"
                " may lie beyond"
            )
    return sentences


def write_search(
    name: str,
    entry: Entry,
    search: Search,
    base: BaseParams,
    tried: Sequence[Tried],
    found: Results,
    verdicts: Sequence[Verdict],
    bet: str = "",
) -> dict[str, Path]:
    """Write the picture, the page and the numbers of a search to RESULTS.

    Args:
        bet: what the learner had predicted and what came of it, in a sentence; "" = nothing.

    Returns:
        "png", "html", "json" -> the file.
    """
    files = {kind: RESULTS / f"{name}.{kind}" for kind in ("png", "html", "json")}
    captions = [f"{ruling.status}: {ruling.claimed}. {ruling.found}" for ruling in rulings(name, search.sweep, verdicts)]
    alone, in_page = (png(draw_search(search, tried, *texts), dpi=120) for texts in ((entry.question, captions), ("", [])))
    outcome = Outcome({search.measure: found}, {}, tuple(verdicts))
    numbers = as_json(search.sweep, outcome) | {
        "searches": [search_json(one) for one in tried],
        "space": {knob.name: knob.text() for knob in search.space},
        "budget": budget_json(search),
        "identity": search_identity(name, search, base),
        "made_of": base.as_json(),
    }
    write_bytes(files["png"], alone)
    write_json(files["json"], numbers)
    told = replace(search.sweep, axes=tuple(Axis(knob.name, (knob.text(),)) for knob in search.space))  # what was varied
    write_text(files["html"], page(name, entry, told, base, outcome.found, verdicts, in_page, bet))
    return files


def search_json(one: Tried) -> Mapping[str, Any]:
    """All trials of a search; None where a training diverged."""

    def finite(value: float) -> float | None:
        return rounded(value) if math.isfinite(value) else None

    return {
        "sampler": one.sampler,
        "seed": one.seed,
        "trials": [{"knobs": dict(trial.values), "value": finite(trial.value)} for trial in one.trials],
        "winner": dict(one.winner.values),
        "found": finite(one.winner.value),
        "fresh": list(map(finite, one.fresh)),
    }
