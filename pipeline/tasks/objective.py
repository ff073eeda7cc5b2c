"""The training objective: cross-entropy with label smoothing, z-loss, class weights, mixup, distillation; logits in chunks."""

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
from pipeline.tasks.cross_entropy import cross_entropy, wide


@dataclass(frozen=True)
class Teacher:
    """The teacher of a knowledge distillation: the student also learns its softened output distribution.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.

    Attributes:
        network: reads the same data; frozen.
        weight: of its loss, 0 .. 1; that of the targets has the rest.
        temperature: divides the logits of both. Gradients shrink by its square, so the loss is multiplied by it.
    """

    network: nn.Module
    weight: float
    temperature: float

    @torch.no_grad()
    def class_logits(self, inputs: Tensor) -> Float[Tensor, "B K"]:
        """Its logits for whole examples."""
        return self.network(inputs)

    @torch.no_grad()
    def features(self, inputs: Int[Tensor, "B T"]) -> Float[Tensor, "N D"]:
        """The features that its head reads, so that its logits can be computed in chunks too."""
        assert isinstance(self.network, GPT)
        return self.network.features(inputs).flatten(0, 1)

    @torch.no_grad()
    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        assert isinstance(self.network, GPT)
        return self.network.logits(features)

    def loss(
        self, logits: Float[Tensor, "N V"], teacher_logits: Float[Tensor, "N V"], mask: Bool[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """KL(teacher ‖ student) of the softened distributions, times temperature², summed over the targets that count."""
        student = (logits / self.temperature).log_softmax(dim=-1)
        teacher = (teacher_logits.to(logits.dtype) / self.temperature).log_softmax(dim=-1)
        divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)
        return self.temperature**2 * (divergence * mask).sum()


@dataclass(frozen=True)
class Objective:
    """What training minimizes, and how many logits are computed at a time.

    Attributes:
        label_smoothing: share of each target that is spread uniformly over the vocabulary.
            Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015.
        z_loss: weight of log² Z, where Z is the denominator of the softmax; keeps logits from drifting.
            Source: Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022.
        loss_chunk: targets whose logits exist at the same time; 0 = all. Changes nothing beyond rounding.
        teacher: for distillation; None = no distillation.
        squared_error: minimize the mean over classes of the squared distance to the one-hot target, not the cross-entropy.
        class_weights: the weight of each class; empty = all equal. Their mean over the training split is 1.
        augmentation: of images, in training.
        with_gradient: on a CPU the cross-entropy of wide logits is computed with its gradient, which keeps less for the
            backward pass than PyTorch's own; False for what a card keeps.
    """

    label_smoothing: float = 0.0
    z_loss: float = 0.0
    loss_chunk: int = 0
    teacher: Teacher | None = None
    squared_error: bool = False
    class_weights: tuple[float, ...] = ()
    augmentation: Augmentation = NO_AUGMENTATION
    with_gradient: bool = True

    @classmethod
    def of(cls, train: Train, **others: Any) -> Objective:
        """The objective that the knobs describe; `others` are the attributes that depend on more than them."""
        augmentation = Augmentation(train.shift, train.flip, train.cutout, train.mixup)
        return cls(train.label_smoothing, train.z_loss, squared_error=train.loss == "mse", augmentation=augmentation, **others)

    @property
    def plain(self) -> Objective:
        """The cross-entropy alone, with the same chunks: for evaluation."""
        return replace(PLAIN, loss_chunk=self.loss_chunk, with_gradient=self.with_gradient)

    def loss(
        self,
        logits: Float[Tensor, "N V"],
        targets: Int[Tensor, " N"],
        training: bool,
        teacher_logits: Float[Tensor, "N V"] | None = None,
        mixup: tuple[Int[Tensor, " N"], Float[Tensor, " N"]] | None = None,
    ) -> Loss:
        """The loss of some logits: with an `objective` in training, with `correct` outside of it.

        Args:
            teacher_logits: those of the teacher, if there is one.
            mixup: of mixed examples, the second targets and their shares.
        """
        has_objective = training and (self != self.plain or mixup is not None)
        # A loss that is only logged needs no gradient, and so no copy of the logits.
        total = self._cross_entropy(logits.detach() if has_objective else logits, targets, mixup)
        correct = None if training else (logits.argmax(dim=-1) == targets).sum()
        objective = self._training_loss(wide(logits), targets, teacher_logits, mixup) if has_objective else None
        return Loss(total, (targets != IGNORED).sum(), correct, objective)

    def _cross_entropy(
        self,
        logits: Float[Tensor, "N V"],
        targets: Int[Tensor, " N"],
        mixup: tuple[Int[Tensor, " N"], Float[Tensor, " N"]] | None,
    ) -> Float[Tensor, ""]:
        """The cross-entropy, summed. With mixup both targets count by their shares; with the first alone a well calibrated
        network would look worse than uniform guessing.
        """
        if mixup is None:
            return cross_entropy(logits, targets, with_gradient=self.with_gradient)
        (others, shares), logits = mixup, wide(logits)
        first, second = (F.cross_entropy(logits, each, reduction="none", ignore_index=IGNORED) for each in (targets, others))
        return ((1 - shares) * first + shares * second).sum()

    def _training_loss(
        self,
        logits: Float[Tensor, "N V"],
        targets: Int[Tensor, " N"],
        teacher_logits: Float[Tensor, "N V"] | None,
        mixup: tuple[Int[Tensor, " N"], Float[Tensor, " N"]] | None,
    ) -> Float[Tensor, ""]:
        if mixup is None:
            minimized = self._costs(logits, targets).sum()
        else:
            others, shares = mixup
            minimized = ((1 - shares) * self._costs(logits, targets) + shares * self._costs(logits, others)).sum()
        if self.teacher:
            assert teacher_logits is not None, "the logits of the teacher are missing"
            distilled = self.teacher.loss(logits, teacher_logits, targets != IGNORED)
            minimized = (1 - self.teacher.weight) * minimized + self.teacher.weight * distilled
        if self.z_loss:
            squares = logits.logsumexp(dim=-1).square()
            minimized = minimized + self.z_loss * squares.masked_fill(targets == IGNORED, 0).sum()
        return minimized

    def _costs(self, logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """The loss of each target."""
        if self.squared_error:
            costs = _squared_error(logits, targets)
        else:
            smoothing = self.label_smoothing
            costs = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
        if not self.class_weights:
            return costs
        return costs * logits.new_tensor(self.class_weights)[targets.clamp(min=0)]


def class_weights(labels: Integer[np.ndarray, " N"]) -> tuple[float, ...]:
    """The weight of an example of each class: n / (number of classes that occur * examples of the class).

    All classes together then have the same weight, and an example weighs 1 on average.

    Source: King and Zeng, "Logistic Regression in Rare Events Data", 2001.
    """
    counts = np.bincount(labels)
    return tuple(float(weight) for weight in len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))


def _squared_error(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    one_hot = F.one_hot(targets.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    return (logits - one_hot).square().mean(dim=-1).masked_fill(targets == IGNORED, 0)


PLAIN = Objective()

ChunkLoss = Callable[[Float[Tensor, "n D"], slice], Loss]  # (some of the features, their rows) -> their loss


def in_chunks(chunk_loss: ChunkLoss, features: Float[Tensor, "N D"], size: int, model: nn.Module) -> Loss:
    """The loss of all features in chunks of `size`: the logits of a chunk are computed, used and freed before the next.

    The gradient of a chunk is computed with it, while its logits exist, and `backward` passes it on; nothing is computed
    twice.

    Source: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2024 (never holding the logits); Hsu et al.,
    "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024 (the gradient in the forward pass).
    """
    chunks = [slice(first, first + size) for first in range(0, len(features), size)]
    if not torch.is_grad_enabled():
        return _sum([chunk_loss(features[rows], rows) for rows in chunks])
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    losses: list[Loss] = []
    minimized: Tensor = _ChunkedLoss.apply(chunk_loss, chunks, losses, features, *weights)  # type: ignore[no-untyped-call]
    return replace(_sum(losses), objective=minimized)


def _sum(losses: list[Loss]) -> Loss:
    total = torch.stack([loss.total for loss in losses]).sum()
    count = torch.stack([loss.count for loss in losses]).sum()
    correct = [loss.correct for loss in losses if loss.correct is not None]
    return Loss(total, count, torch.stack(correct).sum() if correct else None)


class _ChunkedLoss(torch.autograd.Function):
    """Sums the minimized losses of the chunks, and computes their gradients in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, chunk_loss: ChunkLoss, chunks: list[slice], losses: list[Loss], features: Tensor, *weights: nn.Parameter
    ) -> Tensor:
        feature_gradients = torch.zeros_like(features)
        weight_gradients: list[Tensor | None] = [None] * len(weights)
        minimized = features.new_zeros((), dtype=torch.promote_types(features.dtype, torch.float32))
        for rows in chunks:
            with torch.enable_grad():
                part = features[rows].detach().requires_grad_()
                loss = chunk_loss(part, rows)
                # Only weights of the head get a gradient; which these are is up to the network.
                feature_gradients[rows], *found = torch.autograd.grad(loss.minimized, (part, *weights), allow_unused=True)
            weight_gradients = [_add(one, other) for one, other in zip(weight_gradients, found, strict=True)]
            minimized += loss.minimized.detach()
            losses.append(replace(loss, total=loss.total.detach(), objective=None))
        ctx.save_for_backward(feature_gradients, *weight_gradients)
        return minimized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, None, None, *(saved if saved is None else saved * gradient.to(saved.dtype) for saved in ctx.saved_tensors)


def _add(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one.add_(other)
