"""The budget of a search: how many runs it may have, or how many FLOPs they may take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import TOKENS, meta_of, private_folder
from pipeline.artifacts.reading import read_json
from pipeline.identity import read_cached, write_cached
from pipeline.lab.studies.search_space import MAX_RUNS, Search, Values
from pipeline.params.errors import UserError
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape


@dataclass(frozen=True)
class Allowance:
    """What a search may use.

    Attributes:
        runs: the most runs.
        flops: that all of its runs may take.
        cost: the FLOPs of the run at a point.
    """

    runs: int
    flops: float = math.inf
    cost: Callable[[Values], float] = field(default=lambda _: 0.0)

    def admits(self, number: int, spent: float, values: Values) -> bool:
        """Whether one more run fits.

        Args:
            number: of the runs so far.
            spent: their FLOPs.
        """
        return number < self.runs and (self.flops == math.inf or spent + self.cost(values) <= self.flops)


def allowance(search: Search, identity: str, params_at: Callable[[Values], Params], tokens: Path) -> Allowance:
    """What each search of a study may use.

    Minutes are turned into runs once, by 20 steps that are timed at the middle of the space, and the number is kept: a search
    that goes on later has as many runs, on a busy machine too.

    Args:
        identity: of the study's searches.
        params_at: the parameters of the run at a point.
        tokens: of one of the runs.

    Raises:
        UserError: no run fits.
    """
    unit, amount = search.budget
    if unit == "runs":
        return Allowance(int(amount))
    shape = Shape.of(read_json(meta_of(tokens)))
    if unit == "minutes":
        path = private_folder("sweeps") / "searches" / f"{identity}.json"
        if (kept := read_cached(path)) is None:
            kept = {"runs": int(min(60 * amount / _seconds(params_at(search.middle()), shape), MAX_RUNS))}
            write_cached(path, kept)
        if not kept["runs"]:
            raise UserError(f"search.budget.minutes: {amount:g} are too few for a single run; use more, or train.steps lower")
        return Allowance(kept["runs"])
    costs = Costs(search, lambda values: _flops(params_at(values), shape))
    if (cheapest := costs.cheapest) > amount:
        raise UserError(f"search.budget.flops: {amount:.3g} are too few for a single run, which takes {cheapest:.3g}; use more")
    return Allowance(min(int(amount / cheapest) if cheapest else MAX_RUNS, MAX_RUNS), amount, costs.of)


class Costs:
    """The FLOPs of each point, estimated once for all points that differ only in knobs which cost nothing, such as train.lr.

    Attributes:
        cheapest: the least at a corner of the space.
        counted: the knobs that change the cost.
    """

    def __init__(self, search: Search, estimate: Callable[[Values], float]) -> None:
        self.estimate, self.known = estimate, dict[str, float]()
        first, *others = search.corners()
        base, at_corners = estimate(first), list(map(estimate, others))
        self.cheapest = min(base, *at_corners)
        changes = ((other, flops) for other, flops in zip(others, at_corners, strict=True) if flops != base)
        self.counted = frozenset(knob for other, _ in changes for knob in other if other[knob] != first[knob])

    def of(self, values: Values) -> float:
        key = str([(knob, values[knob]) for knob in sorted(self.counted)])
        if key not in self.known:
            self.known[key] = self.estimate(values)
        return self.known[key]


def _flops(params: Params, shape: Shape) -> float:
    from pipeline.lab.budget.estimate import Budget, cached_fake_steps, this_device
    from pipeline.lab.stand_ins.data_shape import Data

    device, data = this_device(params), Data(shape, None, str(TOKENS))
    return Budget(params, data, device, cached_fake_steps(data)(params, device), [], None, None, None).flops


def _seconds(params: Params, shape: Shape) -> float:
    """Of a training on this machine, with its validations."""
    from pipeline.lab.budget.timing import measure

    return measure(params, shape).total(params.train)


def budget_text(search: Search) -> str:
    """How many runs there are, in words."""
    unit, amount = search.budget
    searches, samplers = len(search.sweep.seeds), 2
    winners = f"{samplers * searches * search.fresh} of the winners on fresh seeds"
    if unit == "runs":
        total = samplers * searches * (int(amount) + search.fresh)
        return f"{total:,} trainings: {samplers} samplers x {searches} searches x {int(amount)} runs, and {winners}"
    what = f"{amount:.3g} FLOPs" if unit == "flops" else f"{amount:g} minutes of one core"
    return f"as many trainings as fit into {what}, in each of {samplers} samplers x {searches} searches, and {winners}"


def budget_json(search: Search) -> Mapping[str, Any]:
    """As it stands in the study."""
    return {search.budget.unit: search.budget.amount}
