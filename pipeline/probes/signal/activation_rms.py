"""Activation RMS: the size of the features after each block."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.frames import along_layers
from pipeline.readings import Reading


def activation_rms(trained: TrainedModel) -> Reading | None:
    """sqrt(mean x²), over the fixed batch, of what enters the first block (of an MLP: layer) and of what leaves each.

    Padding does not count. No such reading of a network without layers.

    Healthy: the last is half to some twenty times the first (the default recipe ends near fifteen). Broken: over a hundred
    times, or under a thousandth. Rules of thumb, not calibrated on runs known to be broken.

    Distrust: behind a norm the size of the stream changes nothing for what reads it; growth alone is not a fault in a pre-norm
    network.

    Source: He et al., "Delving Deep into Rectifiers", 2015: layers must neither enlarge nor shrink a signal.
    """
    return along_layers(
        trained,
        "activation_rms",
        _root_mean_square,
        quantity="root mean square of the features",
        says="The size of the features after each block. Healthy: the last from half to some 20 times the first;"
        " 100 times as large, or a thousandth, activations explode or vanish.",
        logarithmic=True,
    )


def _root_mean_square(features: Float[Tensor, "N D"]) -> float:
    return float(features.cpu().double().square().mean().sqrt())
