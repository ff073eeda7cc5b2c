"""Positions: how the model knows where in the context a token stands.

An entry may add to the embeddings (`embed`), or turn queries and keys (`turn`); what it does not do stays as it is.
`start` is the position of the first token given: more than 0 when a cache holds those before it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.params import Model


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

    def turn(self, x: Float[Tensor, "B T N d"], start: int) -> Float[Tensor, "B T N d"]:
        """Queries and keys (N of them a position) as attention is to compare them."""
        return x


class LearnedPosition(Position):
    """A learned vector for each place in the context, added to the embedding.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.weight = nn.Parameter(torch.zeros(model.length, model.width))

    def embed(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        return x + self.weight[start : start + x.shape[1]]


class SinusoidalPosition(Position):
    """Sines and cosines of the place at wavelengths from 2π to 20,000π, added to the embedding.

    Source: Vaswani et al., "Attention Is All You Need", 2017.
    """

    waves: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        angle = _angles(model.length, model.width + model.width % 2)
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

    turns: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        angle = _angles(model.length, model.width // model.heads)
        self.register_buffer("turns", torch.polar(torch.ones_like(angle), angle)[:, None], persistent=False)

    def turn(self, x: Float[Tensor, "B T N d"], start: int) -> Float[Tensor, "B T N d"]:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        turned = pairs * self.turns[start : start + x.shape[1]]
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def _angles(length: int, features: int, base: float = 10_000.0) -> Float[Tensor, "T half"]:
    """Place times frequency, the frequencies falling geometrically from 1 to 1/base over the pairs of features."""
    frequency = base ** -(torch.arange(0, features, 2, dtype=torch.float64) / features)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequency).float()


POSITIONS: dict[str, type[Position]] = {
    "none": Position,
    "learned": LearnedPosition,
    "sinusoidal": SinusoidalPosition,
    "rotary": RotaryPosition,
}
