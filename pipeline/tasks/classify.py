"""Classification of texts: of which class is each?"""

from __future__ import annotations

import math
from copy import copy
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer
from torch import nn

from pipeline.arrays import check_below, memory_mapped, parts_in
from pipeline.artifacts.paths import labels_of, meta_of, tokens_of
from pipeline.artifacts.reading import read_json
from pipeline.networks.classifier import PADDING, Classifier
from pipeline.networks.dropout import DropoutState
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.base import Batch, Loss, Parts, Shape, Unit
from pipeline.tasks.objective import PLAIN, Objective

LENGTH_STEP = 8  # a batch is as long as its longest text, in steps of so many tokens, so that shapes seldom change


def padded_length(size: int, room: int) -> int:
    """The places of a batch whose longest text has so many tokens, `room` at most."""
    return min(-(-size // LENGTH_STEP) * LENGTH_STEP, room)


class Classification:
    """Texts of ids, each with a class. Of a text longer than the context the beginning is read.

    Args:
        tokens: the folder that the stage tokenize leaves.
        model: the knobs of the network, its `context_length` among them.
        shape: of what is in that folder.
        objective: what training follows.
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
        """(all ids of a split, where each text begins with the end of the last, the label of each), read when first wanted.

        Raises:
            UserError: the files do not belong together.
        """
        if split not in self._opened:
            ids, labels = memory_mapped(tokens_of(self.tokens, split)), memory_mapped(labels_of(self.tokens, split))
            end = read_json(meta_of(self.tokens), "end")["end"]
            ends = np.flatnonzero(ids == end) + 1
            if len(ends) != len(labels):
                raise UserError(
                    f"{labels_of(self.tokens, split)}: {len(labels)} labels for {len(ends)} texts; `dvc repro` makes both anew"
                )
            check_below(tokens_of(self.tokens, split), ids, self.shape.vocabulary, "ids")
            check_below(labels_of(self.tokens, split), labels, len(self.shape.classes), "classes")
            self._opened[split] = ids, np.concatenate([[0], ends]), labels
        return self._opened[split]

    def parts(self) -> Parts:
        """The texts; each as hard as the piece that it begins with."""
        if self._parts is None:
            ids, bounds, _ = self.texts("train")
            listed = parts_in(self.tokens, len(ids))
            begins = listed[np.searchsorted(listed["end"], bounds[:-1], side="right")]
            self._parts = Parts(np.minimum(np.diff(bounds), self.length), begins["difficulty"], begins["source"])
        return self._parts

    def among(self, chosen: Bool[np.ndarray, " P"]) -> Classification:
        assert self._chosen is None, "parts are chosen of the whole split"
        other = copy(self)
        other._chosen, other._parts = np.flatnonzero(chosen), self.parts().among(chosen)
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
        room = length or self.length
        starts, sizes = bounds[rows], np.minimum(bounds[rows + 1] - bounds[rows], room)
        places = np.arange(padded_length(int(sizes.max()), room))
        inside = places < sizes[:, None]
        windows = np.where(inside, ids[np.where(inside, starts[:, None] + places, 0)].astype(np.int64), PADDING)
        return Batch(torch.from_numpy(windows), torch.from_numpy(labels[rows].astype(np.int64)))

    def varied(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return batch

    def loss(self, model: nn.Module, batch: Batch, noise: DropoutState | None = None) -> Loss:
        training, teacher = noise is not None, self.objective.teacher
        taught = teacher.says(batch.inputs) if teacher and training else None
        return self.objective.loss(model(batch.inputs, noise), batch.targets, training, taught)
