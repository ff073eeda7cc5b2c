"""Dead units: the share of hidden units that are off at every token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.networks.activations import Activation
from pipeline.networks.images import MLP
from pipeline.probes.passes.forward import forward
from pipeline.probes.passes.frames import per_layer
from pipeline.probes.signal.saturation import NEAR, ends
from pipeline.readings import Reading

LITTLE = 0.01  # of the root mean square of a block's hidden features


def dead_units(trained: TrainedModel) -> Reading | None:
    """The share of a block's hidden units that are off at every token (place, image) of the fixed batch.

    No such reading of a network without hidden units.

    Off depends on the kind of the activation. Of a bounded one (tanh, sigmoid): at the same end, within .03. Of one with a
    floor (relu, relu2, gelu, gelu_tanh, silu, mish): at the floor, 0, within a hundredth of the root mean square of the
    block's features, so that the thin tail of gelu counts as off. Of a gated one (swiglu, geglu, reglu): the same for the
    product of gate and value. Of one without an end (identity, snake): at 0, likewise.

    Healthy: under 5 %. Broken: over 20 %, which are parameters that compute nothing and get no gradient.

    Distrust: a unit that never fires on a few tokens may be a specialist. At least 4,096 tokens should be read
    (`probe.sequences`); on fewer, the share is too high. And relu2 is sparse by design: off at most tokens is not dead.

    Source: Lu et al., "Dying ReLU and Initialization: Theory and Numerical Examples", 2019.
    """
    hidden = forward(trained).hidden
    if not hidden:
        return None
    return per_layer(
        trained,
        "dead_units",
        dead,
        quantity="share of the hidden units",
        says=f"The share of each block's hidden units that are off at all of {_places(trained, hidden)}. Healthy: under 5 %;"
        " over 20 % parameters are wasted. On few of them the share is too high.",
        span=(0, 0.4),
    )


def _places(trained: TrainedModel, hidden: Sequence[Tensor]) -> str:
    """What was read, and how much: of each block, where a feature map shrinks from one to the next."""
    unit = "tokens" if trained.text_tokenizer else "images" if isinstance(trained.model, MLP) else "places in images"
    counts = sorted({len(forward(trained).without_padding(features)) for features in hidden})
    return f"{' to '.join(f'{count:,}' for count in (counts[0], counts[-1])[: len(counts)])} {unit}"


def dead(hidden: Float[Tensor, "*N F"], activation: Activation) -> float:
    """The share of the units behind an activation that are off at every token; nan where one is not finite."""
    at = ends(activation)
    little = NEAR if len(at) > 1 else LITTLE * float(hidden.cpu().double().square().mean().sqrt())
    farthest = torch.stack([(hidden - off).abs().flatten(0, -2).amax(dim=0) for off in at or [0.0]]).amin(dim=0)
    return float((farthest <= little).float().mean() + 0 * farthest.sum())  # nan stays nan
