"""What does the network do with the fixed batch? One pass forward and one back, which all who ask of a subject share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.engine.runtime import Runtime
from pipeline.networks.attention import Attention
from pipeline.networks.positions import Position
from pipeline.networks.transformer import AttentionBlock, Block
from pipeline.probes.base import Subject, once
from pipeline.tasks.base import Batch

CELLS = 2**23  # attention probabilities that are held at once: 32 MB
PARTS = 8  # that the batch is cut into on the way back


@dataclass(frozen=True)
class Look:
    """What enters the attention of a layer, from which what each head looks at is worked out again."""

    attention: Attention
    x: Float[Tensor, "B T D"]
    position: Position
    runtime: Runtime

    def maps(self) -> Iterator[Float[Tensor, "b H T T"]]:
        """The attention probabilities, some examples at a time."""
        for part in self._parts():
            with torch.no_grad(), self.runtime.autocast():
                maps = self.attention.maps(part, self.position)
            yield maps.float()

    def scores(self) -> Iterator[Float[Tensor, "b H T T"]]:
        """How well keys answer queries, some examples at a time; nothing where nobody asks."""
        for part in self._parts():
            with torch.no_grad(), self.runtime.autocast():
                scores = self.attention.scores(part, self.position)
            if scores is not None:
                yield scores.float()

    def visible(self) -> Tensor:
        """[T, T]: which keys (columns) each query may look at."""
        return self.attention.visible(self.x.shape[1], self.x.shape[1], self.x.device)

    def _parts(self) -> tuple[Tensor, ...]:
        cells = self.attention.heads * self.x.shape[1] ** 2
        return self.x.split(max(1, CELLS // cells))


@dataclass(frozen=True)
class Forward:
    """What enters and leaves each block on some ids.

    Attributes:
        streams: before the first block, and after each.
        looks: what enters each attention.
        hidden: the features of each feed-forward part, behind its activation.
        logits: what comes out.
    """

    streams: list[Float[Tensor, "B T D"]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    hidden: list[Float[Tensor, "B T F"]] = field(default_factory=list)
    logits: list[Float[Tensor, "B T V"]] = field(default_factory=list)


def run(subject: Subject, ids: Int[Tensor, "B T"]) -> Forward:
    """One pass forward, as the model is used, with what it does on the way."""
    trace = Forward()

    def attends(attention: Attention, inputs: tuple[Any, ...]) -> None:
        trace.looks.append(Look(attention, inputs[0], inputs[1], subject.runtime))

    def enters(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        (trace.streams if isinstance(module, Block) else trace.hidden).append(inputs[0])

    def leaves(block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        trace.streams.append(output)

    blocks = subject.blocks
    hooks = [blocks[0].register_forward_pre_hook(enters)]
    for block in blocks:
        if isinstance(block, AttentionBlock):
            hooks.append(block.attention.register_forward_pre_hook(attends))
        hooks.append(block.feed_forward.down.register_forward_pre_hook(enters))
        hooks.append(block.register_forward_hook(leaves))
    try:
        with torch.no_grad(), subject.runtime.autocast():
            trace.logits.append(subject.model(ids))
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
        tokens: predictions in the batch.
        part_tokens: predictions in a part: the harmonic mean over the parts.
        part_square: the squared L2 norm of a part's gradient: the mean over the parts.
    """

    gradients: dict[str, Tensor]
    tokens: int
    part_tokens: float
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
    tokens = sum(counts)
    return Backward(
        {name: gradient / tokens for name, gradient in zip(names, sums, strict=True)},
        tokens,
        len(counts) / sum(1 / count for count in counts),
        float(np.mean(squares)),
    )


def parts(examples: int) -> list[Int[np.ndarray, " n"]]:
    """The examples of each part: drawn at random, for neighbours in a text are alike, and parts of them noisier than chance."""
    return np.array_split(np.random.default_rng(0).permutation(examples), min(PARTS, examples))


def square(tensor: Tensor) -> float:
    """The squared L2 norm."""
    return float(torch.linalg.vector_norm(tensor.detach().cpu(), dtype=torch.float64)) ** 2


def layer_of(name: str) -> str:
    """The layer of a parameter, by its place in the network: `blocks.0.attention.output.weight` is of block 1."""
    match name.split("."):
        case ["blocks", number, *_]:
            return f"block {int(number) + 1}"
        case ["head" | "final_norm", *_]:
            return "head"
        case _:
            return "embedding"


def block_names(subject: Subject) -> list[str]:
    """The blocks as they are called on an axis: block 1, block 2, …."""
    return [f"block {number}" for number in range(1, len(subject.blocks) + 1)]


def head_names(subject: Subject) -> list[str]:
    """The heads as they are called on an axis, layer.head: 1.1, 1.2, …."""
    blocks = enumerate(subject.blocks, start=1)
    attending = ((layer, block.attention) for layer, block in blocks if isinstance(block, AttentionBlock))
    return [f"{layer}.{head}" for layer, attention in attending for head in range(1, attention.heads + 1)]
