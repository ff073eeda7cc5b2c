"""Unseen faults in the optimization: rates of fine-tuning, gradients of the last micro-batch alone, a transposed checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from pipeline.lab.faults.base import Training, wrap_method
from pipeline.networks.dropout import DropoutState
from pipeline.tasks.base import Batch, Loss

DECAY = 0.5  # of the rate, per layer below the head


def slows_lower_layers(training: Training) -> None:
    """Each block moves half as far as the one above it, and the embeddings half as far as the first: rates of fine-tuning."""
    depth = len(training.blocks)

    def share(name: str) -> float:
        match name.split("."):
            case ["blocks", index, *_]:
                return DECAY ** (depth - int(index))
            case ["head" | "final_norm", *_]:
                return 1.0
        return DECAY ** (depth + 1)

    def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
        def step_by_layer(lr: float) -> None:
            before = {name: weight.detach().clone() for name, weight in training.network.named_parameters()}
            step(lr)
            with torch.no_grad():
                for name, weight in training.network.named_parameters():
                    weight.copy_(before[name].lerp(weight, share(name)))

        return step_by_layer

    wrap_method(training.progress.optimizer, "step", wrap)


def zeroes_between_parts(training: Training) -> None:
    """Gradients are zeroed before each micro-batch instead of each step, so that those of the last micro-batch are left."""

    def wrap(loss: Callable[..., Loss]) -> Callable[..., Loss]:
        def of_the_last(model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
            if dropout_state is not None:
                for weight in model.parameters():
                    weight.grad = None
            return loss(model, batch, dropout_state)

        return of_the_last

    wrap_method(training.task, "loss", wrap)


def transposes_on_resume(training: Training) -> None:
    """After three quarters of the training a resume reads a converted checkpoint, in which square matrices are transposed.

    Its format has matrices [inputs, outputs]; the others were turned back, because their shapes did not fit.
    """
    resumed = 3 * training.params.train.steps // 4
    layers = [module for block in training.blocks for module in block.modules() if isinstance(module, nn.Linear)]
    square = [layer.weight for layer in layers if layer.in_features == layer.out_features]

    def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
        def step_and_resume(lr: float) -> None:
            step(lr)
            if training.progress.step + 1 == resumed:
                with torch.no_grad():
                    for weight in square:
                        weight.copy_(weight.T.clone())

        return step_and_resume

    wrap_method(training.progress.optimizer, "step", wrap)
