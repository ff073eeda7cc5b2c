"""A task without its data: the real network, loss and augmentation, on random examples of the right shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from pipeline.networks.classifier import PADDING
from pipeline.networks.dropout import DropoutState
from pipeline.params.schema import Params
from pipeline.tasks.base import Batch, Loss, Parts, Shape, Task, Unit
from pipeline.tasks.classify import padded_length
from pipeline.tasks.objective import Objective
from pipeline.tasks.table import TASKS


class BatchMaker:
    """Draws the numbers of random examples.

    Args:
        sizes: lengths of texts with a class, tokens, each equally likely; None = each text fills the context.
    """

    def __init__(self, seed: int, sizes: Int[np.ndarray, " N"] | None = None) -> None:
        self.generator, self.of_texts = torch.Generator().manual_seed(seed), sizes

    def whole(self, below: int, *size: int) -> Tensor:
        """Whole numbers from 0 .. below - 1, uniformly distributed."""
        return torch.randint(below, size, generator=self.generator)

    def real(self, *size: int) -> Tensor:
        """Numbers of mean 0 and standard deviation 1, like standardized pixels."""
        return torch.randn(size, generator=self.generator)

    def sizes(self, rows: int, length: int) -> Int[np.ndarray, " B"]:
        """The lengths of some texts, `length` at most."""
        if self.of_texts is None:
            return np.full(rows, length)
        return np.minimum(self.of_texts[self.whole(len(self.of_texts), rows).numpy()], length)


def windows(shape: Shape, rows: int, length: int, draw: BatchMaker) -> Batch:
    """Random ids; the targets are the ids shifted by one."""
    ids = draw.whole(shape.vocabulary, rows, length + 1)
    return Batch(ids[:, :-1], ids[:, 1:].clone())


def texts(shape: Shape, rows: int, length: int, draw: BatchMaker) -> Batch:
    """Random ids, padded to the longest text, and a class for each text."""
    sizes = draw.sizes(rows, length)
    longest = padded_length(int(sizes.max()), length)
    ids = draw.whole(shape.vocabulary, rows, longest)
    if sizes.min() < longest:
        ids.masked_fill_(torch.arange(longest) >= torch.from_numpy(sizes)[:, None], PADDING)
    return Batch(ids, draw.whole(len(shape.classes), rows))


def images(shape: Shape, rows: int, length: int, draw: BatchMaker) -> Batch:
    """Random pixels, standardized, and a class for each image."""
    return Batch(draw.real(rows, *shape.image), draw.whole(len(shape.classes), rows))


EXAMPLES: dict[str, Callable[[Shape, int, int, BatchMaker], Batch]] = {
    "language": windows,
    "classify": texts,
    "vision": images,
}


class DummyTask:
    """A task of any kind whose examples are drawn at random when they are needed.

    Args:
        shape: of the data.
        objective: the loss that training minimizes.
        draw: draws the numbers.
    """

    def __init__(self, params: Params, shape: Shape, objective: Objective, draw: BatchMaker) -> None:
        self.kind, self.shape, self.draw = params.task.kind, shape, draw
        self.task: Task = TASKS[self.kind](Path(), params.model, shape, objective)
        self.examples = max(params.train.batch_size, params.train.validation_examples)

    @property
    def unit(self) -> Unit:
        return self.task.unit

    @property
    def length(self) -> int:
        return self.task.length

    @property
    def uniform_loss(self) -> float:
        return self.task.uniform_loss

    def parts(self) -> Parts:
        return Parts(np.array([self.examples * (self.length + 1)]), np.zeros(1), np.zeros(1, np.uint8))

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Task:
        return self

    def build(self, generator: torch.Generator) -> nn.Module:
        return self.task.build(generator)

    def size(self, split: str) -> int:
        return self.examples

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        return EXAMPLES[self.kind](self.shape, len(rows), length or self.length, self.draw)

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return self.task.augmented(batch, rng)

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        return self.task.loss(model, batch, dropout_state)
