"""Dropout and stochastic depth, with a schedule for their rate.

Masks are a pure function of (seed, step, site, row of the batch), so that resumed runs and micro-batches have the same
masks as an uninterrupted run with whole batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class DropoutState:
    """What random masks depend on in a forward pass of training; None in its place means evaluation mode.

    Attributes:
        seed, step: of the training.
        progress: share of the training that is done, 0 .. 1.
        rows: which examples of the step's batch this micro-batch holds.
        batch: how many examples the step's batch holds.
    """

    seed: int
    step: int
    progress: float
    rows: slice
    batch: int

    def part(self, rows: slice) -> DropoutState:
        """That of some examples of the micro-batch, counted from its first."""
        return replace(self, rows=slice(self.rows.start + rows.start, self.rows.start + rows.stop))

    def uniform(self, site: str, like: Float[Tensor, "B X Y"]) -> Float[Tensor, "B X Y"]:
        """Uniform numbers in [0, 1) for a site in the network: drawn for the whole batch, then the rows of the micro-batch."""
        key = hashlib.blake2b(f"{self.seed} {self.step} {site}".encode(), digest_size=8).digest()
        generator = torch.Generator(like.device).manual_seed(int.from_bytes(key, "little") >> 1)
        return torch.rand((self.batch, *like.shape[1:]), generator=generator, device=like.device)[self.rows]


class Dropout(nn.Module):
    """Sets each feature to 0 with the scheduled probability p, and divides the others by 1 - p.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
    """

    def __init__(self, rate: float, schedule: str, site: str) -> None:
        super().__init__()
        self.rate, self.schedule, self.site = rate, DROPOUT_SCHEDULES[schedule], site

    def forward(self, x: Float[Tensor, "B T D"], dropout_state: DropoutState | None) -> Float[Tensor, "B T D"]:
        rate = self.rate * self.schedule(dropout_state.progress) if dropout_state and self.rate else 0.0
        if not dropout_state or not rate:
            return x
        keep = dropout_state.uniform(self.site, self.mask_like(x)) >= rate
        return x * keep / (1 - rate)

    def mask_like(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B _ _"]:
        """A tensor of the shape of the mask."""
        return x


class StochasticDepth(Dropout):
    """Stochastic depth: drops a whole branch per example with probability p, and divides the others by 1 - p.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.
    """

    def mask_like(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B 1 1"]:
        return x[:, :1, :1]


# The share of the full rate at a share of progress (0 .. 1).
# Source of early and late: Liu et al., "Dropout Reduces Underfitting", 2023.
DROPOUT_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "early": lambda progress: float(progress < 0.5),
    "late": lambda progress: float(progress >= 0.5),
    "ramp": lambda progress: progress,
    "fall": lambda progress: 1 - progress,
}
