"""A training step on fake tensors: its memory and FLOPs, without allocating anything.

The step is the real one (`engine.loop.update`, with the real network, loss and optimizer) on tensors that have shapes but no
data. So every knob has its real effect, also one that is newer than this file: nothing here knows what an activation function
keeps for backward, or what an optimizer stores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.engine.loop import train_step
from pipeline.engine.optimizers.state_storage import quantization_levels
from pipeline.engine.pretrained.source import fitting_model_knobs, open_pretrained
from pipeline.engine.runtime.runtime import Runtime, Scaler
from pipeline.engine.setup import make_objective, make_teacher, untrained_state
from pipeline.lab.budget.memory_tracker import PHASES, MemoryTracker
from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT
from pipeline.params.schema import Params
from pipeline.tasks.base import Batch, Loss, Shape
from pipeline.tasks.objective import Objective


@dataclass(frozen=True)
class FakeStep:
    """The memory and FLOPs of one training step.

    Attributes:
        parameters: trainable ones, by the part of the network that they belong to.
        fixed: number of values without gradient, such as the running means of batch norm.
        multiplied: parameters of the matrices that every token of a language model is multiplied by.
        peak: bytes by part at the peak of the step.
        kept: bytes that the forward pass of a micro-batch keeps for the backward pass, logits included.
        state: bytes of the optimizer state.
        flops: of the matrix products, by phase of the step.
    """

    parameters: Mapping[str, int]
    fixed: int
    multiplied: int
    peak: Mapping[str, int]
    kept: int
    state: int
    flops: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """In use at the peak."""
        return sum(self.peak.values())

    @property
    def saved(self) -> int:
        """Bytes of a checkpoint: weights, which are float32, and the optimizer state."""
        return 4 * (sum(self.parameters.values()) + self.fixed) + self.state


def fake_step(params: Params, shape: Shape, *, precision: str, on_card: bool, longest: int | None = None) -> FakeStep:
    """A training step on the CPU, or on a CUDA card (which need not exist here).

    The tensors of a card are CPU tensors too, because torch without CUDA has no others. So memory that is offloaded from the
    card to the host (`runtime.offload_…`) is counted as if it stayed; blocks are not compiled, which would save temporaries.

    Args:
        shape: of the data.
        precision: float32, bfloat16 or float16: what `auto` means there.
        longest: tokens of the longest text of a classifier; None = it fills the context.
    """
    kernel = "sdpa" if on_card and params.runtime.attention == "auto" else params.runtime.attention
    here = {"device": "cpu", "compile": False, "attention": kernel}
    runtime = Runtime(params.runtime.model_copy(update=here), precision)
    # Classes are few: their logits need no row of their own, and their size does not identify them.
    tracker = MemoryTracker(0 if shape.classes else shape.vocabulary, granularity=512 if on_card else 1)
    (
        quantization_levels(True),
        quantization_levels(False),
    )  # made once per process, so not inside the mode, where tensors have no data
    with FakeTensorMode(allow_non_fake_inputs=True), tracker:
        teacher = make_teacher(params.train, lambda folder: without_weights(folder, params, shape, tracker))
        objective = replace(make_objective(params.train, runtime, teacher), with_gradient=not on_card)
        task = FakeTask(params, shape, objective, tracker, longest)
        progress = untrained_state(params.seed, task, params.model, params.train, runtime)
        progress.scaler = UpdateMarker(tracker)
        tracker.track_gradients(progress.model)
        takes = []
        for step in (
            0,
            params.train.steps - 1,
        ):  # schedules may make either the larger; optimizers may store more after a step
            progress.step = step
            tracker.restart()
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
            progress.recent.clear()
            takes.append((tracker.highest, tracker.peak, tracker.kept, tracker.flops))
        _, peak, kept, flops = max(takes, key=lambda take: take[0])
        state = {id(memory): memory for memory in progress.optimizer.state_dict().values()}
    return FakeStep(
        parameters=parameters_of(progress.model),
        fixed=sum(weight.numel() for weight in progress.model.parameters() if not weight.requires_grad),
        multiplied=multiplied_in(progress.model),
        peak=peak,
        kept=kept,
        state=sum(memory.nbytes for memory in state.values()),
        flops={phase: flops[phase] for phase in PHASES},
    )


def without_weights(folder: Path, params: Params, shape: Shape, tracker: MemoryTracker) -> GPT:
    """The network in a folder with the same shapes: its weights are in memory in every step too.

    Raises:
        UserError: it cannot be read.
    """
    with tracker.phase("build"):
        network = GPT(next(fitting_model_knobs(open_pretrained(folder), params.model)), shape.vocabulary, torch.Generator())
    return network.eval().requires_grad_(False)


def parameters_of(model: nn.Module) -> dict[str, int]:
    """Parameters by part of the network, shared ones counted once."""
    parts: Counter[str] = Counter()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            parts[re.sub(r"^blocks\.\d+\.(\w+).*", r"\1", name).split(".")[0]] += weight.numel()
    return dict(parts)


def multiplied_in(model: nn.Module) -> int:
    """The number of parameters in matrices that multiply every token once, as in a language model."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


class FakeTask(DummyTask):
    """A task whose examples have shapes but no data, and which tells the tracker the phase of the step."""

    def __init__(
        self, params: Params, shape: Shape, objective: Objective, tracker: MemoryTracker, longest: int | None = None
    ) -> None:
        super().__init__(params, shape, objective, ZeroBatchMaker(longest))
        self.tracker, self.uses_mixup = tracker, params.train.mixup > 0

    def build(self, generator: torch.Generator) -> nn.Module:
        with self.tracker.phase("build"):
            return super().build(generator)

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        with self.tracker.phase("batch"):
            batch = super().batch(split, rows, length)
            if self.uses_mixup:
                others, shares = torch.zeros_like(batch.targets), torch.zeros(len(rows))
                return FakeBatch(batch.inputs, batch.targets, others, shares)
            return FakeBatch(batch.inputs, batch.targets)

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return batch  # augmentation needs no memory of the device

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        with self.tracker.phase("forward"):
            loss = super().loss(model, batch, dropout_state)
        self.tracker.current = "backward"
        self.tracker.kept = max(self.tracker.kept, self.tracker.now["activations"] + self.tracker.now["logits"])
        return loss


class ZeroBatchMaker(BatchMaker):
    """Zeros instead of random numbers.

    Args:
        longest: tokens of the longest text of a classifier; None = it fills the context.
    """

    def __init__(self, longest: int | None) -> None:
        self.longest = longest

    def sizes(self, rows: int, length: int) -> Int[np.ndarray, " B"]:
        return np.full(rows, min(length, self.longest or length))

    def whole(self, below: int, *size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.int64)

    def real(self, *size: int) -> Tensor:
        return torch.zeros(size)


class FakeBatch(Batch):
    """A batch all of whose targets count, because fake targets cannot be counted."""

    @property
    def count(self) -> int:
        return self.targets.numel()


class UpdateMarker(Scaler):
    """A scaler that only tells the tracker that the gradients are complete and the update begins."""

    def __init__(self, tracker: MemoryTracker) -> None:
        super().__init__(enabled=False)
        self.tracker = tracker

    def unscale(self, model: nn.Module) -> bool:
        self.tracker.current = "update"
        return True
