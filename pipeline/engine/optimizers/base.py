"""What every optimizer shares: parameters in groups that move alike, and a memory of each that a checkpoint keeps."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.engine.optimizers.state_storage import Float32State, Int8State
from pipeline.networks.inits import UpdateKind
from pipeline.params.training import Train

Named = dict[str, nn.Parameter]
LrMultipliers = Mapping[str, float]
"""The learning rate of a parameter as a multiple of the optimizer's; 1 where it has no entry."""


class Optimizer(ABC):
    """Moves parameters against their gradients; all that it remembers is in `state`.

    Attributes:
        parameters: the weights by name.
        update: what it makes of a matrix's gradient, by which muP knows how far a step reaches.
    """

    parameters: Named
    update: ClassVar[UpdateKind] = "entrywise"

    @abstractmethod
    def step(self, lr: float) -> None:
        """Move every weight by its gradient at a learning rate."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The memory by name; the tensors themselves, so that loading is copying into them."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Remember what another optimizer of the same kind remembered."""
        for name, memory in self.state().items():
            memory.copy_(state[name])

    def used(self) -> dict[str, Tensor]:
        """By name, the weights that are used otherwise than they are trained: averages. None, for most optimizers."""
        return {}

    @contextlib.contextmanager
    def eval_weights(self) -> Iterator[None]:
        """A block in which the network has the weights that are used: to be measured, kept or published."""
        used = self.used()
        trained = {name: self.parameters[name].detach().clone() for name in used}
        self._become(used)
        try:
            yield
        finally:
            self._become(trained)

    def _become(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                self.parameters[name].copy_(weight)

    def send_away(self) -> None:  # noqa: B027 (what remembers next to nothing leaves it where it is)
        """Keep the memory on the CPU between updates, where the weights are elsewhere; changes no update."""


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
    memory: dict[str, list[Float32State]]

    def pieces(self) -> list[Group]:
        """Itself; or, where memory must be unpacked, each weight by itself, so that no more than one's is unpacked at once."""
        if all(kept.at_hand for memory in self.memory.values() for kept in memory):
            return [self]
        places = (slice(place, place + 1) for place in range(len(self.weights)))
        return [
            replace(
                self,
                names=self.names[place],
                weights=self.weights[place],
                memory={kind: memory[place] for kind, memory in self.memory.items()},
            )
            for place in places
        ]


class GroupedOptimizer(Optimizer):
    """An optimizer that moves groups of parameters, and remembers something of each weight.

    Args:
        parameters: the weights by name.
        train: the knobs.
        rates: by parameter, what its learning rate is multiplied by.

    Attributes:
        coarse: the kinds of memory that bear 8 bits a number, and whether they have a sign.
    """

    coarse: ClassVar[dict[str, bool]] = {}

    def __init__(self, parameters: Named, train: Train, rates: LrMultipliers) -> None:
        self.parameters, self.train = parameters, train
        memories = {name: self._kept(name, weight) for name, weight in parameters.items()}
        self.groups = [
            Group(
                names,
                [parameters[name] for name in names],
                rate,
                decay,
                {kind: [memories[name][kind] for name in names] for kind in kinds},
            )
            for (rate, decay, *kinds), names in names_by_group(parameters, train, rates, memories).items()
        ]

    def _kept(self, name: str, weight: nn.Parameter) -> dict[str, Float32State]:
        return {
            kind: Int8State(memory, self.coarse[kind])
            if self.train.state_8bit and kind in self.coarse and memory.numel() >= Int8State.SMALLEST
            else Float32State(memory)
            for kind, memory in self.remember(name, weight).items()
        }

    @abstractmethod
    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        """A fresh memory of one weight, by kind."""

    @abstractmethod
    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        """Move the weights of a group once, at their own learning rate, and change their memory in place."""

    def step(self, lr: float) -> None:
        with torch.no_grad():
            for group in (piece for whole in self.groups for piece in whole.pieces()):
                gradients = [w.grad if w.grad is not None else torch.zeros_like(w) for w in group.weights]
                memory = {kind: [kept.read() for kept in keeping] for kind, keeping in group.memory.items()}
                self.move(group, gradients, memory, lr * group.rate)
                for kind, keeping in group.memory.items():
                    for kept, tensor in zip(keeping, memory[kind], strict=True):
                        kept.write(tensor)

    def state(self) -> dict[str, Tensor]:
        return {
            f"{kind}{part}.{name}": tensor
            for group in self.groups
            for kind, memory in group.memory.items()
            for name, kept in zip(group.names, memory, strict=True)
            for part, tensor in kept.tensors().items()
        }

    def send_away(self) -> None:
        for group in self.groups:
            for memory in group.memory.values():
                memory[:] = [kept.away() for kept in memory]


def names_by_group(
    parameters: Named, train: Train, rates: LrMultipliers, memories: Mapping[str, Mapping[str, object]]
) -> dict[tuple[Any, ...], list[str]]:
    """The names of the parameters that share (learning rate, weight decay, *kinds of memory)."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for name, weight in parameters.items():
        # Matrices are decayed, vectors are not: a gain that is pulled to 0 says nothing about complexity.
        decay = train.weight_decay if weight.ndim >= 2 else 0.0
        found.setdefault((rates.get(name, 1.0), decay, *memories.get(name, {})), []).append(name)
    return found


def zeros_for(weight: Tensor) -> Tensor:
    """Zeros as large as a weight."""
    return torch.zeros_like(weight, memory_format=torch.preserve_format)


def decay_weights(group: Group, lr: float) -> None:
    """Decoupled weight decay: the weights lose a share of themselves, whatever their gradient.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """
    if group.decay:
        torch._foreach_mul_(group.weights, 1 - lr * group.decay)
