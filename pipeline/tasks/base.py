"""A task: what the network is to learn, and how one knows how far it is. The loop knows no more than this."""

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
"""What is counted and told one by one: the ids of a text, or whole texts and images."""

IGNORED = -1  # a target that is no target: padding


@dataclass(frozen=True)
class Shape:
    """What data/tokens asks of a network: how many ids it reads, or how large images, and between which classes it tells.

    Attributes:
        vocabulary: different ids; 0 where there are none.
        classes: their names; () where what is told is the next id.
        image: height, width, channels; () where there are none.
    """

    vocabulary: int = 0
    classes: tuple[str, ...] = ()
    image: tuple[int, ...] = ()

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Shape:
        """As meta.json of data/tokens has it, and model.json."""
        return cls(int(content.get("vocabulary", 0)), tuple(content.get("classes", ())), tuple(content.get("image", ())))

    def as_json(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "classes": list(self.classes), "image": list(self.image)}


@dataclass(frozen=True)
class Batch:
    """Some examples: what the network sees and what it should have said. A target of IGNORED counts nowhere.

    Attributes:
        others: of blended examples, what the other of each pair should have said; `shares` is its share, 0 .. 1. None where
            no example is blended.
    """

    inputs: Tensor
    targets: Tensor
    others: Tensor | None = None
    shares: Tensor | None = None

    @property
    def count(self) -> int:
        """How many targets count."""
        return int((self.targets != IGNORED).sum())

    def part(self, rows: slice) -> Batch:
        """Some of the examples."""
        return self._each(lambda tensor: tensor[rows])

    def pinned(self) -> Batch:
        """The same examples in memory that a device can fetch them from by itself."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The same examples on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        others, shares = (None if tensor is None else change(tensor) for tensor in (self.mixup_targets, self.mixup_shares))
        return Batch(change(self.inputs), change(self.targets), others, shares)


@dataclass(frozen=True)
class Loss:
    """A sum and a count, so that whoever adds up parts of any size divides once, by the whole.

    Attributes:
        total: nats, summed over the targets that count.
        count: how many they are.
        correct: how many of them were the network's first choice; not counted in training, where nobody asks for it
            and it would cost another pass over the logits.
        objective: what training follows instead of `total`, where that is another sum (label smoothing, a teacher); None
            where it is `total` itself. Logs and scores always show `total`, so that they stay comparable.
    """

    total: Float[Tensor, ""]
    count: Int[Tensor, ""]
    correct: Int[Tensor, ""] | None
    objective: Float[Tensor, ""] | None = None

    @property
    def minimized(self) -> Float[Tensor, ""]:
        """The sum whose gradient moves the weights."""
        return self.total if self.objective is None else self.objective


@dataclass(frozen=True)
class Parts:
    """Of what the training data consists, in the order in which it lies: documents, or pieces of long ones.

    Attributes:
        sizes: tokens of each.
        difficulty: the larger, the harder; only their order counts.
        source: which data set of a mixture each comes from, 0 or 1, all of the first before all of the second.
    """

    sizes: Int[np.ndarray, " P"]
    difficulty: Float[np.ndarray, " P"]
    source: UInt8[np.ndarray, " P"]

    @property
    def mixed(self) -> bool:
        """Whether there are two data sets."""
        return bool(self.source[-1] > 0)

    @cached_property
    def starts(self) -> Int[np.ndarray, " P"]:
        """Where each begins, tokens from the beginning of the first."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def tokens_per_source(self) -> Int[np.ndarray, " S"]:
        """Tokens of each data set."""
        return np.bincount(self.source, weights=self.sizes).astype(np.int64)

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Parts:
        """Some of the parts."""
        return Parts(self.sizes[chosen], self.difficulty[chosen], self.source[chosen])


@runtime_checkable
class Task(Protocol):
    """Data, network and loss of one kind of learning."""

    @property
    def unit(self) -> Unit:
        """What a target is, in the plural."""

    def __hash__(self) -> int:
        """By who it is, so that what was worked out for it can be kept."""

    @property
    def length(self) -> int:
        """Tokens of a whole example."""

    @property
    def uniform_loss(self) -> float:
        """The loss of blind guessing, nats a target."""

    def parts(self) -> Parts:
        """Of what the training data consists."""

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Task:
        """The same task, with the training data cut down to some of its parts."""

    def build(self, generator: torch.Generator) -> nn.Module:
        """A fresh network, its weights drawn by the generator."""

    def size(self, split: str) -> int:
        """How many examples a split has: for training all that may be drawn, for the others a cover of the whole split."""

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        """The examples of a split with these numbers (0 .. size - 1); of the training split also shorter ones."""

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """A batch of training examples, changed at random where their meaning stays (augmentation), if there are such."""

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        """The network's loss on a batch: with noise as in training, without as in use."""
