"""Faults in the optimization: a schedule that runs ahead, a resume from old weights.

Two of the ten faults of the frozen test of 2026-12-01; see reported_data.py. The tenth, swapped decays, is made of knobs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.engine.schedules import learning_rate
from pipeline.lab.faults.base import Training, wrap_method

AHEAD = 8  # calls of the scheduler per step, as where every micro-batch or process makes one


def runs_ahead(training: Training) -> None:
    """The schedule goes on eight times in every step, so that the rate is at its end after an eighth of the training."""
    train = training.params.train

    def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
        return lambda lr: step(learning_rate(min(AHEAD * training.progress.step / train.steps, 1.0), train))

    wrap_method(training.progress.optimizer, "step", wrap)


def resumes_from_old_weights(training: Training) -> None:
    """After three quarters of the training, its weights are those of its first checkpoint again, at a twentieth of it."""
    steps = training.params.train.steps
    saved, resumed = max(steps // 20, 1), 3 * steps // 4
    first: dict[str, Tensor] = {}

    def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
        def step_and_resume(lr: float) -> None:
            step(lr)
            done = training.progress.step + 1
            if done == saved:
                first.update({name: weight.detach().clone() for name, weight in training.network.named_parameters()})
            if done == resumed:
                with torch.no_grad():
                    for name, weight in training.network.named_parameters():
                        weight.copy_(first[name])

        return step_and_resume

    wrap_method(training.progress.optimizer, "step", wrap)
