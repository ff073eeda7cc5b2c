"""The samplers of a search: which points to try next, given how good those before were.

Each asks for the same points again, if it is told the same losses: so a search that was stopped goes on from the kept runs of
its points, without a database of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.lab.studies.search_space import Choice, Parameter, Values
from pipeline.params.errors import check_packages

if TYPE_CHECKING:
    from optuna.trial import Trial


class Sampler(ABC):
    """Asked for points in turn, and told their losses."""

    @abstractmethod
    def ask(self, count: int) -> list[Values]:
        """The next points."""

    @abstractmethod
    def tell(self, losses: Sequence[float]) -> None:
        """The losses of the points that were asked for last, in their order; lower is better, inf for one that diverged."""


class RandomSampler(Sampler):
    """Points that are drawn alone, evenly over the scale of each knob: the control of a search.

    Source: Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
    """

    def __init__(self, space: Sequence[Parameter], seed: int) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)

    def ask(self, count: int) -> list[Values]:
        shares = self.rng.random((count, len(self.space)))
        return [{knob.name: knob.value(float(at)) for knob, at in zip(self.space, row, strict=True)} for row in shares]

    def tell(self, losses: Sequence[float]) -> None:
        pass


class TpeSampler(Sampler):
    """Optuna's tree-structured Parzen estimator, asked and told.

    Optuna sees a share of the way from low to high, 0 to 1: the scale of each knob and its digits are Rally's own, the same as
    for the random search. Its first ten points are drawn at random (`n_startup_trials`).

    Raises:
        UserError: Optuna is not installed.

    Source: Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization", 2011.
    """

    def __init__(self, space: Sequence[Parameter], seed: int) -> None:
        check_packages("search", "search", "optuna")

        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.distributions: dict[str, optuna.distributions.BaseDistribution] = {
            knob.name: optuna.distributions.CategoricalDistribution(range(len(knob.values)))
            if isinstance(knob, Choice)
            else optuna.distributions.FloatDistribution(0.0, 1.0)
            for knob in space
        }
        self.study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self.asked: list[Trial] = []

    def ask(self, count: int) -> list[Values]:
        self.asked = [self.study.ask(self.distributions) for _ in range(count)]
        return [{knob.name: _value(knob, trial.params[knob.name]) for knob in self.space} for trial in self.asked]

    def tell(self, losses: Sequence[float]) -> None:
        for trial, loss in zip(self.asked, losses, strict=True):
            self.study.tell(trial, loss)


def _value(knob: Parameter, at: Any) -> Any:
    return knob.values[at] if isinstance(knob, Choice) else knob.value(at)


SAMPLER_TYPES: Mapping[str, Callable[[Sequence[Parameter], int], Sampler]] = {
    "tpe": TpeSampler,
    "random": RandomSampler,
}  # by the names of search_space.SAMPLERS
