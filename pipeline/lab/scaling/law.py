"""The scaling law L = E + A / N^alpha + B / D^beta, and what it advises for a given compute. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipeline.lab.scaling.points import Point, columns

GRID = 401  # sizes among which the best one is looked for, evenly in the logarithm
PASSES = 2  # the second among those around the best of the first


@dataclass(frozen=True)
class Law:
    """Loss in nats per token as a function of size N and tokens D.

    Attributes:
        entropy: E, what no model and no amount of data goes below.
        size_factor, size_exponent: A and alpha.
        token_factor, token_exponent: B and beta.

    Source: Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, section 3.3.
    """

    entropy: float
    size_factor: float
    size_exponent: float
    token_factor: float
    token_exponent: float

    def excess(self, size: Float[np.ndarray, " n"], tokens: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The loss above the entropy."""
        return self.size_factor / size**self.size_exponent + self.token_factor / tokens**self.token_exponent

    def loss(self, size: Float[np.ndarray, " n"], tokens: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Nats per token."""
        return self.entropy + self.excess(size, tokens)

    def numbers(self) -> dict[str, float]:
        """By their letters."""
        return {
            "E": self.entropy,
            "A": self.size_factor,
            "B": self.token_factor,
            "alpha": self.size_exponent,
            "beta": self.token_exponent,
        }


@dataclass(frozen=True)
class Cost:
    """FLOPs per token as a function of the size: factor x N^exponent.

    A closed form is 6 N; small models pay more, for attention and for the head.
    """

    factor: float = 6.0
    exponent: float = 1.0

    def tokens(self, size: Float[np.ndarray, " n"], flops: float) -> Float[np.ndarray, " n"]:
        """How many tokens a model of this size learns from for so many FLOPs."""
        return flops / (self.factor * size**self.exponent)


def cost_of(points: Sequence[Point]) -> Cost:
    """The cost that trainings had: a straight line through the logarithms."""
    size, tokens, flops, _ = columns(points)
    exponent, factor = np.polyfit(np.log(size), np.log(flops / tokens), 1)
    return Cost(float(np.exp(factor)), float(exponent))


@dataclass(frozen=True)
class Best:
    """The best use of some compute: a model of this size, trained on so many tokens."""

    size: float
    tokens: float
    loss: float

    @property
    def tokens_per_parameter(self) -> float:
        return self.tokens / self.size


def best_use(law: Law, flops: float, cost: Cost = Cost()) -> Best:
    """The size with the lowest loss among all that cost so many FLOPs."""
    center, width = math.log(flops / (20 * cost.factor)) / (1 + cost.exponent), 12.0  # at 20 tokens per parameter
    for _ in range(PASSES):
        logs = np.linspace(center - width, center + width, GRID)
        with np.errstate(over="ignore"):
            losses = law.loss(np.exp(logs), cost.tokens(np.exp(logs), flops))
        at = int(np.argmin(losses))
        center, width = float(logs[at]), 2 * width / GRID
    size = np.exp(logs)
    return Best(float(size[at]), float(cost.tokens(size, flops)[at]), float(losses[at]))
