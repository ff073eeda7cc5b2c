"""The classification task for texts."""

from __future__ import annotations

import math
from copy import copy
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer
from torch import nn

from pipeline.arrays import check_below, load_parts, memory_mapped
from pipeline.artifacts.paths import labels_of, meta_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.networks.classifier import PADDING, Classifier
from pipeline.networks.dropout import DropoutState
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.base import Batch, Loss, Parts, Shape, Unit
from pipeline.tasks.objective import PLAIN, Objective

LENGTH_STEP = 8  # tokens: batches are as long as their longest text, rounded up to this, so that shapes seldom change


def padded_length(size: int, limit: int) -> int:
    """The length of a batch whose longest text has `size` tokens: at most `limit`."""
    return min(-(-size // LENGTH_STEP) * LENGTH_STEP, limit)


class Classification:
    """Texts with a class each; texts longer than the context are truncated.

    Args:
        tokens: the folder that the stage tokenize writes.
        model: the knobs of the network, its `context_length` among them.
        shape: of the data in that folder.
        objective: what training minimizes.
    """

    unit: ClassVar[Unit] = "examples"

    def __init__(self, tokens: Path, model: Model, shape: Shape, objective: Objective = PLAIN) -> None:
        self.tokens, self.model, self.shape, self.objective = tokens, model, shape, objective
        self._opened: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._parts: Parts | None = None
        self._chosen: np.ndarray | None = None

    @property
    def length(self) -> int:
        return self.model.context_length

    @property
    def uniform_loss(self) -> float:
        return math.log(len(self.shape.classes))

    def texts(self, split: str) -> tuple[np.ndarray, Int[np.ndarray, " _"], Integer[np.ndarray, " N"]]:
        """(all ids of a split, the offsets of its texts and the end of the last, the labels), memory-mapped at first use.

        Raises:
            UserError: the files do not belong together.
        """
        if split not in self._opened:
            ids, labels = memory_mapped(tokens_of(self.tokens, split)), memory_mapped(labels_of(self.tokens, split))
            end = read_json(meta_of(self.tokens), "end")["end"]
            ends = np.flatnonzero(ids == end) + 1
            if len(ends) != len(labels):
                raise UserError(
                    f"{labels_of(self.tokens, split)}: {len(labels)} labels for {len(ends)} texts;"
                    " run `dvc repro` to create both again"
                )
            check_below(tokens_of(self.tokens, split), ids, self.shape.vocabulary, "ids")
            check_below(labels_of(self.tokens, split), labels, len(self.shape.classes), "classes")
            self._opened[split] = ids, np.concatenate([[0], ends]), labels
        return self._opened[split]

    def parts(self) -> Parts:
        """The texts, each with the difficulty of its first part."""
        if self._parts is None:
            ids, bounds, _ = self.texts("train")
            listed = load_parts(self.tokens, len(ids))
            begins = listed[np.searchsorted(listed["end"], bounds[:-1], side="right")]
            self._parts = Parts(np.minimum(np.diff(bounds), self.length), begins["difficulty"], begins["source"])
        return self._parts

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Classification:
        assert self._chosen is None, "a subset is taken of the whole split"
        other = copy(self)
        other._chosen, other._parts = np.flatnonzero(chosen), self.parts().subset(chosen)
        return other

    def build(self, generator: torch.Generator) -> Classifier:
        return Classifier(self.model, self.shape.vocabulary, len(self.shape.classes), generator)

    def size(self, split: str) -> int:
        if self._chosen is not None and split == "train":
            return len(self._chosen)
        return len(self.texts(split)[2])

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        ids, bounds, labels = self.texts(split)
        if self._chosen is not None and split == "train":
            rows = self._chosen[rows]
        limit = length or self.length
        starts, sizes = bounds[rows], np.minimum(bounds[rows + 1] - bounds[rows], limit)
        positions = np.arange(padded_length(int(sizes.max()), limit))
        inside = positions < sizes[:, None]
        windows = np.where(inside, ids[np.where(inside, starts[:, None] + positions, 0)].astype(np.int64), PADDING)
        return Batch(torch.from_numpy(windows), torch.from_numpy(labels[rows].astype(np.int64)))

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return batch

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        training, teacher = dropout_state is not None, self.objective.teacher
        teacher_logits = teacher.class_logits(batch.inputs) if teacher and training else None
        return self.objective.loss(model(batch.inputs, dropout_state), batch.targets, training, teacher_logits)
