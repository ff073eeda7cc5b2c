"""How long a training takes on this machine: some of its own steps, on examples drawn at random, by the clock."""

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
from pipeline.lab.stand_ins.dummy_task import BatchMaker, MadeUp
from pipeline.params.schema import Params
from pipeline.params.training import Train
from pipeline.tasks.base import Shape

WARM_UP = 3  # steps that are not counted: kernels are chosen, memory is fetched, caches fill
STEPS = 20
PATIENCE = 60.0  # seconds after which fewer steps have to do, but never fewer than three


@dataclass(frozen=True)
class Pace:
    """What was measured, and the whole training that follows from it.

    Attributes:
        step: seconds of a step: the median; where steps are unlike (batch or length grows) the mean.
        steps: how many were measured.
        validation: seconds that the loss on held-out examples takes once; 0 where it is never asked for.
        peak: bytes at once, as the card's allocator counted them; None on a CPU, which does not count.
    """

    step: float
    steps: int
    validation: float
    peak: int | None

    def whole(self, train: Train) -> float:
        """Seconds of all steps and validations."""
        return train.steps * self.step + train.validation_points * self.validation


def measure(params: Params, shape: Shape, sizes: Int[np.ndarray, " N"] | None = None) -> Pace:
    """Take some steps of this very training.

    Args:
        shape: of what there is to read.
        sizes: how long texts with a class are, where somebody has counted.

    Raises:
        UserError: the device is not there, or has not enough memory.
    """
    runtime = Runtime(params.runtime, params.train.precision)
    teacher = make_teacher(
        params.train, lambda folder: load_network(open_pretrained(folder), params.model, shape.vocabulary).to(runtime.device)
    )
    task = MadeUp(params, shape, make_objective(params.train, runtime, teacher), BatchMaker(params.seed, sizes))
    with runtime.enough_memory():
        progress = untrained_state(params.seed, task, params.model, params.train, runtime)
        times: list[float] = []
        while len(times) < WARM_UP + STEPS and not (len(times) >= WARM_UP + 3 and sum(times) > PATIENCE):
            # Spread over the training, so that what its dials change is in the measurement.
            progress.step = max(len(times) - WARM_UP, 0) * (params.train.steps - 1) // STEPS
            start = time.perf_counter()
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
            float(progress.recent[-1][1])  # which waits for the device
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        if params.train.validation_points:
            validate(progress, task, params.train, runtime, lambda: False)
        validation = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if runtime.device.type == "cuda" else None
    # A machine is now and then busy, which a median forgives; where dials make steps unlike, only the mean is that of all.
    typical = statistics.fmean if changing_settings(task, params.train, 0) else statistics.median
    return Pace(typical(times[WARM_UP:]), len(times) - WARM_UP, validation, peak)
