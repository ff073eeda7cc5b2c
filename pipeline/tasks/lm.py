"""Language modelling: say the token that follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.artifacts import memory_mapped, tokens_of
from pipeline.networks.dropout import Noise
from pipeline.networks.transformer import GPT
from pipeline.params import Model, Refusal
from pipeline.tasks.base import IGNORED, Batch, Loss
from pipeline.tasks.objective import PLAIN, Objective, in_chunks


class LanguageModelling:
    """Windows of a flat stream of ids, each id to be told from those before it in its window.

    In training a window may start at any token. A held-out split is covered by windows that do not overlap, so that
    every token but the first is predicted once; the last window may be shorter.

    Args:
        tokens: the folder that the stage tokenize leaves.
        model: the knobs of the network, its `length` among them.
        vocabulary: how many different ids there are.
        objective: what training follows.
    """

    def __init__(self, tokens: Path, model: Model, vocabulary: int, objective: Objective = PLAIN) -> None:
        self.tokens, self.model, self.vocabulary, self.objective = tokens, model, vocabulary, objective
        self._opened: dict[str, np.ndarray] = {}

    def ids(self, split: str) -> np.ndarray:
        """The stream of a split, memory-mapped when it is first wanted: who only samples needs none.

        Raises:
            Refusal: it is missing, damaged, or shorter than the context.
        """
        if split not in self._opened:
            ids, length = memory_mapped(tokens_of(self.tokens, split)), self.model.length
            if len(ids) <= length:
                raise Refusal(
                    f"model.length: {length} is too long for the split {split}, which has {len(ids)} tokens; turn it down"
                )
            self._opened[split] = ids
        return self._opened[split]

    def build(self, generator: torch.Generator) -> GPT:
        return GPT(self.model, self.vocabulary, generator)

    def size(self, split: str) -> int:
        predicted = len(self.ids(split)) - 1
        return predicted - self.model.length + 1 if split == "train" else -(-predicted // self.model.length)

    def batch(self, split: str, rows: np.ndarray) -> Batch:
        ids, length = self.ids(split), self.model.length
        starts = rows if split == "train" else rows * length
        places = starts[:, None] + np.arange(length + 1)
        windows = torch.from_numpy(ids[np.minimum(places, len(ids) - 1)].astype(np.int64))
        targets = windows[:, 1:].clone()
        targets[torch.from_numpy(places[:, 1:] >= len(ids))] = IGNORED
        return Batch(windows[:, :-1], targets)

    def loss(self, model: nn.Module, batch: Batch, noise: Noise | None = None) -> Loss:
        targets, training = batch.targets.flatten(), noise is not None
        if not self.objective.loss_chunk:
            return self.objective.loss(model(batch.inputs, noise).flatten(0, 1), targets, training)
        assert isinstance(model, GPT), "the logits of features are taken in pieces"

        def piece(features: Tensor, rows: slice) -> Loss:
            return self.objective.loss(model.logits(features), targets[rows], training)

        return in_chunks(piece, model.features(batch.inputs, noise).flatten(0, 1), self.objective.loss_chunk, model)
