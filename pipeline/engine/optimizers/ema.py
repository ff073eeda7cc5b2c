"""An average of the weights along the training, which is used in their place."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.engine.optimizers.base import Named, Optimizer


class EMA(Optimizer):
    """Another optimizer, and an exponential moving average of the weights that it leaves.

    The training never sees the average; validation, snapshots and the published model are it. Early on it is the mean of
    the few weights that there were: as in Adam, what the start of the average lacks is divided out.

    Source: Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; Tarvainen & Valpola, "Mean
    teachers are better role models", 2017.

    Args:
        inner: what moves the weights.
        parameters: all of them.
        decay: of the average's past, an update; 0 <= decay < 1.
    """

    def __init__(self, inner: Optimizer, parameters: Named, decay: float) -> None:
        self.inner, self.parameters, self.decay = inner, parameters, decay
        self.average = {name: weight.detach().clone() for name, weight in parameters.items()}
        self.steps, self.updates = torch.zeros((), dtype=torch.float64), 0

    def step(self, lr: float) -> None:
        self.inner.step(lr)
        self.updates += 1
        self.steps.fill_(self.updates)
        newest = (1 - self.decay) / (1 - self.decay**self.updates)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), newest)

    def state(self) -> dict[str, Tensor]:
        own = {f"average.{name}": average for name, average in self.average.items()}
        return self.inner.state() | own | {"average_steps": self.steps}

    def load(self, state: dict[str, Tensor]) -> None:
        names = ("average.", "average_steps")
        self.inner.load({name: memory for name, memory in state.items() if not name.startswith(names)})
        for name, average in self.average.items():
            average.copy_(state[f"average.{name}"])
        self.steps.copy_(state["average_steps"])
        self.updates = int(self.steps)

    def used(self) -> dict[str, Tensor]:
        return self.average

    def send_away(self) -> None:
        self.inner.send_away()
