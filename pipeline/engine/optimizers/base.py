"""Base classes of the optimizers: parameter groups, per-parameter state, and the state dict that a checkpoint keeps."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.engine.optimizers.state_storage import Float32State, Int8State
from pipeline.engine.runtime.company import ALONE, Company
from pipeline.networks.inits import UpdateKind
from pipeline.params.training import Train

Named = dict[str, nn.Parameter]
LrMultipliers = Mapping[str, float]
"""By parameter name, the factor on the optimizer's learning rate; a parameter without an entry has 1."""


class Optimizer(ABC):
    """Updates parameters from their gradients; everything that it remembers is in `state_dict`.

    Attributes:
        parameters: the weights by name.
        company: the processes that make the same update.
        update_kind: how an update of a matrix depends on its gradient, which decides how muP scales its learning rate.
    """

    parameters: Named
    company: Company = ALONE
    update_kind: ClassVar[UpdateKind] = "entrywise"

    @abstractmethod
    def step(self, lr: float) -> None:
        """Update every parameter from its gradient, at this learning rate."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """The state by name; the tensors themselves, not copies."""

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Copy in the state of another optimizer of the same class and parameters."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state_dict[name])

    def averaged_weights(self) -> dict[str, Tensor]:
        """Averaged weights by name, which replace the trained ones outside of training; empty for most optimizers."""
        return {}

    @contextlib.contextmanager
    def eval_weights(self) -> Iterator[None]:
        """A block in which the network has its averaged weights: to be evaluated or saved."""
        averaged = self.averaged_weights()
        trained = {name: self.parameters[name].detach().clone() for name in averaged}
        self._assign(averaged)
        try:
            yield
        finally:
            self._assign(trained)

    def _assign(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                self.parameters[name].copy_(weight)

    def offload(self) -> None:  # noqa: B027 (an optimizer with next to no state leaves it where it is)
        """Keep the state on the CPU between updates, where the weights are on another device; changes no update."""


@dataclass(frozen=True)
class Group:
    """Parameters that one call updates, because they share a learning rate and a weight decay.

    Attributes:
        lr_multiplier: the factor on the optimizer's learning rate.
        weight_decay: decoupled; per update a weight loses learning rate * weight_decay of itself.
        state: for each kind of state (mean, square, ...) a list parallel to `weights`.
    """

    names: list[str]
    weights: list[Tensor]
    lr_multiplier: float
    weight_decay: float
    state: dict[str, list[Float32State]]

    def per_weight(self) -> list[Group]:
        """The group itself; or one group per weight if state is offloaded or quantized, so that one at a time is unpacked."""
        if all(stored.in_place for states in self.state.values() for stored in states):
            return [self]
        places = (slice(place, place + 1) for place in range(len(self.weights)))
        return [
            replace(
                self,
                names=self.names[place],
                weights=self.weights[place],
                state={kind: states[place] for kind, states in self.state.items()},
            )
            for place in places
        ]


class GroupedOptimizer(Optimizer):
    """An optimizer that updates groups of parameters and keeps state for each of them.

    Args:
        parameters: the weights by name.
        train: the knobs.
        lr_multipliers: by parameter, the factor on its learning rate.

    Attributes:
        quantizable: the kinds of state that may be stored in 8 bits per number, and whether they are signed.
    """

    quantizable: ClassVar[dict[str, bool]] = {}

    def __init__(self, parameters: Named, train: Train, lr_multipliers: LrMultipliers) -> None:
        self.parameters, self.train = parameters, train
        states = {name: self._storage(name, weight) for name, weight in parameters.items()}
        self.groups = [
            Group(
                names,
                [parameters[name] for name in names],
                lr_multiplier,
                weight_decay,
                {kind: [states[name][kind] for name in names] for kind in kinds},
            )
            for (lr_multiplier, weight_decay, *kinds), names in names_by_group(
                parameters, train, lr_multipliers, states
            ).items()
        ]

    def _storage(self, name: str, weight: nn.Parameter) -> dict[str, Float32State]:
        return {
            kind: Int8State(tensor, self.quantizable[kind])
            if self.train.state_8bit and kind in self.quantizable and tensor.numel() >= Int8State.SMALLEST
            else Float32State(tensor)
            for kind, tensor in self.init_state(name, weight).items()
        }

    @abstractmethod
    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        """The initial state of one parameter, by kind."""

    @abstractmethod
    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        """Update the weights of a group once, and their state, both in place; `lr` has the group's multiplier in it."""

    def step(self, lr: float) -> None:
        with torch.no_grad():
            for group in (part for whole in self.groups for part in whole.per_weight()):
                gradients = [w.grad if w.grad is not None else torch.zeros_like(w) for w in group.weights]
                state = {kind: [one.read() for one in stored] for kind, stored in group.state.items()}
                self.update_group(group, gradients, state, lr * group.lr_multiplier)
                for kind, stored in group.state.items():
                    for one, tensor in zip(stored, state[kind], strict=True):
                        one.write(tensor)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"{kind}{part}.{name}": tensor
            for group in self.groups
            for kind, stored in group.state.items()
            for name, one in zip(group.names, stored, strict=True)
            for part, tensor in one.tensors().items()
        }

    def offload(self) -> None:
        for group in self.groups:
            for stored in group.state.values():
                stored[:] = [one.offloaded() for one in stored]


def names_by_group(
    parameters: Named, train: Train, lr_multipliers: LrMultipliers, states: Mapping[str, Mapping[str, object]]
) -> dict[tuple[Any, ...], list[str]]:
    """The names of the parameters that share (learning-rate multiplier, weight decay, *kinds of state)."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for name, weight in parameters.items():
        # Matrices are decayed, vectors are not: pulling a gain towards 0 does not regularize.
        decay = train.weight_decay if weight.ndim >= 2 else 0.0
        found.setdefault((lr_multipliers.get(name, 1.0), decay, *states.get(name, {})), []).append(name)
    return found


def zeros_for(weight: Tensor) -> Tensor:
    """Zeros of a weight's shape and memory format."""
    return torch.zeros_like(weight, memory_format=torch.preserve_format)


def decay_weights(group: Group, lr: float) -> None:
    """Decoupled weight decay, in place: w <- (1 - lr * weight_decay) w, whatever the gradient.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """
    if group.weight_decay:
        torch._foreach_mul_(group.weights, 1 - lr * group.weight_decay)
