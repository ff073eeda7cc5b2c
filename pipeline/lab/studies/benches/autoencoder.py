"""An autoencoder with one matrix: sparse features into fewer dimensions, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

NEW_EXAMPLES = 65_536  # for the loss after training


class Autoencoder(nn.Module):
    """x' = relu(Wᵀ W x + b): a feature is a direction, a column of W, and is read along the same direction."""

    def __init__(self, features: int, dimensions: int, linear: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(dimensions, features, generator=generator) / features**0.5)
        self.bias = nn.Parameter(torch.zeros(features))
        self.linear = linear

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        back = x @ self.directions.T @ self.directions + self.bias
        return back if self.linear else back.relu()


def kept_and_loss(
    seed: int, importances: Sequence[float], dimensions: int, density: float, linear: bool, steps: int, examples: int, lr: float
) -> tuple[list[float], float]:
    """Train an autoencoder by Adam, with a rate that falls to 0, on new examples in every step.

    Returns:
        For each feature, how much its output rises when the feature alone goes from 0 to 1; and the loss on new examples.
    """
    generator = torch.Generator().manual_seed(seed)
    weights, features = torch.tensor(importances), len(importances)
    network = Autoencoder(features, dimensions, linear, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)

    def loss_on(count: int) -> Tensor:
        x = sparse(count, features, density, generator)
        return ((network(x) - x).square() @ weights).mean()

    for _ in range(steps):
        optimizer.zero_grad()
        loss_on(examples).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        alone = (network(torch.eye(features)) - network(torch.zeros(1, features))).diagonal()
        return alone.tolist(), float(loss_on(NEW_EXAMPLES))


def sparse(count: int, features: int, density: float, generator: torch.Generator) -> Float[Tensor, "B F"]:
    """Features that are uniform in 0 .. 1 with probability `density`, else 0, independent of one another."""
    sizes, lots = (torch.rand(count, features, generator=generator) for _ in range(2))
    return sizes * (lots < density)


def least_linear_loss(importances: Sequence[float], dimensions: int, density: float) -> float:
    """The loss of the best linear network, by principal components: the variance of the features beyond the first `dimensions`.

    The features are independent, so the components of the weighted inputs are the features themselves, the most important
    first. A feature has the mean square density / 3 and the mean density / 2.
    """
    return sum(sorted(importances, reverse=True)[dimensions:]) * (density / 3 - density**2 / 4)
