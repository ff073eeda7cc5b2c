"""The time of a training on this machine, measured by some of its own steps on random examples."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from pipeline.engine.curricula import changing_settings
from pipeline.engine.loop import train_step, validate
from pipeline.engine.pretrained.source import load_network, open_pretrained
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import make_objective, make_teacher, untrained_state
from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
from pipeline.params.schema import Params
from pipeline.params.training import Train
from pipeline.tasks.base import Shape

WARM_UP = 3  # steps that are not counted: kernels are chosen, memory is allocated, caches fill
STEPS = 20
PATIENCE = 60.0  # seconds after which no further step is taken, once there are three


@dataclass(frozen=True)
class StepTime:
    """The measured time of a step, and of the whole training.

    Attributes:
        step: seconds per step: the median, or the mean if steps differ (batch size or length grows).
        steps: how many were measured.
        validation: seconds of one validation; 0 if there is none.
        peak: bytes at the peak by the card's allocator; None on a CPU, which does not count.
    """

    step: float
    steps: int
    validation: float
    peak: int | None

    def total(self, train: Train) -> float:
        """Seconds of all steps and validations."""
        return train.steps * self.step + train.validation_points * self.validation


def measure(params: Params, shape: Shape, sizes: Int[np.ndarray, " N"] | None = None) -> StepTime:
    """Time some steps of this training.

    Args:
        shape: of the data.
        sizes: lengths of the texts of a classifier, tokens, if known.

    Raises:
        UserError: the device does not exist here, or has not enough memory.
    """
    runtime = Runtime(params.runtime, params.train.precision)
    teacher = make_teacher(
        params.train, lambda folder: load_network(open_pretrained(folder), params.model, shape.vocabulary).to(runtime.device)
    )
    task = DummyTask(params, shape, make_objective(params.train, runtime, teacher), BatchMaker(params.seed, sizes))
    with runtime.enough_memory():
        progress = untrained_state(params.seed, task, params.model, params.train, runtime)
        times: list[float] = []
        while len(times) < WARM_UP + STEPS and not (len(times) >= WARM_UP + 3 and sum(times) > PATIENCE):
            # Spread over the training, so that what its schedules change is in the measurement.
            progress.step = max(len(times) - WARM_UP, 0) * (params.train.steps - 1) // STEPS
            start = time.perf_counter()
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
            float(progress.recent[-1][1])  # waits for the device
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        if params.train.validation_points:
            validate(progress, task, params.train, runtime, lambda: False)
        validation = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if runtime.device.type == "cuda" else None
    # A median ignores moments in which the machine is busy; where schedules make steps differ, only the mean is right.
    typical = statistics.fmean if changing_settings(task, params.train, 0) else statistics.median
    return StepTime(typical(times[WARM_UP:]), len(times) - WARM_UP, validation, peak)
