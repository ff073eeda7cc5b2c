"""Saturation: the share of hidden features at an end of a bounded activation function."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.networks.activations import Activation
from pipeline.probes.passes.frames import per_layer
from pipeline.probes.passes.layers import layers
from pipeline.readings import Reading

NEAR = 0.03  # of an end: |tanh| above .97, a sigmoid below .03 or above .97


def saturation(trained: TrainedModel) -> Reading | None:
    """The share of the feed-forward features, over all tokens and units of a block, within .03 of an end of the activation.

    An end is a value that the activation keeps however far its input goes. Only an activation bounded on both sides (tanh,
    sigmoid) saturates. One with a floor (relu, relu2, gelu, silu, mish) is at it by design and open above: `dead_units` finds
    the units that are always there. One without an end (identity, snake, and gated ones, whose product is unbounded) cannot
    saturate. There is no such reading of those.

    Healthy: under 5 %. Broken: over 20 %, because at an end the slope is nearly 0 and the layers before learn nothing.

    Distrust: the share does not say where; a few units that are always at an end and many that are sometimes there give the
    same share (see `dead_units`).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    if not (every := layers(trained)) or len(ends(every[0].activation)) < 2:
        return None
    return per_layer(
        trained,
        "saturation",
        saturated,
        quantity="share of the hidden features",
        says="The share of each block's hidden features within 0.03 of an end of the activation, where hardly any gradient"
        " passes. Healthy: under 5 %; over 20 % the layers before learn little.",
        span=(0, 0.4),
    )


def saturated(hidden: Tensor, activation: Activation) -> float:
    """The share of the hidden features within .03 of an end of the activation, which has some; nan where one is not finite."""
    distance = torch.stack([(hidden - end).abs() for end in ends(activation)]).amin(dim=0)
    return float((distance < NEAR).float().mean() + 0 * distance.sum())  # nan stays nan


def ends(activation: Activation) -> list[float]:
    """The values that an activation keeps however far its input goes down or up; a product of two inputs has none."""
    if activation.inputs > 1:
        return []
    far, farther = (activation.function(torch.tensor([-size, size], dtype=torch.float64)) for size in (1e4, 2e4))
    return [float(one) for one, other in zip(far, farther, strict=True) if one == other]
