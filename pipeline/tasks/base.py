"""A task: what the network is to learn, and how one knows how far it is. The loop knows no more than this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.networks.dropout import Noise

IGNORED = -1  # a target that is no target: padding


@dataclass(frozen=True)
class Batch:
    """Some examples: what the network sees and what it should have said. A target of IGNORED counts nowhere."""

    inputs: Tensor
    targets: Tensor

    @property
    def count(self) -> int:
        """How many targets count."""
        return int((self.targets != IGNORED).sum())

    def part(self, rows: slice) -> Batch:
        """Some of the examples."""
        return Batch(self.inputs[rows], self.targets[rows])

    def to(self, device: torch.device) -> Batch:
        """The same examples on a device."""
        return Batch(self.inputs.to(device, non_blocking=True), self.targets.to(device, non_blocking=True))


@dataclass(frozen=True)
class Loss:
    """A sum and a count, so that whoever adds up parts of any size divides once, by the whole.

    Attributes:
        total: nats, summed over the targets that count.
        count: how many they are.
        correct: how many of them were the network's first choice; not counted in training, where nobody asks for it
            and it would cost another pass over the logits.
        objective: what training follows instead of `total`, where that is another sum (label smoothing, a teacher); None
            where it is `total` itself. Logs and scores always show `total`, so that they stay comparable.
    """

    total: Float[Tensor, ""]
    count: Int[Tensor, ""]
    correct: Int[Tensor, ""] | None
    objective: Float[Tensor, ""] | None = None

    @property
    def followed(self) -> Float[Tensor, ""]:
        """The sum whose gradient moves the weights."""
        return self.total if self.objective is None else self.objective


@runtime_checkable
class Task(Protocol):
    """Data, network and loss of one kind of learning."""

    def build(self, generator: torch.Generator) -> nn.Module:
        """A fresh network, its weights drawn by the generator."""

    def size(self, split: str) -> int:
        """How many examples a split has: for training all that may be drawn, for the others a cover of the whole split."""

    def batch(self, split: str, rows: np.ndarray) -> Batch:
        """The examples of a split with these numbers (0 .. size - 1)."""

    def loss(self, model: nn.Module, batch: Batch, noise: Noise | None = None) -> Loss:
        """The network's loss on a batch: with noise as in training, without as in use."""
