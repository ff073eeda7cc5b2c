"""Searches side by side: each sampler is asked for points, they are run, and it is told their losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.artifacts.paths import TOKENS
from pipeline.identity import digest
from pipeline.lab.dvc.base_params import BaseParams
from pipeline.lab.fleet.fleet import Fleet
from pipeline.lab.studies.grid import Variant
from pipeline.lab.studies.measures.metrics import MEASURES
from pipeline.lab.studies.runs.identity import SECTIONS
from pipeline.lab.studies.runs.sweep import Advance, make_data, run_all
from pipeline.lab.studies.search.budget import Allowance, allowance
from pipeline.lab.studies.search.sampler import SAMPLER_TYPES, Sampler
from pipeline.lab.studies.search_space import SAMPLERS, Search, Values
from pipeline.params.errors import ParamsError, UserError
from pipeline.params.load import with_knobs
from pipeline.params.schema import Params


class Trial(NamedTuple):
    """A point that was tried.

    Attributes:
        value: the measure there; inf where the training diverged.
        loss: what the sampler was told: lower is better.
    """

    values: Values
    value: float
    loss: float


@dataclass
class Tried:
    """What one sampler has tried in one search.

    Attributes:
        sampler: its name.
        seed: of the search: of the sampler, the training and its data.
        trials: in the order in which they were asked for.
        fresh: the measure of the winner on the fresh seeds.
        spent: FLOPs, where the budget counts them.
    """

    sampler: str
    seed: int
    trials: list[Trial] = field(default_factory=list)
    fresh: tuple[float, ...] = ()
    spent: float = 0.0

    @property
    def winner(self) -> Trial:
        """The point with the lowest loss, the first of several."""
        return min(self.trials, key=lambda trial: trial.loss)


class Task(NamedTuple):
    """A run that is to be done: where it belongs, at which seed and point."""

    place: tuple[int, ...]
    seed: int
    values: Values


Score = Callable[[Sequence[Task]], list[float]]
"""The measure of each run."""


def loss_of(value: float, *, higher_is_better: bool) -> float:
    """What a sampler is told: lower is better, and infinite where a training diverged or never got there."""
    if not math.isfinite(value):
        return math.inf
    return -value if higher_is_better else value


def run_searches(
    search: Search,
    samplers: Sequence[Sampler],
    score: Score,
    allowed: Allowance,
    *,
    higher_is_better: bool = False,
) -> list[Tried]:
    """All searches of a study in step, and their winners scored again on fresh seeds.

    The points depend on the scores alone, not on how many processes run them: whatever is asked in a round is asked before
    anything of it is told.

    Args:
        samplers: of each search one of each kind, in the order of SAMPLERS.
        score: runs some points and measures them.
        allowed: to each search.

    Raises:
        UserError: a search cannot try a single point.
    """
    seeds = search.sweep.seeds
    tried = [Tried(name, seed) for seed in seeds for name in SAMPLERS]
    running = list(range(len(tried)))
    while running:
        asked: list[tuple[int, list[Values]]] = []
        for at in tuple(running):
            one = tried[at]
            points: list[Values] = []
            for values in samplers[at].ask(min(search.batch, allowed.runs - len(one.trials))):
                if not allowed.admits(len(one.trials) + len(points), one.spent, values):
                    running.remove(at)
                    break
                one.spent += allowed.cost(values)
                points.append(values)
            asked.append((at, points))
        tasks = [
            Task((at % len(SAMPLERS), at // len(SAMPLERS), len(tried[at].trials) + number), tried[at].seed, values)
            for at, points in asked
            for number, values in enumerate(points)
        ]
        values_found = iter(score(tasks))
        for at, points in asked:
            found = [next(values_found) for _ in points]
            losses = [loss_of(value, higher_is_better=higher_is_better) for value in found]
            tried[at].trials += map(Trial, points, found, losses)
            if at in running:
                samplers[at].tell(losses)
                if len(tried[at].trials) >= allowed.runs:
                    running.remove(at)
    if empty := [one for one in tried if not one.trials]:
        raise UserError(
            f"search.budget: the first point that {empty[0].sampler} asks for at seed {empty[0].seed} takes more than the whole"
            " budget; use more"
        )
    again = [
        Task((at % len(SAMPLERS), at // len(SAMPLERS), len(one.trials) + number), seed, one.winner.values)
        for at, one in enumerate(tried)
        for number, seed in enumerate(search.fresh_seeds(one.seed))
    ]
    scores = score(again)
    for at, one in enumerate(tried):
        one.fresh = tuple(scores[at * search.fresh : (at + 1) * search.fresh])
    return tried


# -------------------------------------------------------------------------------------------------------------- trainings


class Trainings:
    """The runs of a search as trainings, each kept under its identity.

    Attributes:
        advance: is called after each run.
        fleet: the machines that run them; None = this one.
        held_out: on how many held-out examples a share was measured, where all seeds share them; 0 otherwise.
    """

    def __init__(self, search: Search, base: BaseParams, advance: Advance = lambda: None, fleet: Fleet | None = None) -> None:
        self.search, self.base, self.advance, self.fleet = search, base, advance, fleet
        self.measure = MEASURES[search.measure]
        self.held_out = 0

    def variant(self, task: Task) -> Variant:
        """A run, with its parameters validated.

        Raises:
            ParamsError: with one line for each knob that cannot be used.
        """
        seeds = {"seed": task.seed} | ({"prepare.seed": task.seed} if self.search.sweep.draws == "seed" else {})
        return self.search.sweep.variant(task.place, with_knobs(self.base.sections, {**seeds, **task.values}))

    def score(self, tasks: Sequence[Task]) -> list[float]:
        """The measure of each run; what is kept is not trained again.

        Raises:
            ParamsError: the knobs of a point do not go together.
        """
        variants = [self._checked(task) for task in tasks]
        records = run_all(variants, self.search.sweep.network_metrics, self.advance, self.fleet) if variants else {}
        if self.search.sweep.draws == "one":
            self.held_out = int(min((record.numbers.get(self.measure.sample, 0) for record in records.values()), default=0))
        return [self.measure.compute(records[task.place]) for task in tasks]

    def _checked(self, task: Task) -> Variant:
        try:
            return self.variant(task)
        except ParamsError as error:
            point = ", ".join(f"{knob} {value}" for knob, value in task.values.items())
            raise ParamsError(*(f"search, at {point}: {problem}" for problem in error.problems)) from None

    def check_space(self) -> None:
        """Check that every end of a range and every choice can be used, before anything runs.

        Raises:
            ParamsError: with one line for each that cannot.
        """
        problems: dict[str, None] = {}
        for values in self.search.corners():
            try:
                self.variant(Task((0,), self.search.sweep.seeds[0], values))
            except ParamsError as error:
                problems |= dict.fromkeys(error.problems)
        if problems:
            raise ParamsError(*problems)

    def allowance(self, identity: str) -> Allowance:
        """What each search may use."""
        first = self.variant(Task((0,), self.search.sweep.seeds[0], self.search.middle()))
        tokens = next(iter(make_data([first]).values()), TOKENS)
        return allowance(self.search, identity, self._params_at, tokens)

    def _params_at(self, values: Values) -> Params:
        return self._checked(Task((0,), self.search.sweep.seeds[0], values)).params


def samplers_of(search: Search) -> list[Sampler]:
    """A sampler of each kind for each search.

    Raises:
        UserError: Optuna is not installed.
    """
    return [SAMPLER_TYPES[name](search.space, seed) for seed in search.sweep.seeds for name in SAMPLERS]


def search_identity(name: str, search: Search, base: BaseParams) -> str:
    """A digest of a study's claims and of all that decides its searches, for bets and results; not of the code.

    Args:
        name: of the study.
    """
    sweep = search.sweep
    claims = [[kind, claim.model_dump(mode="json")] for kind, claim in sweep.claims]
    sections: dict[str, Any] = {section: base.sections[section] for section in sorted(SECTIONS) if section in base.sections}
    own = [str(search.space), *search.budget, search.fresh, search.batch, sweep.seeds, sweep.draws]
    return digest([name, search.measure, claims, own, sections])[:32]
