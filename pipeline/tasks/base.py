"""The interface of a task (data, network, loss), which is all that the training loop knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from pipeline.networks.dropout import DropoutState

Unit = Literal["tokens", "examples"]
"""What a target is: the next id of a text, or the class of a whole text or image."""

IGNORED = -1  # the target of padding, which the loss leaves out


@dataclass(frozen=True)
class Shape:
    """What data/tokens requires of a network: its vocabulary or image size, and its classes.

    Attributes:
        vocabulary: the number of ids; 0 for images.
        classes: their names; () for a language model.
        image: height, width, channels; () for texts.
    """

    vocabulary: int = 0
    classes: tuple[str, ...] = ()
    image: tuple[int, ...] = ()

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Shape:
        """From the content of meta.json of data/tokens, or of model.json."""
        return cls(int(content.get("vocabulary", 0)), tuple(content.get("classes", ())), tuple(content.get("image", ())))

    def as_json(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "classes": list(self.classes), "image": list(self.image)}


@dataclass(frozen=True)
class Batch:
    """Examples: inputs and targets. Targets of IGNORED do not count.

    Attributes:
        inputs: ids [B, T], or images [B, H, W, C].
        targets: ids [B, T], or classes [B].
        mixup_targets: the targets of the second example of each mixed pair; None without mixup.
        mixup_shares: the share of the second example, 0 .. 1; None without mixup.
    """

    inputs: Tensor
    targets: Tensor
    mixup_targets: Tensor | None = None
    mixup_shares: Tensor | None = None

    @property
    def count(self) -> int:
        """The number of targets that count."""
        return int((self.targets != IGNORED).sum())

    def part(self, rows: slice) -> Batch:
        """Some of the examples."""
        return self._map(lambda tensor: tensor[rows])

    def pinned(self) -> Batch:
        """The same examples in pinned memory."""
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The same examples on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        mixup = (None if tensor is None else change(tensor) for tensor in (self.mixup_targets, self.mixup_shares))
        return Batch(change(self.inputs), change(self.targets), *mixup)


@dataclass(frozen=True)
class Loss:
    """A summed loss and its count, so that micro-batches of any size can be added up and divided once.

    Attributes:
        total: cross-entropy in nats, summed over the targets that count.
        count: the number of those targets.
        correct: for how many of them the largest logit is right; None in training, where it is not used and would cost
            another pass over the logits.
        objective: what training minimizes instead of `total`, if it is another sum (label smoothing, distillation); None if
            it is `total`. Logs and scores always show `total`, so that they stay comparable.
    """

    total: Float[Tensor, ""]
    count: Int[Tensor, ""]
    correct: Int[Tensor, ""] | None
    objective: Float[Tensor, ""] | None = None

    @property
    def minimized(self) -> Float[Tensor, ""]:
        """The sum that training minimizes."""
        return self.total if self.objective is None else self.objective


@dataclass(frozen=True)
class Parts:
    """The parts of the training data in their order: documents, or pieces of long ones.

    Attributes:
        sizes: tokens of each.
        difficulty: larger is harder; only the order matters.
        source: the data set of a mixture that each comes from, 0 or 1; all of the first before all of the second.
    """

    sizes: Int[np.ndarray, " P"]
    difficulty: Float[np.ndarray, " P"]
    source: UInt8[np.ndarray, " P"]

    @property
    def mixed(self) -> bool:
        """Whether the data is a mixture of two data sets."""
        return bool(self.source[-1] > 0)

    @cached_property
    def starts(self) -> Int[np.ndarray, " P"]:
        """The offset of each part in tokens."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def tokens_per_source(self) -> Int[np.ndarray, " S"]:
        """The number of tokens of each data set."""
        return np.bincount(self.source, weights=self.sizes).astype(np.int64)

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Parts:
        """Some of the parts."""
        return Parts(self.sizes[chosen], self.difficulty[chosen], self.source[chosen])


@runtime_checkable
class Task(Protocol):
    """Data, network and loss of one kind of task."""

    @property
    def unit(self) -> Unit:
        """What a target is, in the plural."""

    def __hash__(self) -> int:
        """By identity, so that results for a task can be cached."""

    @property
    def length(self) -> int:
        """Tokens of a whole example."""

    @property
    def uniform_loss(self) -> float:
        """The loss of uniform guessing, nats per target."""

    def parts(self) -> Parts:
        """The parts of the training data."""

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Task:
        """The same task with some parts of its training data only."""

    def build(self, generator: torch.Generator) -> nn.Module:
        """A network with initial weights drawn by the generator."""

    def size(self, split: str) -> int:
        """The number of examples of a split: for training all that may be drawn; others are covered once."""

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        """The examples of a split with these indices (0 .. size - 1); those of the training split may be shortened."""

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """A batch of training examples after random augmentation, if the task has any."""

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        """The loss of a network on a batch: in training mode with a `dropout_state`, else in evaluation mode."""
