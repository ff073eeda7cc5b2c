"""Dials of what a step sees: how many examples, how long, out of how much of the data, and from which data set of a mixture.

Each is a pure function of the step. The learning rate's dial stands in schedules.py, dropout's with dropout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipeline.params.training import Train
from pipeline.tasks.base import Task

LENGTH_STEP = 8  # tokens by which examples grow, so that shapes seldom change; also the least that an example has
OPEN_STEPS = 100  # in so many steps the data opens


@dataclass(frozen=True)
class BatchSettings:
    """Where the dials stand at a step.

    Attributes:
        batch: examples of the step.
        length: tokens of each.
        open: share of the training data that may be drawn from.
        second: share of the examples that comes from the second data set of a mixture.
    """

    batch: int
    length: int
    open: float
    second: float

    def micro_batches(self, together: int) -> Iterator[slice]:
        """The rows of each micro-batch, so many of them together at most: as few as can be, of nearly equal size."""
        parts = -(-self.batch // together)
        return (slice(self.batch * part // parts, self.batch * (part + 1) // parts) for part in range(parts))


def settings_at(task: Task, train: Train, step: int) -> BatchSettings:
    """Where the dials stand at a step of the training."""
    done = step / train.steps
    length = _length(task.length, _ramped(train, done, train.length_start, train.length_growth))
    batch = max(round(train.batch_size * _ramped(train, done, train.batch_start, train.batch_growth)), 1)
    if train.length_keeps == "tokens":
        batch = batch * task.length // length
    return BatchSettings(
        batch=batch,
        length=length,
        open=_open(train, _ramped(train, done, train.curriculum_start, train.curriculum_growth)),
        second=train.mixture_start + (train.mixture_end - train.mixture_start) * done if task.parts().mixed else 0.0,
    )


def changing_settings(task: Task, train: Train, step: int) -> dict[str, float]:
    """The dials that move in this training, by name: what the curve shows beside the loss."""
    dials = settings_at(task, train, step)
    shown = {
        "batch": train.batch_start < 1 or (train.length_start < 1 and train.length_keeps == "tokens"),
        "length": train.length_start < 1,
        "open": CURRICULA[train.curriculum] is not None,
        "second": task.parts().mixed and train.mixture_start != train.mixture_end,
    }
    return {name: getattr(dials, name) for name, moves in shown.items() if moves}


def _ramped(train: Train, done: float, start: float, growth: float) -> float:
    """How far a dial has climbed from its start, when so much of the training is done."""
    return RAMPS[train.ramp](start, min(done / growth, 1.0))


def _length(whole: int, share: float) -> int:
    """Tokens of an example: a multiple of LENGTH_STEP until it is whole.

    A batch keeps its number of examples and so has fewer tokens while they are short, as in the first source, where each
    sequence is cut off and the tokens of the whole training are made up for by more steps; or (`length_keeps: tokens`)
    what is cut off becomes further examples, as in the second. The learning rate follows the steps either way.

    Source: Li et al., "The Stability-Efficiency Dilemma: Investigating Sequence Length Warmup for Training GPT Models",
    2022; Press et al., "Shortformer: Better Language Modeling using Shorter Inputs", 2021.
    """
    return whole if share >= 1 else max(int(share * whole) // LENGTH_STEP * LENGTH_STEP, min(LENGTH_STEP, whole))


def _open(train: Train, share: float) -> float:
    """The share of the data that is open, in steps of 1 / OPEN_STEPS; all of it without a curriculum."""
    return 1.0 if CURRICULA[train.curriculum] is None else math.ceil(round(share * OPEN_STEPS, 6)) / OPEN_STEPS


# How a dial climbs from its start (0 < start <= 1) to 1, with the share p of its growth that is done (0 .. 1).
# Sources: root is of Platanios et al., "Competence-based Curriculum Learning for Neural Machine Translation", 2019; all of
# them are among those compared in Wu et al., "When Do Curricula Work?", 2021. A batch that grows by factors (step,
# geometric) instead of a learning rate that falls: Smith et al., "Don't Decay the Learning Rate, Increase the Batch
# Size", 2018; a linear one: Brown et al., "Language Models are Few-Shot Learners", 2020.
RAMPS: dict[str, Callable[[float, float], float]] = {
    "linear": lambda start, p: start + (1 - start) * p,
    "root": lambda start, p: math.sqrt(start**2 + (1 - start**2) * p),
    "geometric": lambda start, p: start ** (1 - p),
    "step": lambda start, p: start if p < 1 else 1.0,
}

Ranking = Callable[[Float[np.ndarray, " P"], np.random.Generator], Int[np.ndarray, " P"]]
"""(difficulty of each part, random numbers) -> the parts in the order in which they open."""


def easy_first(difficulty: Float[np.ndarray, " P"], rng: np.random.Generator) -> Int[np.ndarray, " P"]:
    """From the easiest to the hardest; equals as they lie.

    Source: Bengio et al., "Curriculum Learning", 2009.
    """
    return np.argsort(difficulty, kind="stable")


def hard_first(difficulty: Float[np.ndarray, " P"], rng: np.random.Generator) -> Int[np.ndarray, " P"]:
    """The reverse of easy_first: whether the order matters at all, or only its direction.

    Source: Hacohen and Weinshall, "On The Power of Curriculum Learning in Training Deep Networks", 2019 ("anti").
    """
    return easy_first(difficulty, rng)[::-1]


def shuffled(difficulty: Float[np.ndarray, " P"], rng: np.random.Generator) -> Int[np.ndarray, " P"]:
    """In a random order that knows no difficulty: the control, since the share that is open grows as in the others.

    Source: Wu et al., "When Do Curricula Work?", 2021 ("random curriculum").
    """
    return rng.permutation(len(difficulty))


CURRICULA: dict[str, Ranking | None] = {
    "none": None,  # everything is open from the start
    "easy_first": easy_first,
    "hard_first": hard_first,
    "shuffled": shuffled,
}
