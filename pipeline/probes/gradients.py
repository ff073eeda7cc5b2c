"""How much of the loss's gradient reaches each layer?"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.probes.base import Subject
from pipeline.readings import Axis, Reading, finite


def gradient_norm(subject: Subject) -> Reading:
    """The L2 norm of the gradient of the mean loss on the fixed batch, over all weights of a layer together; unclipped.

    Healthy: all layers within a factor of ten or so, and no trend of orders of magnitude from last to first.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    squares: dict[str, float] = {}  # in the network's own order, from the embedding to the head
    for name, gradient in _gradients(subject).items():
        squares[_layer(name)] = squares.get(_layer(name), 0.0) + float(gradient.cpu().double().square().sum())
    return Reading(
        name="gradient_norm",
        form="lines",
        quantity="L2 norm of the gradient, nats a token",
        says="How strongly the loss pulls at each layer. Healthy: layers within a factor of ten or so of each other; falling by"
        " orders of magnitude towards the embedding is a gradient that vanishes, rising is one that explodes."
        " A gap is exactly 0: what starts at zero passes nothing on at step 0.",
        axes=(Axis("step", [subject.step]), Axis("layer", list(squares))),
        values=finite([[square**0.5 for square in squares.values()]]),
        logarithmic=True,
    )


def _gradients(subject: Subject) -> dict[str, Tensor]:
    """The gradient of each parameter by name; the parameters' own `grad` stays as it was."""
    names, weights = zip(*subject.model.named_parameters(), strict=True)
    with torch.enable_grad(), subject.runtime.autocast():
        loss = subject.task.loss(subject.model, subject.batch)
    # A weight that the loss does not hang on (window attention of nothing) has a gradient of 0.
    found = torch.autograd.grad(loss.total / loss.count, weights, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def _layer(name: str) -> str:
    """The layer of a parameter, by its place in the network: `blocks.0.attention.output.weight` is of block 1."""
    match name.split("."):
        case ["blocks", number, *_]:
            return f"block {int(number) + 1}"
        case ["head" | "final_norm", *_]:
            return "head"
        case _:
            return "embedding"
