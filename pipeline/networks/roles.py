"""What part does a parameter play? Initialisation and optimizers treat parameters by their part."""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor


class Role(StrEnum):
    """The parts that a parameter of a network can play."""

    EMBEDDING = "embedding"  # rows looked up: tokens, pairs of them, learned positions, a place before the text
    HEAD = "head"  # features to logits
    TIED = "tied"  # both at once
    MATRIX = "matrix"  # reads from the residual stream
    OUTPUT = "output"  # writes to the residual stream
    GAIN = "gain"  # vectors that multiply features, each its own
    SCALE = "scale"  # numbers that multiply all features alike
    BIAS = "bias"  # vectors that are added


def role_of(name: str, parameter: Tensor) -> Role:
    """The part of a parameter, by its place in the network, such as `blocks.0.attention.output.weight`.

    A tied matrix goes by its first place: it is told from an embedding only by who knows the knobs (see `initialise`).
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
