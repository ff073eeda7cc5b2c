"""Learning-rate schedules, pure functions of the share of the training that is done.

An entry maps that share (0 .. 1, after the warmup) to a share of the peak rate; all have the same linear warmup.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.params.training import Train

Schedule = Callable[[float, Train], float]
"""(progress after the warmup, 0 .. 1; the knobs) -> 0 (`min_lr_ratio`) .. 1 (the peak)."""


def constant(progress: float, train: Train) -> float:
    """The peak until the end."""
    return 1.0


def linear(progress: float, train: Train) -> float:
    """Linear decay from the peak to the minimum.

    >>> [linear(done, Train.model_construct()) for done in (0.0, 0.25, 1.0)]
    [1.0, 0.75, 0.0]

    Source: Defazio et al., "Optimal Linear Decay Learning Rate Schedules and Further Refinements", 2023.
    """
    return 1 - progress


def cosine(progress: float, train: Train) -> float:
    """Cosine decay (half a period) from the peak to the minimum.

    >>> [round(cosine(done, Train.model_construct()), 2) for done in (0.0, 0.25, 0.5, 1.0)]
    [1.0, 0.85, 0.5, 0.0]

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.
    """
    return (1 + math.cos(math.pi * progress)) / 2


def trapezoid(progress: float, train: Train) -> float:
    """Warmup-stable-decay (WSD): constant at the peak, then linear decay over the last `cooldown_ratio` of all steps.

    >>> train = Train.model_construct(warmup_ratio=0.0, cooldown_ratio=0.2)
    >>> [round(trapezoid(done, train), 2) for done in (0.0, 0.8, 0.9, 1.0)]
    [1.0, 1.0, 0.5, 0.0]

    Source: Zhai et al., "Scaling Vision Transformers", 2021; Hägele et al., "Scaling Laws and Compute-Optimal Training
    Beyond Fixed Training Durations", 2024.
    """
    decay = train.cooldown_ratio / (1 - train.warmup_ratio) if train.warmup_ratio < 1 else 0.0
    return min(1.0, (1 - progress) / decay) if decay else 1.0


def one_cycle(progress: float, train: Train) -> float:
    """Linear decay to a tenth of the peak in as many steps as the warmup, then to the minimum in the remaining steps.

    With a warmup of 0.45 it is the paper's cycle, except that momentum is constant. What libraries call one-cycle (half
    cosines) is a warmup of 0.3 and the schedule `cosine`.

    >>> train = Train.model_construct(warmup_ratio=0.45)  # down in as long; then a last tenth of all steps
    >>> [round(one_cycle(done, train), 2) for done in (0.0, 4.5 / 11, 9 / 11, 10 / 11, 1.0)]
    [1.0, 0.55, 0.1, 0.05, 0.0]

    Source: Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2017.
    """
    down = train.warmup_ratio / (1 - train.warmup_ratio)
    return 1 - 0.9 * progress / down if progress < down else 0.1 * (1 - progress) / (1 - down)


def inverse_sqrt(progress: float, train: Train) -> float:
    """Proportional to 1 / sqrt(step) from the end of the warmup: independent of the length of the training.

    >>> train = Train.model_construct(warmup_ratio=0.1)  # half the peak after four times the warmup
    >>> [round(inverse_sqrt(done, train), 2) for done in (0.0, 0.3 / 0.9, 1.0)]
    [1.0, 0.5, 0.32]

    Source: Vaswani et al., "Attention Is All You Need", 2017.
    """
    return math.sqrt(train.warmup_ratio / (train.warmup_ratio + progress * (1 - train.warmup_ratio)))


def exponential(progress: float, train: Train) -> float:
    """From the minimum up to the peak by the same factor every step: finds the rate at which the loss starts to rise.

    >>> train = Train.model_construct(lr=1.0, min_lr_ratio=1e-4, warmup_ratio=0.0, schedule="exponential")
    >>> [round(learning_rate(done, train), 6) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0001, 0.001, 0.01, 0.1, 1.0]

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2015 (the range test).
    """
    floor = train.min_lr_ratio
    return (floor ** (1 - progress) - floor) / (1 - floor) if floor < 1 else 1.0


def learning_rate(progress: float, train: Train) -> float:
    """The learning rate of a step, given the share of the training before it (0 .. below 1).

    >>> train = Train.model_construct(lr=0.02, warmup_ratio=0.1, min_lr_ratio=0.1, schedule="linear")
    >>> [round(learning_rate(done, train), 4) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.01, 0.02, 0.011, 0.002]
    """
    if progress < train.warmup_ratio:
        return train.lr * progress / train.warmup_ratio
    after = (progress - train.warmup_ratio) / (1 - train.warmup_ratio)
    return train.lr * (train.min_lr_ratio + (1 - train.min_lr_ratio) * SCHEDULES[train.schedule](after, train))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "trapezoid": trapezoid,
    "one_cycle": one_cycle,
    "inverse_sqrt": inverse_sqrt,
    "exponential": exponential,
}
