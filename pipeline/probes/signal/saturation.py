"""How much of a bounded activation stands at its end, where no gradient passes?"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.inference.trained import Subject
from pipeline.networks.activations import Activation
from pipeline.probes.passes.forward_backward import forward, layer_names, layers
from pipeline.readings import Axis, Reading, column

NEAR = 0.03  # of an end: |tanh| above .97, a sigmoid below .03 or above .97


def saturation(subject: Subject) -> Reading | None:
    """The share of the feed-forward features, over all tokens and units of a block, within .03 of an end of the activation.

    An end is a value that the activation keeps however far its input goes. Only what is bounded on both sides (tanh, sigmoid)
    saturates. What has one end (relu, relu2, gelu, silu, mish) rests there by design and is open above: a unit that does
    nothing else is found by `dead_units`. What has none (identity, snake, and the gated, whose product is unbounded) cannot
    saturate. For all of those there is no such reading.

    Healthy: under 5 %. Broken: over 20 %, for at an end the slope is nearly 0 and the layers before learn nothing.

    Distrust: a share is no place; a few units that always stand at an end and many that never do are two things (see
    `dead_units`).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    through, trace = layers(subject), forward(subject)
    if not through or len(ends(through[0].activation)) < 2:
        return None
    return column(
        "saturation",
        Axis("block", layer_names(subject)),
        [saturated(trace.places(hidden), through[0].activation) for hidden in trace.hidden],
        subject.step,
        quantity="share of the hidden features",
        says="How much of each block's activation stands within .03 of an end, where hardly any gradient passes. Healthy:"
        " under 5 %; over 20 % the layers before learn little.",
        about="signal",
        span=(0, 0.4),
    )


def saturated(hidden: Tensor, activation: Activation) -> float:
    """The share of the features behind an activation that stand within .03 of one of its ends; it has some."""
    far = torch.stack([(hidden - end).abs() for end in ends(activation)]).amin(dim=0)
    return float((far < NEAR).float().mean() + 0 * far.sum())  # what is no number stays none


def ends(activation: Activation) -> list[float]:
    """The values that an activation keeps however far its input goes down or up; a product of two inputs has none."""
    if activation.inputs > 1:
        return []
    far, farther = (activation.function(torch.tensor([-size, size], dtype=torch.float64)) for size in (1e4, 2e4))
    return [float(one) for one, other in zip(far, farther, strict=True) if one == other]
