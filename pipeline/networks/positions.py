"""Positional encodings: rotary, learned, sinusoidal, ALiBi, none.

An entry may add to embeddings (`embed`), rotate queries and keys (`rotate`), or add to attention scores (`bias`); by default
each of them changes nothing. `start` is the position of the first token: above 0 if a cache holds those before it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.params.model import Model


class Position(nn.Module):
    """No positional encoding: order has an effect only through the causal mask.

    Source: Haviv et al., "Transformer Language Models without Positional Encodings Still Learn Positional
    Information", 2022.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()

    def embed(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """Token embeddings with positions added."""
        return x

    def rotate(self, x: Float[Tensor, "B T N d"], start: int) -> Float[Tensor, "B T N d"]:
        """Queries and keys (N vectors per position), rotated by their positions."""
        return x

    def bias(self, queries: int, keys: int) -> Float[Tensor, "H T S"] | None:
        """What each head adds to its scores; the queries are at the positions of the last keys. None: nothing."""
        return None


class LearnedPosition(Position):
    """A learned vector per position in the context, added to the embedding.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.weight = nn.Parameter(torch.zeros(model.context_length, model.width))

    def embed(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        return x + self.weight[start : start + x.shape[1]]


class SinusoidalPosition(Position):
    """Sines and cosines of the position, with wavelengths from 2π to 20,000π, added to the embedding.

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
    """Rotates each pair of features of queries and keys by an angle proportional to the position, so that their product
    depends on the distance only.

    A pair (2i, 2i + 1) is one complex number and its rotation one product, in a third of the time of sines and cosines. With
    rotary_share below 1 only the first features of a head are rotated; the others compare content alone.

    Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021; rotary_share: Wang & Komatsuzaki,
    "GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model", 2021.
    """

    rotations: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        angle = _angles(model.context_length, model.rotated_features, model.rotary_base)
        self.register_buffer("rotations", torch.polar(torch.ones_like(angle), angle)[:, None], persistent=False)

    def rotate(self, x: Float[Tensor, "B T N d"], start: int) -> Float[Tensor, "B T N d"]:
        features = 2 * self.rotations.shape[-1]
        if features < x.shape[-1]:
            return torch.cat((self._rotated(x[..., :features], start), x[..., features:]), dim=-1)
        return self._rotated(x, start)

    def _rotated(self, x: Float[Tensor, "B T N r"], start: int) -> Float[Tensor, "B T N r"]:
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        rotated = pairs * self.rotations[start : start + x.shape[1]]
        return torch.view_as_real(rotated).flatten(-2).to(x.dtype)


class AlibiPosition(Position):
    """Lowers each score in proportion to the distance |i - j|, with a slope that falls from the first head to the last.

    Source: Press et al., "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", 2021.
    """

    slopes: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.register_buffer("slopes", torch.tensor(slopes(model.heads))[:, None, None], persistent=False)

    def bias(self, queries: int, keys: int) -> Float[Tensor, "H T S"]:
        position = torch.arange(keys, device=self.slopes.device)
        return -self.slopes * (position - position[keys - queries :, None]).abs()


def slopes(heads: int) -> list[float]:
    """The paper's geometric sequence down to 2^-8; if `heads` is not a power of 2, with every other value of a finer one."""
    power = 2 ** int(math.log2(heads))
    coarse = [2 ** (-8 * number / power) for number in range(1, power + 1)]
    finer = [2 ** (-4 * number / power) for number in range(1, 2 * power + 1, 2)]
    return coarse + finer[: heads - power]


def _angles(length: int, features: int, base: float = 10_000.0) -> Float[Tensor, "T half"]:
    """Position times frequency; frequencies fall geometrically from 1 to 1 / base over the pairs of features."""
    frequency = base ** -(torch.arange(0, features, 2, dtype=torch.float64) / features)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequency).float()


POSITIONS: dict[str, type[Position]] = {
    "none": Position,
    "learned": LearnedPosition,
    "sinusoidal": SinusoidalPosition,
    "rotary": RotaryPosition,
    "alibi": AlibiPosition,
}
