"""Schedules: the learning rate as a pure function of progress.

An entry maps the share of the training that is done (0 .. 1) to a share of the peak rate; warm-up is common to all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.params import Train

Schedule = Callable[[float, Train], float]
"""(progress after the warm-up, 0 .. 1; the knobs) -> share of the way from `floor` (0) to the peak (1)."""


def constant(progress: float, train: Train) -> float:
    """The peak to the end."""
    return 1.0


def cosine(progress: float, train: Train) -> float:
    """Half a cosine from the peak to the floor.

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.
    """
    return (1 + math.cos(math.pi * progress)) / 2


def trapezoid(progress: float, train: Train) -> float:
    """A plateau at the peak, then a straight fall over the last `decay` share of all steps.

    Source: Zhai et al., "Scaling Vision Transformers", 2021; Hägele et al., "Scaling Laws and Compute-Optimal Training
    Beyond Fixed Training Durations", 2024.
    """
    decay = train.decay / (1 - train.warmup) if train.warmup < 1 else 0.0
    return min(1.0, (1 - progress) / decay) if decay else 1.0


def learning_rate(progress: float, train: Train) -> float:
    """The learning rate of the update that starts at a share of progress (0 .. below 1)."""
    if progress < train.warmup:
        return train.lr * progress / train.warmup
    after = (progress - train.warmup) / (1 - train.warmup)
    return train.lr * (train.floor + (1 - train.floor) * SCHEDULES[train.schedule](after, train))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "trapezoid": trapezoid,
}
