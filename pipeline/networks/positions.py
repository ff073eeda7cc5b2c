"""Positions: how the model knows where in the context a token stands.

An entry may add to the embeddings (`embed`), turn queries and keys (`turn`), or add to the scores of attention (`bias`); what
it does not do stays as it is.
`start` is the position of the first token given: more than 0 when a cache holds those before it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.params.model import Model


class Position(nn.Module):
    """No positions: order shows only through the causal mask.

    Source: Haviv et al., "Transformer Language Models without Positional Encodings Still Learn Positional
    Information", 2022.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()

    def embed(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """Token embeddings with what this scheme adds to them."""
        return x

    def rotate(self, x: Float[Tensor, "B T N d"], start: int) -> Float[Tensor, "B T N d"]:
        """Queries and keys (N of them a position) as attention is to compare them."""
        return x

    def bias(self, queries: int, keys: int) -> Float[Tensor, "H T S"] | None:
        """What each head adds to its scores of so many keys, of which the last are the queries' own; None: nothing."""
        return None


class LearnedPosition(Position):
    """A learned vector for each place in the context, added to the embedding.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.weight = nn.Parameter(torch.zeros(model.context_length, model.width))

    def embed(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        return x + self.weight[start : start + x.shape[1]]


class SinusoidalPosition(Position):
    """Sines and cosines of the place at wavelengths from 2π to 20,000π, added to the embedding.

    Source: Vaswani et al., "Attention Is All You Need", 2017.
    """

    waves: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        angle = _angles(model.context_length, model.width + model.width % 2)
        waves = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, : model.width]
        self.register_buffer("waves", waves, persistent=False)

    def embed(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        return x + self.waves[start : start + x.shape[1]].to(x.dtype)


class RotaryPosition(Position):
    """Each pair of features of queries and keys turned by an angle that grows with the place, so that their product
    knows only the distance.

    A pair (2i, 2i + 1) is one complex number and the turn one product: a third of the time of sines and cosines.

    Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
    """

    rotations: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        angle = _angles(model.context_length, model.width // model.heads, model.rotary_base)
        self.register_buffer("turns", torch.polar(torch.ones_like(angle), angle)[:, None], persistent=False)

    def rotate(self, x: Float[Tensor, "B T N d"], start: int) -> Float[Tensor, "B T N d"]:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        rotated = pairs * self.rotations[start : start + x.shape[1]]
        return torch.view_as_real(rotated).flatten(-2).to(x.dtype)


class AlibiPosition(Position):
    """Each score lowered in proportion to the distance (to either side), steeply in the first heads and gently in the last.

    Source: Press et al., "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", 2021.
    """

    slopes: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.register_buffer("slopes", torch.tensor(slopes(model.heads))[:, None, None], persistent=False)

    def bias(self, queries: int, keys: int) -> Float[Tensor, "H T S"]:
        place = torch.arange(keys, device=self.slopes.device)
        return -self.slopes * (place - place[keys - queries :, None]).abs()


def slopes(heads: int) -> list[float]:
    """The paper's geometric sequence down to 2^-8; between two powers of 2, every other one of the finer sequence fills up."""
    power = 2 ** int(math.log2(heads))
    coarse = [2 ** (-8 * number / power) for number in range(1, power + 1)]
    finer = [2 ** (-4 * number / power) for number in range(1, 2 * power + 1, 2)]
    return coarse + finer[: heads - power]


def _angles(length: int, features: int, base: float = 10_000.0) -> Float[Tensor, "T half"]:
    """Place times frequency, the frequencies falling geometrically from 1 to 1/base over the pairs of features."""
    frequency = base ** -(torch.arange(0, features, 2, dtype=torch.float64) / features)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequency).float()


POSITIONS: dict[str, type[Position]] = {
    "none": Position,
    "learned": LearnedPosition,
    "sinusoidal": SinusoidalPosition,
    "rotary": RotaryPosition,
    "alibi": AlibiPosition,
}
