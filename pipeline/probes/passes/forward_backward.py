"""What does the network do with the fixed batch? One pass forward and one back, which all who ask of a subject share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.trained import Subject, once
from pipeline.networks.activations import Activation
from pipeline.networks.attention import Attention
from pipeline.networks.images import MLP
from pipeline.networks.positions import Position
from pipeline.networks.transformer import AttentionBlock
from pipeline.tasks.base import Batch

CELLS = 2**23  # attention probabilities that are held at once: 32 MB
PARTS = 8  # that the batch is cut into on the way back


@dataclass(frozen=True)
class Look:
    """What enters the attention of a layer, from which what each head looks at is worked out again.

    Attributes:
        real: which places are no padding; None where there is none.
    """

    attention: Attention
    x: Float[Tensor, "B T D"]
    position: Position
    runtime: Runtime
    real: Bool[Tensor, "B T"] | None = None

    def maps(self) -> Iterator[Float[Tensor, "b H T T"]]:
        """The attention probabilities, some examples at a time."""
        for part in self._parts():
            with torch.no_grad(), self.runtime.autocast():
                maps = self.attention.maps(self.x[part], self.position, None if self.real is None else self.real[part])
            yield maps.float()

    def scores(self) -> Iterator[Float[Tensor, "b H T T"]]:
        """How well keys answer queries, some examples at a time; nothing where nobody asks."""
        for part in self._parts():
            with torch.no_grad(), self.runtime.autocast():
                scores = self.attention.scores(self.x[part], self.position)
            if scores is not None:
                yield scores.float()

    def visible(self) -> Iterator[Bool[Tensor, "_ T T"]]:
        """Which keys (columns) each query may look at, in the same parts; what is padding looks at nothing and is not seen.

        One for all examples where none has padding.
        """
        length = self.x.shape[1]
        seen = self.attention.visible(length, length, self.x.device)[None]
        for part in self._parts():
            yield seen if self.real is None else seen & self.real[part, None, :] & self.real[part, :, None]

    def _parts(self) -> Iterator[slice]:
        examples, length = self.x.shape[:2]
        size = max(1, CELLS // (self.attention.heads * length**2))
        return (slice(first, first + size) for first in range(0, examples, size))


@dataclass(frozen=True)
class Layer:
    """A part of the network behind which its stream of features is looked at: a block, or a layer of an MLP.

    Attributes:
        name: as it is called on an axis.
        enters: what the stream runs into; `leaves` is what it comes out of.
        hidden: what the features behind the activation run into.
        activation: of the layer.
    """

    name: str
    enters: nn.Module
    leaves: nn.Module
    hidden: nn.Module
    activation: Activation


def layers(subject: Subject) -> list[Layer]:
    """The network's layers from first to last; none of a linear map."""
    model = subject.model
    if isinstance(model, MLP):
        parts = enumerate(zip(model.layers, model.dropouts, strict=True), start=1)
        return [Layer(f"layer {number}", entry, end, end, model.activation) for number, (entry, end) in parts]
    blocks = enumerate(subject.blocks, start=1)
    return [
        Layer(f"block {number}", block, block, block.feed_forward.down, block.feed_forward.activation)
        for number, block in blocks
    ]


@dataclass(frozen=True)
class Forward:
    """What enters and leaves each layer on some examples.

    Attributes:
        streams: before the first layer, and after each.
        looks: what enters each attention.
        hidden: the features of each layer behind its activation.
        logits: what comes out.
    """

    streams: list[Float[Tensor, "B _ _"]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    hidden: list[Float[Tensor, "B _ _"]] = field(default_factory=list)
    logits: list[Float[Tensor, "B *T V"]] = field(default_factory=list)

    def places(self, features: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """The features of all places of all examples, one after another, without those that are padding."""
        real = self.looks[0].real if self.looks else None
        return features.flatten(0, 1) if real is None else features[real]


def run(subject: Subject, inputs: Tensor) -> Forward:
    """One pass forward, as the model is used, with what it does on the way."""
    trace = Forward()

    def attends(attention: Attention, given: tuple[Any, ...]) -> None:
        real = given[3] if len(given) > 3 else None
        trace.looks.append(Look(attention, given[0], given[1], subject.runtime, real))

    def enters(module: nn.Module, given: tuple[Any, ...]) -> None:
        trace.streams.append(given[0])

    def hides(module: nn.Module, given: tuple[Any, ...]) -> None:
        trace.hidden.append(given[0])

    def leaves(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        trace.streams.append(output)

    through = layers(subject)
    hooks = [layer.enters.register_forward_pre_hook(enters) for layer in through[:1]]
    for layer in through:
        if isinstance(layer.enters, AttentionBlock):
            hooks.append(layer.enters.attention.register_forward_pre_hook(attends))
        hooks.append(layer.hidden.register_forward_pre_hook(hides))
        hooks.append(layer.leaves.register_forward_hook(leaves))
    try:
        with torch.no_grad(), subject.runtime.autocast():
            trace.logits.append(subject.model(inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return trace


@once
def forward(subject: Subject) -> Forward:
    """The pass over the fixed batch."""
    return run(subject, subject.batch.inputs)


@dataclass(frozen=True)
class Backward:
    """The gradient of the mean loss on the fixed batch, and how long that of a part of the batch is.

    Attributes:
        gradients: of each parameter by name, in the network's own order.
        targets: predictions in the batch.
        part_targets: predictions in a part: the harmonic mean over the parts.
        part_square: the squared L2 norm of a part's gradient: the mean over the parts.
    """

    gradients: dict[str, Tensor]
    targets: int
    part_targets: float
    part_square: float

    @property
    def square(self) -> float:
        """The squared L2 norm of the whole batch's gradient."""
        return sum(square(gradient) for gradient in self.gradients.values())


@once
def backward(subject: Subject) -> Backward:
    """The pass back over the fixed batch, part by part; the parameters' own `grad` stays as it was."""
    batch = subject.batch
    names, weights = zip(*((name, w) for name, w in subject.model.named_parameters() if w.requires_grad), strict=True)
    sums: list[Tensor] = []
    counts, squares = list[int](), list[float]()
    for rows in parts(len(batch.inputs)):
        part = Batch(batch.inputs[rows], batch.targets[rows])
        with torch.enable_grad(), subject.runtime.autocast():
            loss = subject.task.loss(subject.model, part)
        # A weight that the loss does not hang on (window attention of nothing) has a gradient of 0.
        found = torch.autograd.grad(loss.total, weights, allow_unused=True, materialize_grads=True)
        counts.append(part.count)
        squares.append(sum(square(gradient) for gradient in found) / part.count**2)
        sums = [one + other for one, other in zip(sums, found, strict=True)] if sums else list(found)
    targets = sum(counts)
    return Backward(
        {name: gradient / targets for name, gradient in zip(names, sums, strict=True)},
        targets,
        len(counts) / sum(1 / count for count in counts),
        float(np.mean(squares)),
    )


def parts(examples: int) -> list[Int[np.ndarray, " n"]]:
    """The examples of each part: drawn at random, for neighbours in a text are alike, and parts of them noisier than chance."""
    return np.array_split(np.random.default_rng(0).permutation(examples), min(PARTS, examples))


def square(tensor: Tensor) -> float:
    """The squared L2 norm."""
    return float(torch.linalg.vector_norm(tensor.detach().cpu(), dtype=torch.float64)) ** 2


def layer_of(subject: Subject, name: str) -> str:
    """The layer of a parameter, by its place in the network: `blocks.0.attention.output.weight` is of block 1."""
    match name.split("."):
        case ["blocks" | "shrinks", number, *_]:
            return f"block {int(number) + 1}"
        case ["layers" | "norms", number, *_]:
            return f"layer {int(number) + 1}"
        case ["head" | "final_norm" | "pooling", *_]:
            return "head"
        case _:
            return entry(subject)


def entry(subject: Subject) -> str:
    """What stands before the first layer, as it is called on an axis."""
    if isinstance(subject.model, MLP):
        return "pixels"
    return "patches" if subject.reads is None else "embedding"


def layer_names(subject: Subject) -> list[str]:
    """The layers as they are called on an axis: block 1, block 2, …."""
    return [layer.name for layer in layers(subject)]


def head_names(subject: Subject) -> list[str]:
    """The heads as they are called on an axis, layer.head: 1.1, 1.2, …; none where nothing attends."""
    blocks = enumerate(subject.blocks, start=1)
    attending = ((layer, block.attention) for layer, block in blocks if isinstance(block, AttentionBlock))
    return [f"{layer}.{head}" for layer, attention in attending for head in range(1, attention.heads + 1)]
