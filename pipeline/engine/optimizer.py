"""What every optimizer shares: parameters in groups that move alike, and a memory of each that a checkpoint keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.params import Train

Named = dict[str, nn.Parameter]
Rates = Mapping[str, float]
"""The learning rate of a parameter as a multiple of the optimizer's; 1 where it has no entry."""


@dataclass(frozen=True)
class Group:
    """Parameters that one call moves, because they share a learning rate and a weight decay.

    Attributes:
        rate: the learning rate, as a multiple of the optimizer's.
        decay: the share of themselves, times the learning rate, that they lose an update.
        memory: what is remembered of each weight, a list beside `weights` for each kind.
    """

    names: list[str]
    weights: list[Tensor]
    rate: float
    decay: float
    memory: dict[str, list[Tensor]]


class Optimizer(ABC):
    """Moves parameters against their gradients; all that it remembers is in `state`.

    Args:
        parameters: the weights by name.
        train: the knobs.
        rates: by parameter, what its learning rate is multiplied by.
    """

    def __init__(self, parameters: Named, train: Train, rates: Rates) -> None:
        self.parameters, self.train = parameters, train
        alike: dict[tuple[float, float], list[str]] = {}
        for name, weight in parameters.items():
            # Matrices are decayed, vectors are not: a gain that is pulled to 0 says nothing about complexity.
            decay = train.weight_decay if weight.ndim >= 2 else 0.0
            alike.setdefault((rates.get(name, 1.0), decay), []).append(name)
        self.groups = [self._group(names, rate, decay) for (rate, decay), names in alike.items()]

    def _group(self, names: list[str], rate: float, decay: float) -> Group:
        memories = [self.remember(self.parameters[name]) for name in names]
        memory = {kind: [memory[kind] for memory in memories] for kind in memories[0]}
        return Group(names, [self.parameters[name] for name in names], rate, decay, memory)

    @abstractmethod
    def remember(self, weight: nn.Parameter) -> dict[str, Tensor]:
        """A fresh memory of one weight, by kind."""

    @abstractmethod
    def move(self, group: Group, gradients: list[Tensor], lr: float) -> None:
        """Move the weights of a group once, at their own learning rate."""

    def step(self, lr: float) -> None:
        """Move every weight by its gradient at a learning rate."""
        with torch.no_grad():
            for group in self.groups:
                gradients = [w.grad if w.grad is not None else torch.zeros_like(w) for w in group.weights]
                self.move(group, gradients, lr * group.rate)

    def state(self) -> dict[str, Tensor]:
        """The memory by name; the tensors themselves, so that loading is copying into them."""
        return {
            f"{kind}.{name}": tensor
            for group in self.groups
            for kind, memory in group.memory.items()
            for name, tensor in zip(group.names, memory, strict=True)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Remember what another optimizer of the same kind remembered."""
        for name, memory in self.state().items():
            memory.copy_(state[name])


def nothing_yet(weight: Tensor) -> Tensor:
    """Zeros as large as a weight."""
    return torch.zeros_like(weight, memory_format=torch.preserve_format)


def shrink(group: Group, lr: float) -> None:
    """Decoupled weight decay: the weights lose a share of themselves, whatever their gradient.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """
    if group.decay:
        torch._foreach_mul_(group.weights, 1 - lr * group.decay)
