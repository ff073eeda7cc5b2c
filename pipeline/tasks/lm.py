"""The language-modelling task: predict the next token."""

from __future__ import annotations

import math
from copy import copy
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from pipeline.arrays import check_below, load_parts, memory_mapped
from pipeline.artifacts.paths import tokens_of
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.base import IGNORED, Batch, Loss, Parts, Shape, Unit
from pipeline.tasks.objective import PLAIN, Objective, Teacher, in_chunks


class SelectedParts:
    """Some parts of a token stream, concatenated.

    Args:
        sizes: tokens of every part of the stream.
        chosen: which parts to keep.
    """

    def __init__(self, sizes: Int[np.ndarray, " P"], chosen: Bool[np.ndarray, " P"]) -> None:
        self._ends = np.cumsum(sizes[chosen])
        self._shifts = np.cumsum(sizes)[chosen] - self._ends
        self.tokens = int(self._ends[-1])

    def positions(self, positions: Int[np.ndarray, "B T"]) -> Int[np.ndarray, "B T"]:
        """Positions in the whole stream, from positions in the selected parts."""
        return positions + self._shifts[np.searchsorted(self._ends, positions, side="right")]


class LanguageModelling:
    """Windows of a stream of ids, each id predicted from those before it in its window.

    Training windows may start at any token, of the whole split or of some of its parts. A held-out split is covered by
    windows that do not overlap, so that every token but the first is predicted once; the last window may be shorter.

    Args:
        tokens: the folder that the stage tokenize writes.
        model: the knobs of the network, its `context_length` among them.
        shape: of the data in that folder.
        objective: what training minimizes.
    """

    unit: ClassVar[Unit] = "tokens"

    def __init__(self, tokens: Path, model: Model, shape: Shape, objective: Objective = PLAIN) -> None:
        self.tokens, self.model, self.vocabulary, self.objective = tokens, model, shape.vocabulary, objective
        self._opened: dict[str, np.ndarray] = {}
        self._parts: Parts | None = None
        self._selected: SelectedParts | None = None

    @property
    def length(self) -> int:
        return self.model.context_length

    @property
    def uniform_loss(self) -> float:
        return math.log(self.vocabulary)

    def parts(self) -> Parts:
        if self._parts is None:
            listed = load_parts(self.tokens, len(self.ids("train")))
            self._parts = Parts(np.diff(listed["end"], prepend=0), listed["difficulty"], listed["source"])
        return self._parts

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> LanguageModelling:
        assert self._selected is None, "a subset is taken of the whole split"
        other = copy(self)
        other._selected, other._parts = SelectedParts(self.parts().sizes, chosen), self.parts().subset(chosen)
        return other

    def ids(self, split: str) -> np.ndarray:
        """The ids of a split, memory-mapped at first use.

        Raises:
            UserError: it is missing, damaged, or shorter than the context.
        """
        if split not in self._opened:
            ids, length = memory_mapped(tokens_of(self.tokens, split)), self.model.context_length
            if len(ids) <= length:
                raise UserError(
                    f"model.context_length: {length} is too long for the split {split}, which has {len(ids)} tokens;"
                    f" use at most {len(ids) - 1}"
                )
            check_below(tokens_of(self.tokens, split), ids, self.vocabulary, "ids")
            self._opened[split] = ids
        return self._opened[split]

    def build(self, generator: torch.Generator) -> GPT:
        return GPT(self.model, self.vocabulary, generator)

    def size(self, split: str) -> int:
        predicted = self._count(split) - 1
        return predicted - self.length + 1 if split == "train" else -(-predicted // self.length)

    def _count(self, split: str) -> int:
        ids = self.ids(split)
        return self._selected.tokens if self._selected and split == "train" else len(ids)

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        assert length is None or split == "train", "held-out windows are whole"
        starts = rows if split == "train" else rows * self.length
        positions, count = starts[:, None] + np.arange((length or self.length) + 1), self._count(split)
        inside = np.minimum(positions, count - 1)
        if self._selected and split == "train":
            inside = self._selected.positions(inside)
        windows = torch.from_numpy(self.ids(split)[inside].astype(np.int64))
        targets = windows[:, 1:].clone()
        targets[torch.from_numpy(positions[:, 1:] >= count)] = IGNORED
        return Batch(windows[:, :-1], targets)

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return batch

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        targets, training = batch.targets.flatten(), dropout_state is not None
        teacher = self.objective.teacher if training else None
        taught = (teacher, teacher.features(batch.inputs)) if teacher else None
        if not self.objective.loss_chunk:
            return self._of_logits(model(batch.inputs, dropout_state).flatten(0, 1), targets, training, taught, slice(None))
        assert isinstance(model, GPT), "logits in chunks need a GPT"

        def chunk_loss(features: Tensor, rows: slice) -> Loss:
            return self._of_logits(model.logits(features), targets[rows], training, taught, rows)

        return in_chunks(
            chunk_loss, model.features(batch.inputs, dropout_state).flatten(0, 1), self.objective.loss_chunk, model
        )

    def _of_logits(
        self, logits: Tensor, targets: Tensor, training: bool, taught: tuple[Teacher, Tensor] | None, rows: slice
    ) -> Loss:
        """The loss of the logits in some rows, with the teacher's logits for those rows.

        Args:
            taught: the teacher, and its features for all rows.
        """
        teacher_logits = taught[0].logits(taught[1][rows]) if taught else None
        return self.objective.loss(logits, targets, training, teacher_logits)
