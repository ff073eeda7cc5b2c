"""Optimizers of torch.optim, as they are: for those whose inside is not what the lab is about."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline.engine.optimizers.base import LrMultipliers, Named, Optimizer, names_by_group
from pipeline.params.training import Train


class TorchOptimizer(Optimizer):
    """One of torch.optim's, whose memory becomes flat named tensors, as a checkpoint keeps them.

    Its first step imports torch's compiler: 1.5 s, once.
    """

    def __init__(self, parameters: Named, train: Train, rates: LrMultipliers) -> None:
        self.parameters = parameters
        self.optimizer = self.make(
            [
                {"params": [parameters[name] for name in names], "rate": rate, "weight_decay": decay}
                for (rate, decay), names in names_by_group(parameters, train, rates, {}).items()
            ]
        )

    @abstractmethod
    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """It, for groups of parameters that share a learning rate and a weight decay."""

    def step(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["rate"]
        device = next(iter(self.parameters.values())).device
        with torch.autocast(device.type, enabled=False):  # it was written for weights in full precision
            self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """The memory by name; before the first step there is none."""
        return {
            f"{kind}.{name}": tensor
            for name, weight in self.parameters.items()
            for kind, tensor in self.optimizer.state[weight].items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        for key, tensor in state.items():
            kind, _, name = key.partition(".")
            weight = self.parameters[name]
            self.optimizer.state[weight][kind] = tensor.clone().to(weight.device if tensor.ndim else tensor.device)


class Adafactor(TorchOptimizer):
    """AdamW without momentum, whose mean squares are the product of a row and a column: next to no memory.

    A weight moves by the learning rate times its matrix's own root mean square, and never faster than 1/√step; the other
    constants are the paper's. Weight decay is decoupled.

    Source: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018; torch.optim.Adafactor
    says where it differs.
    """

    update: ClassVar = "relative"

    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(groups)
