"""Predictions of a classifier, and the features behind them, for some hundred held-out examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.inference.trained import TrainedModel, cached
from pipeline.tasks.classify import Classification
from pipeline.tasks.vision import Vision

EXAMPLES = 500  # of the validation split, spread evenly
BATCH_SIZE = 64


@dataclass(frozen=True)
class HeldOut:
    """Examples of the validation split with their predictions.

    Attributes:
        rows: their indices in the split.
        features: the input of the head.
        predicted: the likeliest class of each.
        losses: the cross-entropy of each, in nats.
    """

    rows: Int[np.ndarray, " N"]
    targets: Int[Tensor, " N"]
    features: Float[Tensor, "N D"]
    predicted: Int[Tensor, " N"]
    losses: Float[Tensor, " N"]

    def worst(self, most: int) -> Int[np.ndarray, " n"]:
        """Positions of the mistakes in `rows`, the largest loss first."""
        losses = np.where((self.predicted != self.targets).numpy(), self.losses.nan_to_num(posinf=torch.inf).numpy(), -1.0)
        order = np.argsort(-losses, kind="stable")
        return order[losses[order] >= 0][:most]


@cached
def held_out(trained: TrainedModel) -> HeldOut:
    """The forward pass of a classifier over held-out examples."""
    assert not trained.is_language_model, "a language model predicts tokens, not whole examples"
    size = trained.task.size("validation")
    count = min(EXAMPLES, size)
    rows = np.arange(count) * size // count
    features, logits, targets = list[Tensor](), list[Tensor](), list[Tensor]()

    def record_features(head: nn.Module, given: tuple[Any, ...]) -> None:
        features.append(given[0].float().cpu())

    head = trained.model.head
    assert isinstance(head, nn.Module)
    hook = head.register_forward_pre_hook(record_features)
    try:
        for some in np.array_split(rows, -(-count // BATCH_SIZE)):
            batch = trained.runtime.batch_to_device(trained.task.batch("validation", some))
            with torch.no_grad(), trained.runtime.autocast():
                logits.append(trained.model(batch.inputs).float().cpu())
            targets.append(batch.targets.cpu())
    finally:
        hook.remove()
    predictions, labels = torch.cat(logits), torch.cat(targets)
    losses = F.cross_entropy(predictions, labels, reduction="none")
    return HeldOut(rows, labels, torch.cat(features), predictions.argmax(dim=1), losses)


def classes_of(trained: TrainedModel) -> tuple[str, ...]:
    """The names of the classes."""
    assert isinstance(trained.task, Classification | Vision), "only a classifier has classes"
    return trained.task.shape.classes
