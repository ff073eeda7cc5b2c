"""A training step rehearsed without data: what it holds in memory and how many FLOPs it does, before anything is allocated.

The step is the real one (`engine.loop.train_step`, on the real network, loss and optimizer), its tensors have shapes and no
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
from jaxtyping import Int
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.engine.loop import train_step
from pipeline.engine.optimizers.state_storage import quantization_levels
from pipeline.engine.pretrained.source import candidate_models, open_pretrained
from pipeline.engine.runtime.runtime import Runtime, Scaler
from pipeline.engine.setup import make_objective, make_teacher, untrained_state
from pipeline.lab.budget.memory_tracker import PHASES, Ledger
from pipeline.lab.stand_ins.dummy_task import BatchMaker, MadeUp
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT
from pipeline.params.schema import Params
from pipeline.tasks.base import Batch, Loss, Shape
from pipeline.tasks.objective import Objective


@dataclass(frozen=True)
class Rehearsal:
    """What one step of a training takes.

    Attributes:
        parameters: numbers to learn, by the part of the network that they belong to.
        fixed: numbers beside them that no gradient moves, such as the running means of batch norm.
        multiplied: parameters of the matrices that every token of a language model is multiplied by.
        peak: bytes by part at the moment of the step at which most is held.
        kept: bytes that the forward pass of a micro-batch leaves for the backward pass, logits among them.
        state: bytes of the optimizer's memory.
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
        """Held at the peak."""
        return sum(self.peak.values())

    @property
    def saved(self) -> int:
        """Bytes that a checkpoint keeps: weights, which are float32, and the optimizer's memory."""
        return 4 * (sum(self.parameters.values()) + self.fixed) + self.state


def rehearse(params: Params, shape: Shape, *, precision: str, on_card: bool, longest: int | None = None) -> Rehearsal:
    """A step as it would be on the CPU, or on a CUDA card (which need not be there).

    The tensors of a card are on the CPU all the same, for torch without CUDA has no others. What is sent from the card to
    the host (`runtime.offload_…`) is so counted as staying; blocks are not compiled, which would save some temporaries.

    Args:
        shape: of what there is to read.
        precision: float32, bfloat16 or float16: what `auto` comes to there.
        longest: tokens of the longest text with a class; None = it fills the context.
    """
    kernel = "sdpa" if on_card and params.runtime.attention == "auto" else params.runtime.attention
    here = {"device": "cpu", "compile": False, "attention": kernel}
    runtime = Runtime(params.runtime.model_copy(update=here), precision)
    # Of classes there are few: their logits are no part worth a row of its own, nor to be told from others by their size.
    ledger = Ledger(0 if shape.classes else shape.vocabulary, granularity=512 if on_card else 1)
    (
        quantization_levels(True),
        quantization_levels(False),
    )  # made once for the process, so not here, where tensors have no content
    with FakeTensorMode(allow_non_fake_inputs=True), ledger:
        teacher = make_teacher(params.train, lambda folder: without_weights(folder, params, shape, ledger))
        objective = make_objective(params.train, runtime, teacher)
        task = WithoutContent(params, shape, objective, ledger, longest)
        progress = untrained_state(params.seed, task, params.model, params.train, runtime)
        progress.scaler = AfterBackward(ledger)
        ledger.follow(progress.model)
        takes = []
        for step in (
            0,
            params.train.steps - 1,
        ):  # dials may make either the larger; and optimizers may remember more after a step
            progress.step = step
            ledger.restart()
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
            progress.recent.clear()
            takes.append((ledger.highest, ledger.peak, ledger.kept, ledger.flops))
        _, peak, kept, flops = max(takes, key=lambda take: take[0])
        state = {id(memory): memory for memory in progress.optimizer.state_dict().values()}
    return Rehearsal(
        parameters=parameters_of(progress.model),
        fixed=sum(weight.numel() for weight in progress.model.parameters() if not weight.requires_grad),
        multiplied=multiplied_in(progress.model),
        peak=peak,
        kept=kept,
        state=sum(memory.nbytes for memory in state.values()),
        flops={phase: flops[phase] for phase in PHASES},
    )


def without_weights(folder: Path, params: Params, shape: Shape, ledger: Ledger) -> GPT:
    """The network in a folder, of the same shapes: its weights are held in every step too.

    Raises:
        UserError: it cannot be read.
    """
    with ledger.phase("build"):
        network = GPT(next(candidate_models(open_pretrained(folder), params.model)), shape.vocabulary, torch.Generator())
    return network.eval().requires_grad_(False)


def parameters_of(model: nn.Module) -> dict[str, int]:
    """Parameters by part of the network, a shared one once."""
    parts: Counter[str] = Counter()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            parts[re.sub(r"^blocks\.\d+\.(\w+).*", r"\1", name).split(".")[0]] += weight.numel()
    return dict(parts)


def multiplied_in(model: nn.Module) -> int:
    """How many parameters are in matrices that multiply every token, if each does so once: in a language model."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


class WithoutContent(MadeUp):
    """A task whose examples have a shape and no content, and which tells a ledger what is being done."""

    def __init__(self, params: Params, shape: Shape, objective: Objective, ledger: Ledger, longest: int | None = None) -> None:
        super().__init__(params, shape, objective, Zeros(longest))
        self.ledger, self.uses_mixup = ledger, params.train.mixup > 0

    def build(self, generator: torch.Generator) -> nn.Module:
        with self.ledger.phase("build"):
            return super().build(generator)

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        with self.ledger.phase("batch"):
            whole = super().batch(split, rows, length)
            if self.uses_mixup:
                others, shares = torch.zeros_like(whole.targets), torch.zeros(len(rows))
                return Uncounted(whole.inputs, whole.targets, others, shares)
            return Uncounted(whole.inputs, whole.targets)

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return batch  # what moves or blanks pixels is no memory of the device

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        with self.ledger.phase("forward"):
            loss = super().loss(model, batch, dropout_state)
        self.ledger.current = "backward"
        self.ledger.kept = max(self.ledger.kept, self.ledger.now["activations"] + self.ledger.now["logits"])
        return loss


class Zeros(BatchMaker):
    """Numbers without content: nothing is drawn.

    Args:
        longest: tokens of the longest text with a class; None = it fills the context.
    """

    def __init__(self, longest: int | None) -> None:
        self.longest = longest

    def sizes(self, rows: int, length: int) -> Int[np.ndarray, " B"]:
        return np.full(rows, min(length, self.longest or length))

    def whole(self, below: int, *size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.int64)

    def real(self, *size: int) -> Tensor:
        return torch.zeros(size)


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
