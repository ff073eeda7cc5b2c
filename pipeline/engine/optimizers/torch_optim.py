"""Optimizers of torch.optim behind the interface of our own: Adafactor."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline.engine.optimizers.base import LrMultipliers, Named, Optimizer, names_by_group
from pipeline.params.training import Train


class TorchOptimizer(Optimizer):
    """An optimizer of torch.optim, its state as flat named tensors for a checkpoint.

    Its first step imports torch's compiler, which takes 1.5 s once.
    """

    def __init__(self, parameters: Named, train: Train, lr_multipliers: LrMultipliers) -> None:
        self.parameters = parameters
        self.optimizer = self.make_optimizer(
            [
                {"params": [parameters[name] for name in names], "lr_multiplier": lr_multiplier, "weight_decay": weight_decay}
                for (lr_multiplier, weight_decay), names in names_by_group(parameters, train, lr_multipliers, {}).items()
            ]
        )

    @abstractmethod
    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch optimizer, for groups of parameters that share a learning rate and a weight decay."""

    def step(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_multiplier"]
        device = next(iter(self.parameters.values())).device
        with torch.autocast(device.type, enabled=False):  # torch.optim expects float32 arithmetic
            self.optimizer.step()

    def state_dict(self) -> dict[str, Tensor]:
        """The state by name; empty before the first step."""
        return {
            f"{kind}.{name}": tensor
            for name, weight in self.parameters.items()
            for kind, tensor in self.optimizer.state[weight].items()
        }

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        for key, tensor in state_dict.items():
            kind, _, name = key.partition(".")
            weight = self.parameters[name]
            self.optimizer.state[weight][kind] = tensor.clone().to(weight.device if tensor.ndim else tensor.device)


class Adafactor(TorchOptimizer):
    """AdamW without momentum and with factored second moments (a row and a column per matrix): next to no state.

    An update is lr times the root mean square of its matrix, lr at most 1/√step; the other constants are the paper's.
    Weight decay is decoupled.

    Source: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018; see torch.optim.Adafactor
    for the differences.
    """

    update_kind: ClassVar = "relative"

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(groups)
