"""What does the model say of held-out examples, and from which features? One pass over some hundreds of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.inference.trained import Subject, once
from pipeline.tasks.classify import Classification
from pipeline.tasks.vision import Vision

EXAMPLES = 500  # of the validation split, spread evenly
TOGETHER = 64  # in a pass


@dataclass(frozen=True)
class HeldOut:
    """Examples of the validation split with what was said of them.

    Attributes:
        rows: their numbers in the split.
        features: what the head reads.
        said: the class that was said of each.
        losses: nats.
    """

    rows: Int[np.ndarray, " N"]
    targets: Int[Tensor, " N"]
    features: Float[Tensor, "N D"]
    said: Int[Tensor, " N"]
    losses: Float[Tensor, " N"]

    def worst(self, most: int) -> Int[np.ndarray, " n"]:
        """Places of the mistakes, the dearest first."""
        losses = np.where((self.said != self.targets).numpy(), self.losses.nan_to_num(posinf=torch.inf).numpy(), -1.0)
        order = np.argsort(-losses, kind="stable")
        return order[losses[order] >= 0][:most]


@once
def held_out(subject: Subject) -> HeldOut:
    """The pass over held-out examples of a classifier."""
    assert not subject.writes, "of what says the next token, places and not examples are looked at"
    size = subject.task.size("validation")
    count = min(EXAMPLES, size)
    rows = np.arange(count) * size // count
    features, logits, targets = list[Tensor](), list[Tensor](), list[Tensor]()

    def enters(head: nn.Module, given: tuple[Any, ...]) -> None:
        features.append(given[0].float().cpu())

    head = subject.model.head
    assert isinstance(head, nn.Module)
    hook = head.register_forward_pre_hook(enters)
    try:
        for some in np.array_split(rows, -(-count // TOGETHER)):
            batch = subject.runtime.batch_to_device(subject.task.batch("validation", some))
            with torch.no_grad(), subject.runtime.autocast():
                logits.append(subject.model(batch.inputs).float().cpu())
            targets.append(batch.targets.cpu())
    finally:
        hook.remove()
    said, told = torch.cat(logits), torch.cat(targets)
    losses = F.cross_entropy(said, told, reduction="none")
    return HeldOut(rows, told, torch.cat(features), said.argmax(dim=1), losses)


def classes_of(subject: Subject) -> tuple[str, ...]:
    """The names of the classes that a network tells."""
    assert isinstance(subject.task, Classification | Vision), "who tells classes names them"
    return subject.task.shape.classes
