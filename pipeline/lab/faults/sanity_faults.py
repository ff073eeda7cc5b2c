"""Faults for studies alone, which the doctor need not name: one that only the checks before the first step show, a control."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pipeline.lab.faults.base import Fault, Training, wrap_method
from pipeline.tasks.base import Batch


def mixes_the_batch(training: Training) -> None:
    """After the first block the mean over the batch is subtracted, as a norm over the wrong axis does."""

    def less_the_mean(module: object, inputs: object, output: Tensor) -> Tensor:
        return output - output.mean(dim=0)

    training.blocks[0].register_forward_hook(less_the_mean)


def shuffles_the_order(training: Training) -> None:
    """The tokens of each training window are in a random order: what occurs together stays, what follows what is lost."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def shuffled(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            if split != "train":
                return whole
            ids = torch.cat((whole.inputs, whole.targets[:, -1:]), dim=1)
            keys = np.random.default_rng([len(rows), int(rows[0])]).random(ids.shape)
            ids = ids.gather(1, torch.from_numpy(keys.argsort(axis=1)))
            return Batch(ids[:, :-1], ids[:, 1:].clone())

        return shuffled

    wrap_method(training.task, "batch", wrap)


SANITY_FAULTS: dict[str, Fault] = {
    "examples mixed": Fault("the mean over the examples of a batch is subtracted", "", inject=mixes_the_batch),
    "order shuffled": Fault("the tokens of each training window are shuffled", "", inject=shuffles_the_order),
}
