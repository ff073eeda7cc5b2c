"""Schedules of the data: batch size, sequence length, curriculum and mixture, each a pure function of the step.

The schedule of the learning rate is in schedules.py, that of dropout in networks/dropout.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipeline.params.training import Train
from pipeline.tasks.base import Task

LENGTH_STEP = 8  # tokens by which sequences grow, so that shapes seldom change; also the shortest length
OPEN_STEPS = 100  # increments in which the data opens


@dataclass(frozen=True)
class BatchSettings:
    """What the schedules say for one step.

    Attributes:
        batch: batch size, in examples.
        length: tokens of each example.
        open: share of the training data that the curriculum has opened, 0 .. 1.
        second: share of the examples that is drawn from the second data set of a mixture.
    """

    batch: int
    length: int
    open: float
    second: float

    def slots(self, count: int) -> list[slice]:
        """The rows of each of `count` slots, of nearly equal size; a slot of a batch with fewer examples may be empty."""
        return list(divided(slice(0, self.batch), count))


def micro_batches(rows: slice, size: int) -> Iterator[slice]:
    """Rows as micro-batches of at most `size` examples: as few micro-batches as possible, of nearly equal size."""
    return divided(rows, -(-(rows.stop - rows.start) // size))


def divided(rows: slice, parts: int) -> Iterator[slice]:
    """Rows in parts of nearly equal size.

    >>> list(divided(slice(2, 7), 2))
    [slice(2, 4, None), slice(4, 7, None)]
    """
    count = rows.stop - rows.start
    return (slice(rows.start + count * part // parts, rows.start + count * (part + 1) // parts) for part in range(parts))


def settings_at(task: Task, train: Train, step: int) -> BatchSettings:
    """Batch size, length, open data and mixture of a step of the training."""
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
    """The settings that change in this training, by name: the curve shows them beside the loss."""
    settings = settings_at(task, train, step)
    shown = {
        "batch": train.batch_start < 1 or (train.length_start < 1 and train.length_keeps == "tokens"),
        "length": train.length_start < 1,
        "open": CURRICULA[train.curriculum] is not None,
        "second": task.parts().mixed and train.mixture_start != train.mixture_end,
    }
    return {name: getattr(settings, name) for name, changes in shown.items() if changes}


def _ramped(train: Train, done: float, start: float, growth: float) -> float:
    """The value of a ramp from `start` to 1 over the share `growth` of the training, at the share `done` of it."""
    return RAMPS[train.ramp](start, min(done / growth, 1.0))


def _length(whole: int, share: float) -> int:
    """Tokens of an example: a multiple of LENGTH_STEP until it has its whole length.

    A batch keeps its number of examples and has fewer tokens while they are short, as in the first source, which truncates
    sequences and trains for more steps; or (`length_keeps: tokens`) it keeps its number of tokens and has more examples, as
    in the second. The learning rate depends on the step either way.

    Source: Li et al., "The Stability-Efficiency Dilemma: Investigating Sequence Length Warmup for Training GPT Models",
    2022; Press et al., "Shortformer: Better Language Modeling using Shorter Inputs", 2021.
    """
    return whole if share >= 1 else max(int(share * whole) // LENGTH_STEP * LENGTH_STEP, min(LENGTH_STEP, whole))


def _open(train: Train, share: float) -> float:
    """The share of the data that is open, rounded up to 1 / OPEN_STEPS; all of it without a curriculum."""
    return 1.0 if CURRICULA[train.curriculum] is None else math.ceil(round(share * OPEN_STEPS, 6)) / OPEN_STEPS


# Ramps from a start (0 < start <= 1) to 1, at the share p of the growth that is done (0 .. 1).
# Sources: root is from Platanios et al., "Competence-based Curriculum Learning for Neural Machine Translation", 2019; all of
# them are among those compared in Wu et al., "When Do Curricula Work?", 2021. Growing the batch by factors (step,
# geometric) instead of decaying the learning rate: Smith et al., "Don't Decay the Learning Rate, Increase the Batch
# Size", 2018; a linear one: Brown et al., "Language Models are Few-Shot Learners", 2020.
RAMPS: dict[str, Callable[[float, float], float]] = {
    "linear": lambda start, p: start + (1 - start) * p,
    "root": lambda start, p: math.sqrt(start**2 + (1 - start**2) * p),
    "geometric": lambda start, p: start ** (1 - p),
    "step": lambda start, p: start if p < 1 else 1.0,
}

Ranking = Callable[[Float[np.ndarray, " P"], np.random.Generator], Int[np.ndarray, " P"]]
"""(difficulty of each part, generator) -> indices of the parts in the order in which they open."""


def easy_first(difficulty: Float[np.ndarray, " P"], rng: np.random.Generator) -> Int[np.ndarray, " P"]:
    """From the easiest to the hardest; ties keep their order.

    Source: Bengio et al., "Curriculum Learning", 2009.
    """
    return np.argsort(difficulty, kind="stable")


def hard_first(difficulty: Float[np.ndarray, " P"], rng: np.random.Generator) -> Int[np.ndarray, " P"]:
    """The reverse of easy_first: shows whether only the direction of the order matters.

    Source: Hacohen and Weinshall, "On The Power of Curriculum Learning in Training Deep Networks", 2019 ("anti").
    """
    return easy_first(difficulty, rng)[::-1]


def shuffled(difficulty: Float[np.ndarray, " P"], rng: np.random.Generator) -> Int[np.ndarray, " P"]:
    """In random order: the control, in which the open share grows as in the others but difficulty plays no part.

    Source: Wu et al., "When Do Curricula Work?", 2021 ("random curriculum").
    """
    return rng.permutation(len(difficulty))


CURRICULA: dict[str, Ranking | None] = {
    "none": None,  # everything is open from the start
    "easy_first": easy_first,
    "hard_first": hard_first,
    "shuffled": shuffled,
}
