"""Exponential moving average (EMA) of the weights, used in their place outside of training."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.engine.optimizers.base import Named, Optimizer


class EMA(Optimizer):
    """Wraps an optimizer and keeps an exponential moving average of the weights after each of its steps.

    a <- decay * a + (1 - decay) * w, corrected for its start as in Adam. Training never reads the average; validation,
    snapshots and the saved model use it.

    Source: Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; Tarvainen & Valpola, "Mean
    teachers are better role models", 2017.

    Args:
        inner: the optimizer that updates the weights.
        parameters: all weights by name.
        decay: the factor on the average per update; 0 <= decay < 1.
    """

    def __init__(self, inner: Optimizer, parameters: Named, decay: float) -> None:
        self.inner, self.parameters, self.decay = inner, parameters, decay
        self.average = {name: weight.detach().clone() for name, weight in parameters.items()}
        self.steps, self.updates = torch.zeros((), dtype=torch.float64), 0

    def step(self, lr: float) -> None:
        self.inner.step(lr)
        self.updates += 1
        self.steps.fill_(self.updates)
        newest_weight = (1 - self.decay) / (1 - self.decay**self.updates)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), newest_weight)

    def state_dict(self) -> dict[str, Tensor]:
        own = {f"average.{name}": average for name, average in self.average.items()}
        return self.inner.state_dict() | own | {"average_steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        own = ("average.", "average_steps")
        self.inner.load_state_dict({name: tensor for name, tensor in state_dict.items() if not name.startswith(own)})
        for name, average in self.average.items():
            average.copy_(state_dict[f"average.{name}"])
        self.steps.copy_(state_dict["average_steps"])
        self.updates = int(self.steps)

    def averaged_weights(self) -> dict[str, Tensor]:
        return self.average

    def offload(self) -> None:
        self.inner.offload()
