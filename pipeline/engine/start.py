"""From knobs to a training before its first step: what the stage train begins with, and so do many runs in one process."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.artifacts import SPLITS
from pipeline.engine.checkpoint import Progress
from pipeline.engine.optimizers import OPTIMIZERS, optimizer_for
from pipeline.engine.runtime import Runtime
from pipeline.networks.inits import rates
from pipeline.params import Model, Train
from pipeline.tasks.base import Task
from pipeline.tasks.objective import Objective
from pipeline.tasks.table import TASKS


def begin(seed: int, model: Model, train: Train, tokens: Path, vocabulary: int, runtime: Runtime) -> tuple[Progress, Task]:
    """A fresh network on its device, with what moves it and what it is to learn.

    Args:
        tokens: the folder that the stage tokenize leaves; `vocabulary` many different ids are in it.

    Raises:
        Refusal: a split is missing, damaged, or shorter than the context.
    """
    task = TASKS["language"](tokens, model, vocabulary, objective_of(train, runtime))
    for split in SPLITS:
        task.size(split)  # what is too short for a stage to come is refused before the training, not after it
    return untrained(seed, task, model, train, runtime), task


def objective_of(train: Train, runtime: Runtime) -> Objective:
    """What a training follows."""
    return Objective(train.label_smoothing, train.z_loss, runtime.knobs.loss_chunk)


def untrained(seed: int, task: Task, model: Model, train: Train, runtime: Runtime) -> Progress:
    """A fresh network for a task, on its device, with what moves it."""
    network = runtime.settle(task.build(torch.Generator().manual_seed(seed)))
    parameters = dict(network.named_parameters())
    multiples = rates(parameters, model, OPTIMIZERS[train.optimizer].update)
    optimizer = optimizer_for(parameters, train, multiples, offload=runtime.knobs.offload_optimizer)
    return Progress(network, optimizer, runtime.scaler())
