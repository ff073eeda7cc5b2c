"""Faults in the data: targets that are not shifted or not theirs, noise, repetition, and validation text of the wrong kind."""

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


def shortens_validation(training: Training) -> None:
    """The validation split has 200 tokens, of a short text half of it."""
    ids = training.task.ids("validation")
    training.task._opened["validation"] = ids[: min(200, len(ids) // 2)]


def repeats_text(training: Training) -> None:
    """The training split is its first 2,000 tokens (of a short text a quarter of it), again and again."""
    ids = training.task.ids("train")
    training.task._opened["train"] = np.resize(ids[: min(2000, len(ids) // 4)], len(ids))


def damages_text(training: Training) -> None:
    """Three in ten tokens of the training split are drawn at random."""
    rng, ids = np.random.default_rng(0), np.array(training.task.ids("train"))
    damaged = rng.random(len(ids)) < 0.3
    ids[damaged] = rng.choice(np.unique(ids), damaged.sum())
    training.task._opened["train"] = ids
