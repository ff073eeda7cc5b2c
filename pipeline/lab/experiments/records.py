"""Experiments as records: what varied, what was measured, and in which state each is. Seeds of one variant are one group."""

from __future__ import annotations

import math
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

METRICS = ("accuracy", "loss", "bits_per_byte", "margin", "macro_f1", "calibration_error", "above_entropy")
"""The scores that variants are compared by, in the order of their columns; `dvc metrics diff` has all."""

HIGHER_IS_BETTER = frozenset({"accuracy", "test_accuracy", "macro_f1", "margin"})
"""The scores of which more is better; of all others less is."""

PER_TOKEN = ("accuracy", "loss", "above_entropy")
"""The scores of a language model that are means over tokens, so that they do not compare across tokenizers."""

TOKENIZER_TOLERANCE = 1e-4
"""Relative: bytes per token, from numbers of six digits, that differ by less are of one tokenizer."""

HEALTHY = ("", "healthy", "unknown")
"""The findings of the doctor that name no symptom."""


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
        diverged: its loss became infinite, or it was stopped because it rose and did not come back. It has no scores: those
            of the weights at which it was stopped say nothing about the variant.
        missing: why it has no scores, with the remedy; "" where it has them.
        undiagnosed: why a finding that is there is not of this run, with the remedy; "" otherwise.
        code: a digest of the code of the stages and of dvc.yaml; "" where it is not known.
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
    undiagnosed: str = ""
    code: str = ""

    @property
    def seed(self) -> int:
        """0 where it is no number: no training of this code can have had such a seed."""
        value = self.knobs.get("seed")
        return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0

    @property
    def has_result(self) -> bool:
        """Whether something was measured, be it that it diverged."""
        return bool(self.scores) or self.diverged

    @property
    def sick(self) -> bool:
        """Whether it diverged, or the doctor named a symptom."""
        return self.diverged or self.finding not in HEALTHY

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
    """Experiments of the same code that differ in SEEDS alone as one group each, in the order of their first ones.

    The same seed twice is one value: of experiments with equal knobs the last of those that came farthest.
    """
    found: dict[tuple[str, tuple[tuple[str, Knob], ...]], dict[int, Experiment]] = {}
    for one in experiments:
        key = (one.code, tuple(sorted((name, value) for name, value in one.knobs.items() if name not in SEEDS)))
        same = found.setdefault(key, {})
        is_later = bool(one.commit)  # the working tree stands for a commit or an experiment only where it came farther
        if one.seed not in same or (_progress(one), is_later) >= (_progress(same[one.seed]), True):
            same[one.seed] = one
    return [Group(tuple(same[seed] for seed in sorted(same)), dict(key[1])) for key, same in found.items()]


def _progress(experiment: Experiment) -> int:
    """How much an experiment says about its variant: the more, the larger."""
    order = (State.KILLED, State.FAILED, State.DONE, State.QUEUED, State.RUNNING)  # done, and without a result
    return len(order) if experiment.has_result else order.index(experiment.state)


def bytes_per_token(scores: Mapping[str, float]) -> float | None:
    """The mean number of bytes per token of a language model: its loss over its bits per byte, one number in two units.

    None where it has not both.
    """
    loss, bits = scores.get("loss", 0.0), scores.get("bits_per_byte", 0.0)
    return loss / bits / math.log(2) if loss > 0 and bits > 0 else None
