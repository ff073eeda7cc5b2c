"""A training step rehearsed without data: what it holds in memory and how many FLOPs it does, before anything is allocated.

The step is the real one (`engine.loop.update`, on the real network, loss and optimizer), its tensors have shapes and no
content. So every knob counts as it will, also one that is newer than this file; nothing is known here of what
an activation keeps for backward, or what an optimizer remembers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.engine.given import given, knobs_of
from pipeline.engine.keeping import levels
from pipeline.engine.loop import update
from pipeline.engine.runtime import Runtime, Scaler
from pipeline.engine.start import objective_of, teacher_of, untrained
from pipeline.lab.ledger import PHASES, Ledger
from pipeline.networks.dropout import Noise
from pipeline.networks.transformer import GPT
from pipeline.params import Params
from pipeline.tasks.base import Batch, Loss, Parts, Shape
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import Objective


@dataclass(frozen=True)
class Rehearsal:
    """What one step of a training takes.

    Attributes:
        parameters: numbers to learn, by the part of the network that they belong to.
        multiplied: parameters of the matrices that every token is multiplied by.
        peak: bytes by part at the moment of the step at which most is held.
        kept: bytes that the forward pass of a micro-batch leaves for the backward pass, logits among them.
        state: bytes of the optimizer's memory.
        flops: of the matrix products, by phase of the step.
    """

    parameters: Mapping[str, int]
    multiplied: int
    peak: Mapping[str, int]
    kept: int
    state: int
    flops: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Held at the peak."""
        return sum(self.peak.values())

    @property
    def saved(self) -> int:
        """Bytes that a checkpoint keeps: weights, which are float32, and the optimizer's memory."""
        return 4 * sum(self.parameters.values()) + self.state


def rehearse(params: Params, vocabulary: int, *, precision: str, on_card: bool) -> Rehearsal:
    """A step as it would be on the CPU, or on a CUDA card (which need not be there).

    The tensors of a card are on the CPU all the same, for torch without CUDA has no others. What is sent from the card to
    the host (`runtime.offload_…`) is so counted as staying; blocks are not compiled, which would save some temporaries.

    Args:
        precision: float32, bfloat16 or float16: what `auto` comes to there.
    """
    kernel = "library" if on_card and params.runtime.attention == "auto" else params.runtime.attention
    here = {"device": "cpu", "compile": False, "attention": kernel}
    runtime = Runtime(params.runtime.model_copy(update=here), precision)
    ledger = Ledger(vocabulary, granularity=512 if on_card else 1)
    levels(True), levels(False)  # made once for the process, so not here, where tensors have no content
    with FakeTensorMode(allow_non_fake_inputs=True), ledger:
        teacher = teacher_of(params.train, lambda folder: without_weights(folder, params, vocabulary, ledger))
        objective = objective_of(params.train, runtime, teacher)
        task = WithoutData(params, vocabulary, objective, ledger)
        progress = untrained(params.seed, task, params.model, params.train, runtime)
        progress.scaler = AfterBackward(ledger)
        ledger.follow(progress.model)
        takes = []
        for step in (
            0,
            params.train.steps - 1,
        ):  # dials may make either the larger; and optimizers may remember more after a step
            progress.step = step
            ledger.restart()
            update(progress, task, params.train, params.seed, runtime, lambda: False)
            progress.recent.clear()
            takes.append((ledger.highest, ledger.peak, ledger.kept, ledger.flops))
        _, peak, kept, flops = max(takes, key=lambda take: take[0])
        state = {id(memory): memory for memory in progress.optimizer.state().values()}
    by_part, multiplied = count_parameters(progress.model)
    return Rehearsal(
        parameters=by_part,
        multiplied=multiplied,
        peak=peak,
        kept=kept,
        state=sum(memory.nbytes for memory in state.values()),
        flops={phase: flops[phase] for phase in PHASES},
    )


def without_weights(folder: Path, params: Params, vocabulary: int, ledger: Ledger) -> GPT:
    """The network in a folder, of the same shapes: its weights are held in every step too.

    Raises:
        Refusal: it cannot be read.
    """
    with ledger.phase("build"):
        network = GPT(next(knobs_of(given(folder), params.model)), vocabulary, torch.Generator())
    return network.eval().requires_grad_(False)


def count_parameters(model: nn.Module) -> tuple[dict[str, int], int]:
    """Parameters by part of the network (a shared one once), and how many are in matrices that multiply every token."""
    parts: Counter[str] = Counter()
    for name, weight in model.named_parameters():
        parts[re.sub(r"^blocks\.\d+\.(\w+).*", r"\1", name).split(".")[0]] += weight.numel()
    multiplied = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return dict(parts), multiplied


class WithoutData(LanguageModelling):
    """Language modelling on ids that nobody has drawn: a batch has a shape and no content."""

    def __init__(self, params: Params, vocabulary: int, objective: Objective, ledger: Ledger) -> None:
        super().__init__(Path(), params.model, Shape(vocabulary), objective)
        self.ledger = ledger

    def build(self, generator: torch.Generator) -> GPT:
        with self.ledger.phase("build"):
            return super().build(generator)

    def size(self, split: str) -> int:
        return 1

    def parts(self) -> Parts:
        return Parts(np.array([self.length + 1]), np.zeros(1), np.zeros(1, np.uint8))

    def among(self, chosen: Bool[np.ndarray, " P"]) -> WithoutData:
        return self

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        with self.ledger.phase("batch"):
            windows = torch.zeros((len(rows), (length or self.length) + 1), dtype=torch.int64)
            return Uncounted(windows[:, :-1], windows[:, 1:].clone())

    def loss(self, model: nn.Module, batch: Batch, noise: Noise | None = None) -> Loss:
        with self.ledger.phase("forward"):
            loss = super().loss(model, batch, noise)
        self.ledger.current = "backward"
        self.ledger.kept = max(self.ledger.kept, self.ledger.now["activations"] + self.ledger.now["logits"])
        return loss


class Uncounted(Batch):
    """A batch all of whose targets count; without content they could not be counted."""

    @property
    def count(self) -> int:
        return self.targets.numel()


class AfterBackward(Scaler):
    """A scaler that does nothing but tell the ledger that the gradients are whole."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(enabled=False)
        self.ledger = ledger

    def unscale(self, model: nn.Module) -> bool:
        self.ledger.current = "update"
        return True
