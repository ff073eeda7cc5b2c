"""The backward pass over the fixed batch and over parts of it; the probes of gradients share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.inference.trained import TrainedModel, cached
from pipeline.tasks.base import Batch

PARTS = 8  # that the batch is split into


@dataclass(frozen=True)
class Backward:
    """The gradient of the mean loss on the fixed batch, and the size of the gradient on a part of it.

    Attributes:
        gradients: of each parameter by name, in the order of the network.
        targets: the number of predictions in the batch.
        part_targets: the number of predictions in a part: the harmonic mean over the parts.
        part_square: the squared L2 norm of the gradient on a part: the mean over the parts.
    """

    gradients: dict[str, Tensor]
    targets: int
    part_targets: float
    part_square: float

    @property
    def square(self) -> float:
        """The squared L2 norm of the gradient on the whole batch."""
        return sum(square(gradient) for gradient in self.gradients.values())


@cached
def backward(trained: TrainedModel) -> Backward:
    """The backward pass over the fixed batch, part by part; `parameter.grad` stays as it was."""
    batch = trained.batch
    names, weights = zip(*((name, w) for name, w in trained.model.named_parameters() if w.requires_grad), strict=True)
    sums: list[Tensor] = []
    counts, squares = list[int](), list[float]()
    for rows in parts(len(batch.inputs)):
        part = Batch(batch.inputs[rows], batch.targets[rows])
        with torch.enable_grad(), trained.runtime.autocast():
            loss = trained.task.loss(trained.model, part)
        # A weight that the loss does not depend on has a gradient of 0.
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
    """The examples of each part, drawn at random: neighbours in a text are similar, and parts of them would be too noisy."""
    return np.array_split(np.random.default_rng(0).permutation(examples), min(PARTS, examples))


def square(tensor: Tensor) -> float:
    """The squared L2 norm."""
    return float(torch.linalg.vector_norm(tensor.detach().cpu(), dtype=torch.float64)) ** 2
