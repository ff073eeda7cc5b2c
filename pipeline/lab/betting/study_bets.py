"""Bets on a study: whether a claim holds, and which value of its last axis is best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.artifacts.reading import read_json
from pipeline.lab.bets.bet import Bet
from pipeline.lab.bets.question import Question, Target, Truth
from pipeline.lab.dvc.base_params import BaseParams, base_params
from pipeline.lab.studies import recipes
from pipeline.lab.studies.claims.base import Status
from pipeline.lab.studies.claims.results import Axis, Edge, Results, best_per_seed
from pipeline.lab.studies.entries import Entry, find_entry, read_entries
from pipeline.lab.studies.grid import Sweep
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.prediction import claimed_text
from pipeline.lab.studies.runs.identity import RESULTS, already_run, study_identity
from pipeline.params.errors import UserError

HELD = {Status.HELD.value: True, Status.PASSED.value: True, Status.REFUTED.value: False, Status.FAILED.value: False}


@dataclass(frozen=True)
class Offer:
    """A question about a study that can be bet on.

    Attributes:
        claim: the number of a claim, from 1; 0 for the best value.
        measure: by which a value is best; "" for a claim.
    """

    question: Question
    target: Target
    study: str
    sweep: Sweep
    base: BaseParams
    claim: int = 0
    measure: str = ""

    def is_known(self) -> bool:
        """Whether its outcome is here already."""
        return already_run(self.study, self.sweep, self.base)


def offers(name: str) -> Iterator[Offer]:
    """Everything that can be bet on in a study: its claims, in order, and the best value by each measure.

    Raises:
        UserError: there is no such study, or it is a single training.
    """
    yield from offers_of(name, find_entry(name, read_entries()))


def offers_of(name: str, entry: Entry) -> Iterator[Offer]:
    """The same of an entry that was read.

    Raises:
        UserError: it is a single training.
    """
    if entry.search:
        raise UserError(f"{name}: is a search, not a grid; `rally play {name}` asks what you expect")
    if entry.sweep is None:
        example = f"rally bet exp {name} LOW..HIGH --measure loss"
        raise UserError(f"{name}: is a single training, not a grid; bet on its score: {example}")
    sweep, base = entry.sweep, recipes.apply_entry(base_params(), entry, [])
    identity = study_identity(name, sweep, base)
    for number, (_, claim) in enumerate(sweep.claims, 1):
        what = f"Claim {number} of {name}{', a control that should fail' if claim.control else ''}"
        question = Question(f"{what}: {claimed_text(sweep, number)}. Will it hold?", "yesno")
        yield Offer(question, Target(f"study {name}: claim {number}", identity), name, sweep, base, claim=number)
    across = sweep.axes[-1]
    if across.is_scale() and math.prod(sweep.shape[:-2]) == 1:
        for measure in sweep.measures:
            word = "highest" if MEASURES[measure].higher_is_better else "lowest"
            text = f"At which {across.name} is {MEASURES[measure].quantity} {word}? (tried: {_listed(across)})"
            target = Target(f"study {name}: best {across.name} by {measure}", identity)
            yield Offer(Question(text, "number", logarithmic=True), target, name, sweep, base, measure=measure)


def _listed(axis: Axis) -> str:
    return ", ".join(f"{label:g}" if isinstance(label, float) else str(label) for label in axis.labels)


# --------------------------------------------------------------------------------------------------------- what came out


def settled_truth(bet: Bet) -> tuple[tuple[Truth, tuple[float, float] | None] | None, str]:
    """(truth, its interval) of a bet on a study; None and why, where the study was not played or decides nothing."""
    name, _, what = bet.target.name.removeprefix("study ").partition(": ")
    file = RESULTS / f"{name}.json"
    try:
        found = read_json(file, "axes", "values", "verdicts", "seeds")
    except UserError:
        return None, f"has not run; `rally play {name}` runs it"
    if found.get("identity") != bet.target.identity:
        return None, f"{file} is of other knobs or seeds; `rally play {name}` runs those of the bet"
    if what.startswith("claim "):
        status = found["verdicts"][int(what.removeprefix("claim ")) - 1]["status"]
        return ((HELD[status], None), "") if status in HELD else (None, f"{status}, so the bet stays open")
    best = _best(found, what.rpartition(" ")[2])
    return best, "" if best else "the best value lies at an edge of the grid, so the bet stays open"


def _best(found: Mapping[str, Any], measure: str) -> tuple[Truth, tuple[float, float] | None] | None:
    across, seeds = found["axes"][-1], len(found["seeds"])
    axis = Axis(across["name"], tuple(across["labels"]))
    values = np.array([np.inf if value is None else value for value in found["values"][measure]], dtype=np.float64)
    values = values.reshape(-1, seeds)
    best = best_per_seed(axis.scale(), -values if MEASURES[measure].higher_is_better else values)
    if isinstance(best, Edge):
        return None
    low, mean, high = Results((), best).interval(best)
    return float(2**mean), (float(2**low), float(2**high)) if math.isfinite(low) else None
