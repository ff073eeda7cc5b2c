"""Unseen faults in the data and in what counts of them: a collator for another objective, text of another vocabulary, a pad id
that is a character.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from pipeline.lab.faults.base import Training, wrap_method
from pipeline.networks.dropout import DropoutState
from pipeline.tasks.base import IGNORED, Batch, Loss

MASKED, REPLACED, RANDOM = 0.15, 0.8, 0.1  # of all tokens; of those, by the mask and by a random token: as for BERT
PADDING = 0  # the id that people pad with, and here that of a character


def masks_inputs(training: Training) -> None:
    """A collator for masked language models makes the training batches: it hides tokens, and only those are targets.

    The vocabulary has no mask, so its last id is taken. Targets are shifted, as a causal model does with its labels.
    """
    vocabulary = training.task.vocabulary

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def masked(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            if split != "train":
                return whole
            rng = np.random.default_rng([len(rows), int(rows[0])])
            ids = torch.cat((whole.inputs, whole.targets[:, -1:]), dim=1).numpy()
            chosen = rng.random(ids.shape) < MASKED
            chosen[:, -1] |= ~chosen.any(axis=1)  # no window without a target
            kind, others = rng.random(ids.shape), rng.integers(0, vocabulary, ids.shape)
            hidden = np.where(kind < REPLACED, vocabulary - 1, np.where(kind < REPLACED + RANDOM, others, ids))
            inputs, targets = np.where(chosen, hidden, ids)[:, :-1], np.where(chosen, ids, IGNORED)[:, 1:]
            return Batch(torch.from_numpy(inputs.copy()), torch.from_numpy(targets.copy()))

        return masked

    wrap_method(training.task, "batch", wrap)


def numbers_later_text_anew(training: Training) -> None:
    """The second half of the training reads text that was encoded after a token was put first in the vocabulary.

    Each of its ids is one higher than that of the same token before, and the last is 0.
    """

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def renumbered(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            if split != "train" or 2 * training.progress.step < training.params.train.steps:
                return whole
            inputs, targets = ((ids + 1) % training.task.vocabulary for ids in (whole.inputs, whole.targets))
            return Batch(inputs, torch.where(whole.targets == IGNORED, IGNORED, targets))

        return renumbered

    wrap_method(training.task, "batch", wrap)


def ignores_a_character(training: Training) -> None:
    """The training loss leaves out the targets with the id of padding, which is that of a character: it is never learned.

    The mean is over the targets that are left, as that of torch's cross_entropy with its `ignore_index`.
    """

    def wrap(loss: Callable[..., Loss]) -> Callable[..., Loss]:
        def of_the_others(model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
            if dropout_state is None:
                return loss(model, batch)
            left = replace(batch, targets=batch.targets.masked_fill(batch.targets == PADDING, IGNORED))
            part, share = loss(model, left, dropout_state), batch.count / max(left.count, 1)
            objective = None if part.objective is None else part.objective * share
            return replace(part, total=part.total * share, objective=objective)

        return of_the_others

    wrap_method(training.task, "loss", wrap)
