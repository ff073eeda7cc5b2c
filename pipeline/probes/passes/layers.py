"""The layers, heads and parameters of a network, by the names that they have on an axis."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pipeline.inference.trained import TrainedModel
from pipeline.networks.activations import Activation
from pipeline.networks.images import MLP
from pipeline.networks.transformer import AttentionBlock


@dataclass(frozen=True)
class Layer:
    """A part of the network with features before and after it: a block, or a layer of an MLP.

    Attributes:
        name: on an axis.
        first, last: the modules that the features enter and leave.
        hidden_to: the module that reads the hidden features, which the activation function makes.
        activation: the activation function.
    """

    name: str
    first: nn.Module
    last: nn.Module
    hidden_to: nn.Module
    activation: Activation


def layers(trained: TrainedModel) -> list[Layer]:
    """The network's layers from first to last; a linear map has none."""
    model = trained.model
    if isinstance(model, MLP):
        parts = enumerate(zip(model.layers, model.dropouts, strict=True), start=1)
        return [Layer(f"layer {number}", linear, dropout, dropout, model.activation) for number, (linear, dropout) in parts]
    blocks = enumerate(trained.blocks, start=1)
    return [
        Layer(f"block {number}", block, block, block.feed_forward.down, block.feed_forward.activation)
        for number, block in blocks
    ]


def layer_of(trained: TrainedModel, name: str) -> str:
    """The layer of a parameter, by its name: `blocks.0.attention.output.weight` is in block 1."""
    match name.split("."):
        case ["blocks" | "shrinks", number, *_]:
            return f"block {int(number) + 1}"
        case ["layers" | "norms", number, *_]:
            return f"layer {int(number) + 1}"
        case ["head" | "final_norm" | "pooling", *_]:
            return "head"
        case _:
            return input_name(trained)


def input_name(trained: TrainedModel) -> str:
    """The name, on an axis, of what comes before the first layer."""
    if isinstance(trained.model, MLP):
        return "pixels"
    return "patches" if trained.text_tokenizer is None else "embedding"


def layer_names(trained: TrainedModel) -> list[str]:
    """The names of the layers on an axis: block 1, block 2, …."""
    return [layer.name for layer in layers(trained)]


def head_names(trained: TrainedModel) -> list[str]:
    """The names of the heads on an axis, layer.head: 1.1, 1.2, …; a network without attention has none."""
    blocks = enumerate(trained.blocks, start=1)
    attending = ((layer, block.attention) for layer, block in blocks if isinstance(block, AttentionBlock))
    return [f"{layer}.{head}" for layer, attention in attending for head in range(1, attention.heads + 1)]
