"""From knobs to a training before its first step: what the stage train begins with, and so do many runs in one process."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.artifacts import SPLITS
from pipeline.engine.checkpoint import Progress
from pipeline.engine.optimizers import OPTIMIZERS, optimizer_for
from pipeline.engine.runtime import Runtime
from pipeline.networks.attention import use_kernel
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
    objective = Objective(train.label_smoothing, train.z_loss, runtime.knobs.loss_chunk)
    task = TASKS["language"](tokens, model, vocabulary, objective)
    for split in SPLITS:
        task.size(split)  # what is too short for a stage to come is refused before the training, not after it
    network = task.build(torch.Generator().manual_seed(seed)).to(runtime.device)
    use_kernel(network, runtime.attention)
    parameters = dict(network.named_parameters())
    multiples = rates(parameters, model, OPTIMIZERS[train.optimizer].update)
    optimizer = optimizer_for(parameters, train, multiples, offload=runtime.knobs.offload_optimizer)
    return Progress(network, optimizer, runtime.scaler()), task
