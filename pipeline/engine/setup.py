"""From knobs to a training before its first step: what the stage train begins with, and so do many runs in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import NONE, SPLITS, labels_of, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.engine.block_execution import configure_blocks
from pipeline.engine.checkpoint import Progress
from pipeline.engine.optimizers.table import OPTIMIZERS, optimizer_for
from pipeline.engine.pretrained.source import open_pretrained
from pipeline.engine.pretrained.transfer import freeze, inherited_names, load_initial_weights, load_teacher
from pipeline.engine.runtime.runtime import Runtime
from pipeline.networks.attention import set_attention_kernel
from pipeline.networks.inits import lr_multipliers
from pipeline.params.model import Model
from pipeline.params.training import Train
from pipeline.tasks.base import Shape, Task
from pipeline.tasks.objective import Objective, Teacher, class_weights
from pipeline.tasks.table import TASKS


def build_training(seed: int, kind: str, model: Model, train: Train, tokens: Path, runtime: Runtime) -> tuple[Progress, Task]:
    """A network on its device, fresh or filled with weights that are given, with what moves it and what it is to learn.

    Args:
        kind: of task.
        tokens: the folder that the stage tokenize leaves.

    Raises:
        UserError: a split is missing, damaged, or shorter than the context; or the weights to start from do not fit.
    """
    shape = Shape.of(read_json(meta_of(tokens)))
    teacher = make_teacher(train, lambda folder: load_teacher(folder, kind, model, shape, tokens).to(runtime.device))
    weights = class_weights(memory_mapped(labels_of(tokens, "train"))) if train.class_weights == "balanced" else ()
    task = TASKS[kind](tokens, model, shape, replace(make_objective(train, runtime, teacher), class_weights=weights))
    for split in SPLITS:
        task.size(split)  # what is too short for a stage to come is refused before the training, not after it
    student = task.build(torch.Generator().manual_seed(seed))
    if (folder := Path(train.init_from)) != NONE:
        taken = load_initial_weights(folder, student, shape, tokens)
        if train.freeze:
            freeze(student, taken)
    return prepare_training(student, model, train, runtime), task


def make_teacher(train: Train, network_in: Callable[[Path], nn.Module]) -> Teacher | None:
    """Who is asked in every step; nobody where the knobs name no folder, or give what it says no weight.

    Args:
        network_in: the network in a folder, not to be trained.
    """
    if (folder := Path(train.teacher)) == NONE or not train.distill_weight:
        return None
    return Teacher(network_in(folder), train.distill_weight, train.distill_temperature)


def make_objective(train: Train, runtime: Runtime, teacher: Teacher | None = None) -> Objective:
    """What a training follows."""
    return Objective.of(train, loss_chunk=runtime.knobs.loss_chunk_size, teacher=teacher)


def untrained_state(seed: int, task: Task, model: Model, train: Train, runtime: Runtime) -> Progress:
    """A fresh network for a task, before its first step, to measure what a training takes: nothing that is given is read
    into it, but what would be frozen is.
    """
    network = task.build(torch.Generator().manual_seed(seed))
    if train.freeze:
        freeze(network, inherited_names(open_pretrained(Path(train.init_from)), network))
    return prepare_training(network, model, train, runtime)


def prepare_training(network: nn.Module, model: Model, train: Train, runtime: Runtime) -> Progress:
    """A network on its device, with its blocks arranged as memory and speed want, and with what moves it."""
    network = runtime.network_to_device(network)
    set_attention_kernel(network, runtime.attention)
    configure_blocks(network, runtime.knobs, runtime.device, train.steps, runtime.tuned.compile_from if runtime.tuned else None)
    parameters = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    multiples = lr_multipliers(parameters, model, OPTIMIZERS[train.optimizer].update)
    optimizer = optimizer_for(parameters, train, multiples, offload=runtime.knobs.offload_optimizer)
    return Progress(network, optimizer, runtime.scaler())
