"""Faults in the data: targets that are not shifted or not theirs, and validation text from the training split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pipeline.lab.faults.base import Training, wrap_method
from pipeline.tasks.base import Batch


def targets_its_inputs(training: Training) -> None:
    """The targets are not shifted: each is the input token itself."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def unshifted(*args: Any, **kwargs: Any) -> Batch:
            inputs = batch(*args, **kwargs).inputs
            return Batch(inputs, inputs.clone())

        return unshifted

    wrap_method(training.task, "batch", wrap)


def shuffles_targets(training: Training) -> None:
    """Inputs and targets were shuffled separately: each target is that of another position in the batch."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def shuffled(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            order = np.random.default_rng([len(rows), int(rows[0])]).permutation(whole.targets.numel())
            return Batch(whole.inputs, whole.targets.flatten()[torch.from_numpy(order)].view_as(whole.targets))

        return shuffled

    wrap_method(training.task, "batch", wrap)


def validates_on_training_text(training: Training) -> None:
    """The validation split is a piece of the training split."""
    validation = training.task.ids("validation")
    training.task._opened["validation"] = training.task.ids("train")[: len(validation)]
