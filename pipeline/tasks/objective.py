"""What training follows beyond the plain cross-entropy, and both of them in pieces where the logits are too many to hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.networks.transformer import GPT
from pipeline.params.training import Train
from pipeline.tasks.augmentation import NO_AUGMENTATION, Augmentation
from pipeline.tasks.base import IGNORED, Loss


@dataclass(frozen=True)
class Teacher:
    """A model whose answers are learned beside the text's: softened, so that what it takes for unlikely says something too.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.

    Attributes:
        network: reads the same data; none of its weights wants a gradient.
        weight: its share in what is followed, the text's being the rest.
        temperature: divides the logits of both. Gradients shrink by its square, by which the loss is multiplied.
    """

    network: nn.Module
    weight: float
    temperature: float

    @torch.no_grad()
    def says(self, inputs: Tensor) -> Float[Tensor, "B K"]:
        """Of whole examples the logits of each class."""
        return self.network(inputs)

    @torch.no_grad()
    def features(self, inputs: Int[Tensor, "B T"]) -> Float[Tensor, "N D"]:
        """Of texts what its head reads, so that its logits, too, may be taken in pieces."""
        assert isinstance(self.network, GPT)
        return self.network.features(inputs).flatten(0, 1)

    @torch.no_grad()
    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        assert isinstance(self.network, GPT)
        return self.network.logits(features)

    def loss(
        self, logits: Float[Tensor, "N V"], taught: Float[Tensor, "N V"], counted: Bool[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """How far the student's softened answers are from the teacher's: KL divergence, summed over the targets that count."""
        student = (logits / self.temperature).log_softmax(dim=-1)
        teacher = (taught.to(logits.dtype) / self.temperature).log_softmax(dim=-1)
        apart = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)
        return self.temperature**2 * (apart * counted).sum()


@dataclass(frozen=True)
class Objective:
    """What is followed beside the cross-entropy while training, and how much of it is computed at a time.

    Attributes:
        label_smoothing: share of each target that is spread evenly over the whole vocabulary.
            Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015.
        z_loss: weight of log² Z, which holds the softmax's denominator near 1 and the logits from drifting.
            Source: Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022.
        loss_chunk: targets whose logits exist at the same time; 0 = all. Changes nothing beyond rounding.
        teacher: who is asked what it would say.
        squares: not the cross-entropy is followed, but the squared distance of the outputs to 1 for the class and 0 for the
            others, a mean over the classes.
        class_weights: how much each class weighs; empty = all alike. Over the training split their mean is 1.
        variation: how images are changed while training.
    """

    label_smoothing: float = 0.0
    z_loss: float = 0.0
    loss_chunk: int = 0
    teacher: Teacher | None = None
    squares: bool = False
    class_weights: tuple[float, ...] = ()
    variation: Augmentation = NO_AUGMENTATION

    @classmethod
    def of(cls, train: Train, **more: Any) -> Objective:
        """What the knobs say; `more` is what they alone do not tell (class weights, the teacher, pieces)."""
        variation = Augmentation(train.shift, train.flip, train.cutout, train.mixup)
        return cls(train.label_smoothing, train.z_loss, squares=train.loss == "mse", variation=variation, **more)

    @property
    def plain(self) -> Objective:
        """The cross-entropy alone, computed in as many pieces: what is measured, not followed."""
        return replace(PLAIN, loss_chunk=self.loss_chunk)

    def loss(
        self,
        logits: Float[Tensor, "N V"],
        targets: Int[Tensor, " N"],
        training: bool,
        taught: Float[Tensor, "N V"] | None = None,
        blended: tuple[Int[Tensor, " N"], Float[Tensor, " N"]] | None = None,
    ) -> Loss:
        """The loss of some logits; what is added to the plain one only in training, what was right only outside it.

        Args:
            taught: the teacher's logits, where there is one.
            blended: of blended examples, the targets of the others and their shares.
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        adds = training and (self != self.plain or blended is not None)
        # What is only shown needs no gradient, and so keeps no copy of the logits.
        total = _cross_entropy(logits.detach() if adds else logits, targets, blended)
        correct = None if training else (logits.argmax(dim=-1) == targets).sum()
        followed = self._followed(logits, targets, taught, blended) if adds else None
        return Loss(total, (targets != IGNORED).sum(), correct, followed)

    def _followed(
        self,
        logits: Float[Tensor, "N V"],
        targets: Int[Tensor, " N"],
        taught: Float[Tensor, "N V"] | None,
        blended: tuple[Int[Tensor, " N"], Float[Tensor, " N"]] | None,
    ) -> Float[Tensor, ""]:
        if blended is None:
            followed = self._told(logits, targets).sum()
        else:
            others, shares = blended
            followed = ((1 - shares) * self._told(logits, targets) + shares * self._told(logits, others)).sum()
        if self.teacher:
            assert taught is not None, "a teacher was not asked"
            told = self.teacher.loss(logits, taught, targets != IGNORED)
            followed = (1 - self.teacher.weight) * followed + self.teacher.weight * told
        if self.z_loss:
            squares = logits.logsumexp(dim=-1).square()
            followed = followed + self.z_loss * squares.masked_fill(targets == IGNORED, 0).sum()
        return followed

    def _told(self, logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """What each target costs."""
        if self.squares:
            costs = _squared_error(logits, targets)
        else:
            smoothing = self.label_smoothing
            costs = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
        if not self.class_weights:
            return costs
        return costs * logits.new_tensor(self.class_weights)[targets.clamp(min=0)]


def class_weights(labels: Integer[np.ndarray, " N"]) -> tuple[float, ...]:
    """What an example of each class weighs: n / (classes that occur * examples of it), so that each class weighs as much as
    any other, and an example 1 on average.

    Source: King and Zeng, "Logistic Regression in Rare Events Data", 2001.
    """
    counts = np.bincount(labels)
    return tuple(float(weight) for weight in len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))


def _squared_error(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    wanted = F.one_hot(targets.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    return (logits - wanted).square().mean(dim=-1).masked_fill(targets == IGNORED, 0)


def _cross_entropy(
    logits: Float[Tensor, "N V"],
    targets: Int[Tensor, " N"],
    blended: tuple[Int[Tensor, " N"], Float[Tensor, " N"]] | None = None,
) -> Float[Tensor, ""]:
    """The plain loss. Of two that are blended each is told for its share: who hears of one alone cannot tell how much of it
    is there, and would look worse than a blind guess.
    """
    if blended is None:
        return F.cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORED)
    others, shares = blended
    told, other = (F.cross_entropy(logits, each, reduction="none", ignore_index=IGNORED) for each in (targets, others))
    return ((1 - shares) * told + shares * other).sum()


PLAIN = Objective()

ChunkLoss = Callable[[Float[Tensor, "n D"], slice], Loss]  # the loss of some of the features, which are those in these rows


def in_chunks(piece: ChunkLoss, features: Float[Tensor, "N D"], size: int, model: nn.Module) -> Loss:
    """The sum of the losses of the features, so many at a time: their logits are made, used and freed one after another.

    The gradient of a piece is computed along with it, while its logits are there, so that backward has only to hand it on;
    nothing is computed twice.

    Source: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2024 (never holding the logits); Hsu et al.,
    "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024 (the gradient in the forward pass).
    """
    pieces = [slice(first, first + size) for first in range(0, len(features), size)]
    if not torch.is_grad_enabled():
        return _sum([piece(features[rows], rows) for rows in pieces])
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    losses: list[Loss] = []
    followed: Tensor = _ChunkedLoss.apply(piece, pieces, losses, features, *weights)  # type: ignore[no-untyped-call]
    return replace(_sum(losses), objective=followed)


def _sum(losses: list[Loss]) -> Loss:
    total = torch.stack([loss.total for loss in losses]).sum()
    count = torch.stack([loss.count for loss in losses]).sum()
    correct = [loss.correct for loss in losses if loss.correct is not None]
    return Loss(total, count, torch.stack(correct).sum() if correct else None)


class _ChunkedLoss(torch.autograd.Function):
    """Adds up the followed losses of the pieces, and their gradients beside them."""

    @staticmethod
    def forward(
        ctx: Any, piece: ChunkLoss, pieces: list[slice], losses: list[Loss], features: Tensor, *weights: nn.Parameter
    ) -> Tensor:
        slopes = torch.zeros_like(features)
        sums: list[Tensor | None] = [None] * len(weights)
        followed = features.new_zeros((), dtype=torch.promote_types(features.dtype, torch.float32))
        for rows in pieces:
            with torch.enable_grad():
                part = features[rows].detach().requires_grad_()
                loss = piece(part, rows)
                # Of all weights the head's alone play a part; which they are is the network's own affair.
                slopes[rows], *found = torch.autograd.grad(loss.minimized, (part, *weights), allow_unused=True)
            sums = [_add(one, other) for one, other in zip(sums, found, strict=True)]
            followed += loss.minimized.detach()
            losses.append(replace(loss, total=loss.total.detach(), objective=None))
        ctx.save_for_backward(slopes, *sums)
        return followed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        return None, None, None, *(saved if saved is None else saved * slope.to(saved.dtype) for saved in ctx.saved_tensors)


def _add(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one.add_(other)
