"""Roles of parameters (embedding, head, matrix, gain, ...), by which initialization and optimizers treat them."""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor


class Role(StrEnum):
    """The role of a parameter in a network."""

    EMBEDDING = "embedding"  # rows that are looked up: tokens, n-grams, learned positions, the class token
    HEAD = "head"  # features to logits
    TIED = "tied"  # embedding and head at once
    MATRIX = "matrix"  # reads from the residual stream
    OUTPUT = "output"  # writes to the residual stream
    GAIN = "gain"  # vectors that multiply features elementwise
    SCALE = "scale"  # scalars that multiply all features
    BIAS = "bias"  # vectors that are added


def role_of(name: str, parameter: Tensor) -> Role:
    """The role of a parameter, by its name, such as `blocks.0.attention.output.weight`.

    A tied matrix has its first name, that of the embedding; `initialise`, which knows the knobs, tells them apart.
    """
    match name.split("."):
        case [*_, "bias"]:
            return Role.BIAS
        case [*_, "scale"]:
            return Role.SCALE
        case _ if parameter.ndim < 2:
            return Role.GAIN
        case ["embedding" | "position" | "mixer" | "pooling", *_]:
            return Role.EMBEDDING
        case ["head", *_]:
            return Role.HEAD
        case [*_, "output" | "down", "weight"]:
            return Role.OUTPUT
        case _:
            return Role.MATRIX
