"""Readings of one formula for every head, layer or place along the network, over the fixed batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pipeline.inference.trained import TrainedModel
from pipeline.networks.activations import Activation
from pipeline.probes.passes.forward import AttentionInput, Forward, forward
from pipeline.probes.passes.layers import head_names, input_name, layer_names, layers
from pipeline.readings import Axis, Reading, column


def per_head(
    trained: TrainedModel,
    name: str,
    formula: Callable[[AttentionInput], Sequence[float]],
    trace: Forward | None = None,
    **described: Any,
) -> Reading | None:
    """A number for each head (layer.head).

    Args:
        formula: the number of each head of a layer; none for an attention that it does not apply to.
        trace: a forward pass over other inputs than the fixed batch.
        described: quantity, says, span and logarithmic of the reading.

    Returns:
        None where no layer has attention, or none that the formula applies to.
    """
    every = (trace or forward(trained)).attention
    if not (values := [value for attention in every for value in formula(attention)]):
        return None
    return column(name, Axis("head", head_names(trained)), values, trained.step, about="attention", **described)


def per_layer(
    trained: TrainedModel, name: str, formula: Callable[[Float[Tensor, "N F"], Activation], float], **described: Any
) -> Reading | None:
    """A number for each layer, of its hidden features: those behind the activation function, without padding.

    Returns:
        None where the network has no layers.
    """
    if not (every := layers(trained)):
        return None
    trace = forward(trained)
    values = [formula(trace.without_padding(some), layer.activation) for some, layer in zip(trace.hidden, every, strict=True)]
    return column(name, Axis("block", layer_names(trained)), values, trained.step, about="signal", **described)


def along_layers(
    trained: TrainedModel, name: str, formula: Callable[[Float[Tensor, "N D"]], float], **described: Any
) -> Reading | None:
    """A number for the features before the first layer and after each, without padding.

    Returns:
        None where the network has no layers.
    """
    trace = forward(trained)
    if not trace.streams:
        return None
    axis = Axis("after", [input_name(trained), *layer_names(trained)])
    values = [formula(trace.without_padding(stream)) for stream in trace.streams]
    return column(name, axis, values, trained.step, about="signal", **described)
