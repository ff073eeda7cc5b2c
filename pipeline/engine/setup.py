"""Build a training from its knobs: task, network, initial weights, optimizer, teacher."""

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
from pipeline.engine.loop import fit
from pipeline.engine.optimizers.table import OPTIMIZERS, optimizer_for
from pipeline.engine.pretrained.source import open_pretrained
from pipeline.engine.pretrained.transfer import freeze, inherited_names, load_initial_weights, load_teacher
from pipeline.engine.recorder import Follower
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.runtime.shards import Shards
from pipeline.engine.sharded import fit_sharded
from pipeline.networks.attention import set_attention_kernel
from pipeline.networks.inits import lr_multipliers
from pipeline.params.model import Model
from pipeline.params.training import Train
from pipeline.tasks.base import Shape, Task
from pipeline.tasks.objective import Objective, Teacher, class_weights
from pipeline.tasks.table import TASKS


def build_training(seed: int, kind: str, model: Model, train: Train, tokens: Path, runtime: Runtime) -> tuple[Progress, Task]:
    """The state of a training before its first step (network on its device, optimizer, scaler), and its task.

    Args:
        kind: the knob task.kind.
        tokens: the folder that the stage tokenize writes.

    Raises:
        UserError: a split is missing, damaged, or shorter than the context; or the pretrained weights do not fit.
    """
    shape = Shape.of(read_json(meta_of(tokens)))
    teacher = make_teacher(train, lambda folder: load_teacher(folder, kind, model, shape, tokens).to(runtime.device))
    weights = class_weights(memory_mapped(labels_of(tokens, "train"))) if train.class_weights == "balanced" else ()
    task = TASKS[kind](tokens, model, shape, replace(make_objective(train, runtime, teacher), class_weights=weights))
    for split in SPLITS:
        task.size(split)  # so that a split too short for a later stage is an error before the training, not after it
    student = task.build(torch.Generator().manual_seed(seed))
    if (folder := Path(train.init_from)) != NONE:
        loaded = load_initial_weights(folder, student, shape, tokens)
        if train.freeze:
            freeze(student, loaded)
    return prepare_training(student, model, train, runtime), task


def fit_together(
    progress: Progress, task: Task, model: Model, train: Train, seed: int, runtime: Runtime, callback: Follower
) -> None:
    """`fit`, by each process of the training; sharded if the knobs say so.

    Raises:
        UserError: something of this training cannot be sharded.
        Interrupted: a stop was requested.
        ProcessLost: another process has ended.
    """
    if isinstance(runtime.company, Shards):
        fit_sharded(progress, task, model, train, seed, runtime, callback)
    else:
        fit(progress, task, train, seed, runtime, callback)


def make_teacher(train: Train, network_in: Callable[[Path], nn.Module]) -> Teacher | None:
    """The teacher for distillation; None if the knobs name no folder, or give its loss no weight.

    Args:
        network_in: loads the network in a folder, frozen.
    """
    if (folder := Path(train.teacher)) == NONE or not train.distill_weight:
        return None
    return Teacher(network_in(folder), train.distill_weight, train.distill_temperature)


def make_objective(train: Train, runtime: Runtime, teacher: Teacher | None = None) -> Objective:
    """The training objective that the knobs describe."""
    return Objective.of(train, loss_chunk=runtime.knobs.loss_chunk_size, teacher=teacher)


def untrained_state(seed: int, task: Task, model: Model, train: Train, runtime: Runtime) -> Progress:
    """The state of a training with random weights, to measure the time and memory of its steps.

    Pretrained weights are not loaded, but the parameters that would be frozen are.
    """
    network = task.build(torch.Generator().manual_seed(seed))
    if train.freeze:
        freeze(network, inherited_names(open_pretrained(Path(train.init_from)), network))
    return prepare_training(network, model, train, runtime)


def prepare_training(network: nn.Module, model: Model, train: Train, runtime: Runtime) -> Progress:
    """A network on its device, its blocks configured by the section `runtime`, with its optimizer."""
    network = runtime.network_to_device(network)
    set_attention_kernel(network, runtime.attention)
    configure_blocks(network, runtime.knobs, runtime.device, train.steps, runtime.tuned.compile_from if runtime.tuned else None)
    parameters = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    multipliers = lr_multipliers(parameters, model, OPTIMIZERS[train.optimizer].update_kind)
    optimizer = optimizer_for(parameters, train, multipliers, offload=runtime.knobs.offload_optimizer, company=runtime.company)
    return Progress(network, optimizer, runtime.scaler())
