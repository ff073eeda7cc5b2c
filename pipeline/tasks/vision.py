"""The vision task: classification of images."""

from __future__ import annotations

import math
from copy import copy
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.arrays import check_below, memory_mapped
from pipeline.artifacts.paths import images_of, labels_of, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.networks.dropout import DropoutState
from pipeline.networks.images import NETWORKS
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.augmentation import NO_AUGMENTATION
from pipeline.tasks.base import Batch, Loss, Parts, Shape, Unit
from pipeline.tasks.objective import PLAIN, Objective


class Vision:
    """Images with a class each, standardised by the mean and standard deviation of the training pixels.

    Args:
        tokens: the folder that the stage tokenize writes.
        model: the knobs of the network.
        shape: of the data in that folder.
        objective: what training minimizes.
    """

    unit: ClassVar[Unit] = "examples"

    def __init__(self, tokens: Path, model: Model, shape: Shape, objective: Objective = PLAIN) -> None:
        self.tokens, self.model, self.shape, self.objective = tokens, model, shape, objective
        self._opened: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._scale: tuple[np.ndarray, np.ndarray] | None = None
        self._chosen: np.ndarray | None = None

    @property
    def length(self) -> int:
        """The number of patches of an image."""
        return math.prod(-(-side // min(self.model.patch_size, side)) for side in self.shape.image[:2])

    @property
    def uniform_loss(self) -> float:
        return math.log(len(self.shape.classes))

    def images(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(images [N, H, W, C] of bytes, labels [N]) of a split, memory-mapped at first use."""
        if split not in self._opened:
            images, labels = memory_mapped(images_of(self.tokens, split)), memory_mapped(labels_of(self.tokens, split))
            if images.shape != (len(labels), *self.shape.image):
                raise UserError(
                    f"{images_of(self.tokens, split)}: holds {' x '.join(map(str, images.shape))} pixels, but its labels and"
                    f" {meta_of(self.tokens).name} say {' x '.join(map(str, (len(labels), *self.shape.image)))};"
                    " run `dvc repro` to create all of them again"
                )
            check_below(labels_of(self.tokens, split), labels, len(self.shape.classes), "classes")
            self._opened[split] = images, labels
        return self._opened[split]

    def parts(self) -> Parts:
        count = self.size("train")
        return Parts(np.full(count, self.length), np.zeros(count, np.float32), np.zeros(count, np.uint8))

    def subset(self, chosen: Bool[np.ndarray, " P"]) -> Vision:
        assert self._chosen is None, "a subset is taken of the whole split"
        other = copy(self)
        other._chosen = np.flatnonzero(chosen)
        return other

    def build(self, generator: torch.Generator) -> nn.Module:
        height, width, channels = self.shape.image
        return NETWORKS[self.model.network](self.model, (height, width, channels), len(self.shape.classes), generator)

    def size(self, split: str) -> int:
        return len(self._chosen) if self._chosen is not None and split == "train" else len(self.images(split)[1])

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        if self._chosen is not None and split == "train":
            rows = self._chosen[rows]
        images, labels = self.images(split)
        return Batch(self.standardised(images[rows]), torch.from_numpy(labels[rows].astype(np.int64)))

    def standardised(self, images: np.ndarray) -> Float[Tensor, "B H W C"]:
        """Images of bytes as float32, (x - mean) / deviation."""
        if self._scale is None:
            meta = read_json(meta_of(self.tokens), "mean", "deviation")
            self._scale = np.array(meta["mean"], np.float32), np.array(meta["deviation"], np.float32)
        mean, deviation = self._scale
        return torch.from_numpy((images.astype(np.float32) - mean) / deviation)

    def augmented(self, batch: Batch, rng: np.random.Generator) -> Batch:
        return self.objective.augmentation.apply(batch, rng) if self.objective.augmentation != NO_AUGMENTATION else batch

    def loss(self, model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
        mixup = None if batch.mixup_targets is None or batch.mixup_shares is None else (batch.mixup_targets, batch.mixup_shares)
        training, teacher = dropout_state is not None, self.objective.teacher
        teacher_logits = teacher.class_logits(batch.inputs) if teacher and training else None
        return self.objective.loss(model(batch.inputs, dropout_state), batch.targets, training, teacher_logits, mixup)
