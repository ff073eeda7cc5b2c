"""Initialization of weights, and muP: its learning-rate multipliers and scales.

An entry draws a parameter by its role. With every entry biases start at 0; gains, scales and embedding mixers start at the
values of their modules (mostly 1; 0 in ReZero and mixers). With `mup` the width also determines learning rates
(`lr_multipliers`) and the scale of attention scores and logits (`width_ratio`).
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
"""Fills a parameter [outputs, inputs] in place, by its role."""

UpdateKind = Literal["entrywise", "relative", "gradient", "orthogonal"]
"""How an optimizer's update of a matrix depends on its gradient, and so how its effect scales with the width: each entry
changes by about lr (Adam, Lion), by a share of the matrix's size (Adafactor), by lr times the gradient (SGD), or all singular
values of the update are equal (Muon, Shampoo)."""


def gpt2(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """N(0, 0.02²); output matrices of branches divided by sqrt(number of branches), so that their sum keeps its size.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """
    nn.init.normal_(weight, std=0.02 / math.sqrt(2 * model.depth) if role is Role.OUTPUT else 0.02, generator=generator)


def mup(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """`gpt2` at base_width; at other widths the variance of matrices goes with 1 / width, that of embeddings and head stays.

    One half of muP (maximal update parametrization), in which the best learning rate is the same at every width;
    `lr_multipliers` and `width_ratio` are the other. Keep `heads` constant while the width grows.

    Source: Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer", 2022
    (table 8).
    """
    gpt2(weight, role, model, generator)
    if role in (Role.MATRIX, Role.OUTPUT):
        weight *= width_ratio(model) ** -0.5


def zero_output(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """Output matrices of branches and the head start at 0: the first prediction is uniform, every block the identity.

    What would never leave 0 is drawn like `fan_in`: a tied head, and branches without a residual connection.

    Source: Zhang et al., "Fixup Initialization: Residual Learning Without Normalization", 2019; Jordan et al.,
    "modded-nanogpt", 2024.
    """
    if role in (Role.OUTPUT, Role.HEAD):
        nn.init.zeros_(weight)
    else:
        fan_in(weight, role, model, generator)


def orthogonal(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """Orthogonal matrices, which preserve norms and angles.

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.
    """
    if role in (Role.EMBEDDING, Role.TIED):
        fan_in(weight, role, model, generator)
    else:
        nn.init.orthogonal_(weight, generator=generator)


def fan_in(weight: Tensor, role: Role, model: Model, generator: torch.Generator) -> None:
    """N(0, 1 / inputs), which preserves the size of features; embeddings N(0, 1), but N(0, 0.02²) as in GPT-2 if tied to the
    head, since otherwise every token would initially predict itself.

    Source: LeCun et al., "Efficient BackProp", 1998.
    """
    std = {Role.EMBEDDING: 1.0, Role.TIED: 0.02}.get(role, weight.shape[1] ** -0.5)
    nn.init.normal_(weight, std=std, generator=generator)


def initialise(
    parameters: Iterable[tuple[str, nn.Parameter]], model: Model, generator: torch.Generator, *, branches_add_up: bool
) -> None:
    """Initialize every parameter of a network by the knob `init`, in the order of the parameters.

    Args:
        branches_add_up: branch outputs are added to a residual stream at full size from the start. If not, their output
            matrices are initialized like any other matrix.
    """
    for name, parameter in parameters:
        role = role_of(name, parameter)
        if role is Role.EMBEDDING and model.tie_embeddings and name == "embedding.weight":
            role = Role.TIED
        if role is Role.OUTPUT and not branches_add_up:
            role = Role.MATRIX
        if role is Role.BIAS:
            nn.init.zeros_(parameter)  # torch's default would draw from the global generator
        elif role not in (Role.GAIN, Role.SCALE) and not name.startswith("mixer."):
            INITS[model.init](parameter.data, role, model, generator)


def width_ratio(model: Model) -> float:
    """width / base_width, by which muP divides logits; 1 without muP.

    Features and head weights, and queries and keys, become aligned during training: their products grow with the width, not
    with its root. So muP divides logits by this ratio, and attention scores by its root in addition to the usual root.
    """
    return model.width / model.base_width if model.init == "mup" else 1.0


def scaled_for_head(features: Tensor, model: Model) -> Tensor:
    """Features as input of the head: with muP divided by `width_ratio`."""
    return features / ratio if (ratio := width_ratio(model)) != 1 else features


def lr_multipliers(parameters: Mapping[str, Tensor], model: Model, kind: UpdateKind = "entrywise") -> dict[str, float]:
    """The factor on `lr` for each parameter; all 1 without muP, or at its base width.

    A step should change the features of every layer equally at any width. An entrywise update of a matrix is aligned with
    its inputs, so that its effect grows with their number: factor 1 / ratio. Gradients of vectors and embeddings shrink with
    the width, those of matrices do not: with SGD the former get factor ratio. An update with given singular values has the
    same effect at any width; only Muon's matrices are updated so, its other parameters entrywise.

    Weight decay is multiplied by the learning rate, so it falls with the width too, which is nearly optimal (Qiu et al.,
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
