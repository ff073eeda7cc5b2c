"""Faults in the optimization: gradients, optimizer, micro-batches and float16."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.engine.runtime.runtime import Scaler
from pipeline.lab.faults.base import Training, wrap_method
from pipeline.networks.dropout import DropoutState
from pipeline.tasks.base import IGNORED, Batch, Loss


def keeps_gradients(training: Training) -> None:
    """Gradients are added to those of all earlier steps: optimizer.zero_grad() is missing."""
    before: dict[nn.Parameter, Tensor] = {}

    def wrap(unscale: Callable[[nn.Module], bool]) -> Callable[[nn.Module], bool]:
        def unscale_the_sum(model: nn.Module) -> bool:
            for weight in model.parameters():
                if weight.grad is not None:
                    weight.grad += before.get(weight, 0.0)
                    before[weight] = weight.grad.clone()
            return unscale(model)

        return unscale_the_sum

    wrap_method(training.progress.scaler, "unscale", wrap)


def freezes_a_block(training: Training) -> None:
    """The weights of the middle block were not passed to the optimizer."""
    frozen = list(training.blocks[len(training.blocks) // 2].parameters())

    def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
        def step_without(lr: float) -> None:
            before = [weight.detach().clone() for weight in frozen]
            step(lr)
            with torch.no_grad():
                for weight, value in zip(frozen, before, strict=True):
                    weight.copy_(value)

        return step_without

    wrap_method(training.progress.optimizer, "step", wrap)


def averages_means(training: Training) -> None:
    """Examples are of unequal length, and a step takes the mean of the means of its micro-batches.

    In the first micro-batch of each batch, only the first few targets of an example count.
    """
    short, parts, task = max(training.task.length // 16, 1), training.params.train.accumulation_steps, training.task
    counts = [0]

    def shortened(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def some_targets(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            if split == "train":
                whole.targets[: len(rows) // parts, short:] = IGNORED
                counts[0] = whole.count
            return whole

        return some_targets

    def unweighed(loss: Callable[..., Loss]) -> Callable[..., Loss]:
        def mean_of_means(model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
            part = loss(model, batch, dropout_state)
            if dropout_state is None:
                return part
            return Loss(part.total / part.count * counts[0] / parts, part.count, part.correct)  # the loop divides by the count

        return mean_of_means

    wrap_method(task, "batch", shortened)
    wrap_method(task, "loss", unweighed)


class NoScaler(Scaler):
    """No loss scaling: gradients are as small as the mean over a batch makes them, here a batch of half a million tokens.

    The small batches of the benchmark would hide the fault. So the loss is made smaller before the backward pass, and the
    gradients are made larger by as much after it, when those that float16 cannot represent have become 0.
    """

    LARGE = 2**19  # tokens

    def __init__(self, tokens: int) -> None:
        super().__init__(enabled=False)
        self.scale = tokens / self.LARGE

    def unscale(self, model: nn.Module) -> bool:
        torch._foreach_mul_([weight.grad for weight in model.parameters() if weight.grad is not None], 1 / self.scale)
        return True


def drops_the_scaler(training: Training) -> None:
    """float16 gradients are computed without scaling the loss, so that small ones become 0."""
    training.progress.scaler = NoScaler(training.params.train.batch_size * training.task.length)
