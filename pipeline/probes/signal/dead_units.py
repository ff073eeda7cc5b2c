"""How many hidden units of the feed-forward parts never do anything?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import Subject
from pipeline.networks.activations import Activation
from pipeline.networks.images import MLP
from pipeline.probes.passes.forward_backward import forward, layer_names, layers
from pipeline.probes.signal.saturation import NEAR, ends
from pipeline.readings import Axis, Reading, column

LITTLE = 0.01  # of the root mean square of a block's hidden features


def dead_units(subject: Subject) -> Reading | None:
    """The share of a block's hidden units that rest at every token (place, image) of the fixed batch.

    No such reading of a network without hidden units.

    What rest is hangs on the kind of the activation. Of a bounded one (tanh, sigmoid): the same end, within .03. Of one
    with a floor (relu, relu2, gelu, gelu_tanh, silu, mish): the floor, 0, within a hundredth of the root mean square of
    the block's features, so that gelu's thin tail counts as off. Of a gated one (swiglu, geglu, reglu): the same for the
    product of gate and value. Of one without an end (identity, snake): 0, likewise.

    Healthy: under 5 %. Broken: over 20 %, which are parameters that compute nothing and get no gradient.

    Distrust: what never fires on a few tokens may be a specialist. At least 4,096 tokens should be read
    (`probe.sequences`); on fewer, the share is too high. And relu2 is sparse by design: silent at most tokens is not dead.

    Source: Lu et al., "Dying ReLU and Initialization: Theory and Numerical Examples", 2019.
    """
    through, trace = layers(subject), forward(subject)
    if not through:
        return None
    read = [trace.places(hidden) for hidden in trace.hidden]
    return column(
        "dead_units",
        Axis("block", layer_names(subject)),
        [dead(hidden, through[0].activation) for hidden in read],
        subject.step,
        quantity="share of the hidden units",
        says=f"How many hidden units of each block do nothing at any of {_read(subject, read)}. Healthy:"
        " under 5 %; over 20 % the block is smaller than it is paid for. On few of them the share is too high.",
        about="signal",
        span=(0, 0.4),
    )


def _read(subject: Subject, hidden: Sequence[Tensor]) -> str:
    """How much was read: of each block, where a map shrinks from one to the next."""
    unit = "tokens" if subject.reads else "images" if isinstance(subject.model, MLP) else "places in images"
    counts = sorted({len(rows) for rows in hidden})
    return f"{' to '.join(f'{count:,}' for count in (counts[0], counts[-1])[: len(counts)])} {unit}"


def dead(hidden: Float[Tensor, "*N F"], activation: Activation) -> float:
    """The share of the units behind an activation that rest at every token."""
    at = ends(activation)
    little = NEAR if len(at) > 1 else LITTLE * float(hidden.cpu().double().square().mean().sqrt())
    farthest = torch.stack([(hidden - rest).abs().flatten(0, -2).amax(dim=0) for rest in at or [0.0]]).amin(dim=0)
    return float((farthest <= little).float().mean() + 0 * farthest.sum())  # what is no number stays none
