"""Experiments as records: what varied, what was measured, and in which state each is. Seeds of one variant are one group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
from jaxtyping import Float

Knob = bool | int | float | str | None
"""The value of a knob."""

SEEDS = ("seed",)
"""The knobs that repeat a variant without making another one of it."""


HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1", "margin"})
"""The scores of which more is better; of all others less is."""


class State(StrEnum):
    """How far an experiment came."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True)
class Experiment:
    """One experiment, or a commit, or the working tree.

    Attributes:
        name: that of the experiment; of a commit its branch or the first digits of its hash; "workspace" of the working tree.
        commit: the whole hash; "" of the working tree.
        baseline: the commit that was checked out when it began; "" of what is no experiment.
        knobs: all of them, flat, such as "train.lr".
        scores: of metrics/evaluate.json, only those that were measured with these knobs, this code and data.
        finding: the first one of the doctor, "healthy", or "" where there is none.
        diverged: its loss became infinite; a diverged run has no scores.
        missing: why it has no scores, with the remedy; "" where it has them.
    """

    name: str
    commit: str
    baseline: str
    state: State
    created: datetime | None
    knobs: Mapping[str, Knob]
    scores: Mapping[str, float] = field(default_factory=dict)
    finding: str = ""
    diverged: bool = False
    missing: str = ""

    @property
    def seed(self) -> int:
        return int(self.knobs.get("seed") or 0)

    @property
    def task(self) -> str:
        """The kind of its task, such as "language"."""
        return str(self.knobs.get("task.kind", ""))

    @property
    def data(self) -> str:
        """The name of its data set."""
        return str(self.knobs.get("prepare.dataset", ""))


@dataclass(frozen=True)
class Group:
    """The experiments of one variant, which differ in their seeds alone.

    Attributes:
        experiments: in the order of their seeds; at least one.
        knobs: those that they share, without SEEDS.
    """

    experiments: tuple[Experiment, ...]
    knobs: Mapping[str, Knob]

    @property
    def name(self) -> str:
        """The name of its first experiment."""
        return self.experiments[0].name

    def values(self, metric: str) -> dict[int, float]:
        """seed -> score of the experiments that have it; inf where a training diverged and less is better."""
        return {one.seed: one.scores[metric] for one in self.experiments if metric in one.scores}

    def array(self, metric: str) -> Float[np.ndarray, " n"]:
        """The scores in the order of the seeds."""
        return np.array([value for _, value in sorted(self.values(metric).items())])


def grouped(experiments: Iterable[Experiment]) -> list[Group]:
    """Experiments that differ in SEEDS alone as one group each, in the order of their first ones.

    The same seed twice is one value: of experiments with equal knobs, the last that is done.
    """
    found: dict[tuple[tuple[str, Knob], ...], dict[int, Experiment]] = {}
    for one in experiments:
        key = tuple(sorted((name, value) for name, value in one.knobs.items() if name not in SEEDS))
        same = found.setdefault(key, {})
        if one.seed not in same or one.state is State.DONE:
            same[one.seed] = one
    return [Group(tuple(same[seed] for seed in sorted(same)), dict(key)) for key, same in found.items()]
