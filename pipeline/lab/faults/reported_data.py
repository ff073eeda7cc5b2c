"""Faults in the data and its use: a second shift, padding that counts, windows in order, ids of another vocabulary.

Four of the ten faults of the frozen test of 2026-12-01 (docs/doctor.md), when the doctor had never seen them. They are in its
list since, and what it says of them now is no test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pipeline.lab.faults.base import Training, wrap_method
from pipeline.tasks.base import IGNORED, Batch

PADDING = 0  # the id that people pad with, and here that of a character


def shifts_twice(training: Training) -> None:
    """The loader shifts the targets, and the loss shifts them again: each position predicts the token after the next."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def shifted(*args: Any, **kwargs: Any) -> Batch:
            whole = batch(*args, **kwargs)
            last = torch.full_like(whole.targets[:, :1], IGNORED)
            return Batch(whole.inputs, torch.cat((whole.targets[:, 1:], last), dim=1))

        return shifted

    wrap_method(training.task, "batch", wrap)


def counts_padding(training: Training) -> None:
    """Training windows hold a short text and then padding, whose targets count as any other.

    The texts have from 1/8 to 1/2 of the tokens of a window, drawn uniformly.
    """

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def padded(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            if split != "train":
                return whole
            ids = torch.cat((whole.inputs, whole.targets[:, -1:]), dim=1)
            tokens = ids.shape[1]
            ends = np.random.default_rng([len(rows), int(rows[0])]).integers(tokens // 8, tokens // 2 + 1, len(rows))
            ids[torch.arange(tokens) >= torch.from_numpy(ends)[:, None]] = PADDING
            return Batch(ids[:, :-1], ids[:, 1:].clone())

        return padded

    wrap_method(training.task, "batch", wrap)


def reads_in_order(training: Training) -> None:
    """The windows begin at every token of the text and are not shuffled: those of a batch differ by one token each."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def in_order(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            if split == "train":
                rows = (training.progress.step * len(rows) + np.arange(len(rows))) % training.task.size("train")
            return batch(split, rows, length)

        return in_order

    wrap_method(training.task, "batch", wrap)


def numbers_validation_anew(training: Training) -> None:
    """The ids of the validation split are those of a vocabulary in another order."""
    ids = training.task.ids("validation")
    order = np.random.default_rng(0).permutation(training.task.vocabulary).astype(ids.dtype)
    training.task._opened["validation"] = order[ids]
