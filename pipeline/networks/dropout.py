"""Dropout: features switched off at random while training, and the dial that says how many, when.

What is switched off is a pure function of (seed, step, site, place in the batch): nothing to remember, so neither a
resumed run nor a batch cut into micro-batches can draw other masks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class DropoutState:
    """Where in training a forward pass stands, for all that is random in it.

    Attributes:
        seed, step: of the run.
        progress: share of the training that is done, 0 .. 1.
        rows: which examples of the step's batch this micro-batch holds.
        batch: how many examples the step's batch holds.
    """

    seed: int
    step: int
    progress: float
    rows: slice
    batch: int

    def uniform(self, site: str, like: Float[Tensor, "B X Y"]) -> Float[Tensor, "B X Y"]:
        """Numbers in [0, 1) for a place in the network: drawn for the whole batch, of which the micro-batch takes its rows."""
        key = hashlib.blake2b(f"{self.seed} {self.step} {site}".encode(), digest_size=8).digest()
        generator = torch.Generator(like.device).manual_seed(int.from_bytes(key, "little") >> 1)
        return torch.rand((self.batch, *like.shape[1:]), generator=generator, device=like.device)[self.rows]


class Dropout(nn.Module):
    """Each feature is 0 with the probability that the dial says, and the others are enlarged to keep the mean.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
    """

    def __init__(self, rate: float, schedule: str, site: str) -> None:
        super().__init__()
        self.rate, self.schedule, self.site = rate, DROPOUT_SCHEDULES[schedule], site

    def forward(self, x: Float[Tensor, "B T D"], noise: DropoutState | None) -> Float[Tensor, "B T D"]:
        rate = self.rate * self.schedule(noise.progress) if noise and self.rate else 0.0
        if not noise or not rate:
            return x
        kept = noise.uniform(self.site, self.drawn_for(x)) >= rate
        return x * kept / (1 - rate)

    def drawn_for(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ _"]:
        """Of what shape the draw is."""
        return x


class StochasticDepth(Dropout):
    """Stochastic depth: a branch left out as a whole, for each example or not; others are enlarged to keep the mean.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.
    """

    def drawn_for(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B 1 1"]:
        return x[:, :1, :1]


# Which part of the full rate holds at a share of progress (0 .. 1).
# Source of early and late: Liu et al., "Dropout Reduces Underfitting", 2023.
DROPOUT_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "early": lambda progress: float(progress < 0.5),
    "late": lambda progress: float(progress >= 0.5),
    "ramp": lambda progress: progress,
    "fall": lambda progress: 1 - progress,
}
