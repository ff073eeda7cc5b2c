"""Inits: where the weights start, and how fast each may go.

An entry draws a parameter by its role. Whatever the entry, biases start at 0, and gains, scales and mixers where their module
puts them (1, mostly; 0 in ReZero and mixers). With `mup` the width also sets a learning rate for each parameter (`rates`), and
the size of attention scores and logits (`width_ratio`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.networks.roles import Role, role_of
from pipeline.params.model import Model

Init = Callable[[Tensor, Role, Model, torch.Generator], object]
"""Fills a parameter [outputs, inputs] of a role in place."""

UpdateKind = Literal["entrywise", "relative", "gradient", "orthogonal"]
"""What an optimizer makes of a matrix's gradient, which decides how far a step of one learning rate reaches as the width grows:
every entry moves about alike (Adam and its kin, Lion), or by a share of its matrix's size (Adafactor), the gradient itself is
followed (SGD), or all singular values are made alike (Muon, Shampoo)."""


def gpt2(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """N(0, .02), and what writes to the stream smaller by the root of the number of branches, so that their sum keeps its size.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """
    nn.init.normal_(weight, std=0.02 / math.sqrt(2 * model.depth) if role is Role.OUTPUT else 0.02, generator=generator)


def mup(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """`gpt2` at base_width; at other widths a matrix's variance goes with 1/width, and what is looked up or read out keeps its.

    Half of muP, the maximal update parametrization, in which the best learning rate is the same at every width; `rates`
    and `width_ratio` are the other half. Let `heads` be as it is while the width grows.

    Source: Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer", 2022
    (table 8).
    """
    gpt2(weight, role, model, generator)
    if role in (Role.MATRIX, Role.OUTPUT):
        weight *= width_ratio(model) ** -0.5


def zero_output(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """Branches and head start at 0, so that the first prediction is uniform and every block the identity.

    What would stay at 0 for ever is drawn as `fan_in` does: a tied head, and branches that no stream passes by.

    Source: Zhang et al., "Fixup Initialization: Residual Learning Without Normalization", 2019; Jordan et al.,
    "modded-nanogpt", 2024.
    """
    if role in (Role.OUTPUT, Role.HEAD):
        nn.init.zeros_(weight)
    else:
        fan_in(weight, role, model, generator)


def orthogonal(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """Matrices that keep lengths and angles.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.
    """
    if role in (Role.EMBEDDING, Role.TIED):
        fan_in(weight, role, model, generator)
    else:
        nn.init.orthogonal_(weight, generator=generator)


def fan_in(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
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
        if role is Role.EMBEDDING and model.tie_embeddings and name == "embedding.weight":
            role = Role.TIED
        if role is Role.OUTPUT and not branches_add_up:
            role = Role.MATRIX
        if role is Role.BIAS:
            nn.init.zeros_(parameter)  # torch's own draw would come from the global generator
        elif role not in (Role.GAIN, Role.SCALE) and not name.startswith("mixer."):
            INITS[model.init](parameter.data, role, model, generator)


def width_ratio(model: Model) -> float:
    """How many times wider the network is than the one whose learning rate it is to share; 1 without muP.

    Features that a head reads, and queries and keys that are compared, line up as they learn: their products grow with the
    width and no longer with its root. So muP divides logits by this ratio, and scores by its root once more.
    """
    return model.width / model.base_width if model.init == "mup" else 1.0


def scaled_for_head(features: Tensor, model: Model) -> Tensor:
    """Features as a head is to read them: with muP the smaller, the wider the network."""
    return features / ratio if (ratio := width_ratio(model)) != 1 else features


def lr_multipliers(parameters: Mapping[str, Tensor], model: Model, kind: UpdateKind = "entrywise") -> dict[str, float]:
    """The learning rate of each parameter as a multiple of `lr`; all 1 without muP, or at its base width.

    A step should change every layer's features by as much at any width. A matrix that moves entry by entry lines up with
    what it reads, so that its effect grows with its inputs: 1/width. A gradient is itself smaller by the width, except a
    matrix's, and so what it moves is sped up by it. A step of given singular values changes features by those, whatever the
    width; only Muon's matrices are moved so, and the rest entry by entry.

    A decay is a share of a parameter's own rate, and so it falls with the width too, as is nearly best (Qiu et al.,
    "Hyperparameter Transfer Enables Consistent Gains of Matrix-Preconditioned Optimizers Across Scales", 2025).

    Source: Yang et al., "Tensor Programs V", 2022 (table 8: `entrywise` is its column of Adam, `gradient` that of SGD); Yang
    et al., "A Spectral Condition for Feature Learning", 2023 (`orthogonal`); Everett et al., "Scaling Exponents Across
    Parameterizations and Optimizers", 2024 (`relative`: the size of a matrix has one root of the width in it already).
    """
    ratio = width_ratio(model)
    matrix = {"entrywise": 1 / ratio, "relative": ratio**-0.5, "gradient": 1.0, "orthogonal": 1.0}[kind]
    other = ratio if kind == "gradient" else 1.0
    by_role = {Role.MATRIX: matrix, Role.OUTPUT: matrix, Role.SCALE: 1.0}
    return {name: by_role.get(role_of(name, parameter), other) for name, parameter in parameters.items()}


INITS: dict[str, Init] = {
    "gpt2": gpt2,
    "mup": mup,
    "zero_output": zero_output,
    "orthogonal": orthogonal,
    "fan_in": fan_in,
}
