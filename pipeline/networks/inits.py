"""Inits: where the weights start.

An entry gives the standard deviation of a parameter's normal draw by its role (0 = zeros), or draws it itself.
Whatever the entry, biases start at 0 and gains where their module puts them (1; 0 in ReZero).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from pipeline.networks.roles import Role, role_of
from pipeline.params import Model

Init = Callable[[Tensor, Role, int, torch.Generator], object]
"""Fills a parameter [outputs, inputs] of a role, in a network of so many branches, in place."""


def gpt2(weight: Tensor, role: Role, branches: int, generator: torch.Generator) -> None:
    """N(0, .02), and what writes to the stream smaller by the root of the number of branches, so that their sum keeps its size.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """
    nn.init.normal_(weight, std=0.02 / math.sqrt(branches) if role is Role.OUTPUT else 0.02, generator=generator)


def zero_output(weight: Tensor, role: Role, branches: int, generator: torch.Generator) -> None:
    """Branches and head start at 0, so that the first prediction is uniform and every block the identity.

    What would stay at 0 for ever is drawn as `fan_in` does: a tied head, and branches that no stream passes by.

    Source: Zhang et al., "Fixup Initialization: Residual Learning Without Normalization", 2019; Jordan et al.,
    "modded-nanogpt", 2024.
    """
    if role in (Role.OUTPUT, Role.HEAD):
        nn.init.zeros_(weight)
    else:
        fan_in(weight, role, branches, generator)


def orthogonal(weight: Tensor, role: Role, branches: int, generator: torch.Generator) -> None:
    """Matrices that keep lengths and angles.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.
    """
    if role in (Role.EMBEDDING, Role.TIED):
        fan_in(weight, role, branches, generator)
    else:
        nn.init.orthogonal_(weight, generator=generator)


def fan_in(weight: Tensor, role: Role, branches: int, generator: torch.Generator) -> None:
    """N(0, 1/inputs), which keeps the size of the features; embeddings N(0, 1), unless they are the head too: then GPT-2's
    N(0, .02), lest every token begin by predicting itself.

    Source: LeCun et al., "Efficient BackProp", 1998.
    """
    std = {Role.EMBEDDING: 1.0, Role.TIED: 0.02}.get(role, weight.shape[1] ** -0.5)
    nn.init.normal_(weight, std=std, generator=generator)


def initialise(
    parameters: Iterable[tuple[str, nn.Parameter]], model: Model, generator: torch.Generator, *, branches_add_up: bool
) -> None:
    """Draw every matrix of a network by the entry's rule, in the order of the parameters.

    Args:
        branches_add_up: the branches' outputs add up in a stream that passes them by, at full size from the start. Where
            they do not, what writes to the stream is a matrix like any other.
    """
    for name, parameter in parameters:
        role = role_of(name, parameter)
        if role is Role.EMBEDDING and model.tied and name == "embedding.weight":
            role = Role.TIED
        if role is Role.OUTPUT and not branches_add_up:
            role = Role.MATRIX
        if role is Role.BIAS:
            nn.init.zeros_(parameter)  # torch's own draw would come from the global generator
        elif role is not Role.GAIN:
            INITS[model.init](parameter.data, role, 2 * model.depth, generator)


INITS: dict[str, Init] = {
    "gpt2": gpt2,
    "zero_output": zero_output,
    "orthogonal": orthogonal,
    "fan_in": fan_in,
}
