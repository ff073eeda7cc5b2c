"""A model in a folder that Rally's stage train wrote: its knobs and its weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pipeline.artifacts.reading import input_sha256
from pipeline.engine.pretrained.architectures import normalized_value
from pipeline.networks.inits import width_ratio
from pipeline.networks.weights import Shapes, first_not_finite, load_weights, open_network, shapes_in
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.model_description import read_description
from pipeline.tasks.table import TASKS

# Knobs in which a network may differ from the pretrained model whose weights it takes over.
FREE_KNOBS = ("context_length", "dropout", "dropout_schedule", "init", "base_width")
IMAGE_KNOBS = ("network", "patch_size", "kernel_size", "downsample")
# Knobs that networks of a kind of task do not use.
UNUSED_KNOBS = {
    "language": (*IMAGE_KNOBS, "pooling", "causal"),
    "classify": (*IMAGE_KNOBS, "tie_embeddings"),
    "vision": ("tie_embeddings",),
}


class RallyModel:
    """A folder that the stage train wrote, or a copy of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, found = folder, read_description(folder)
        self.model, self.kind, self.shape = found.model, found.task, found.shape
        self.tokenizer, self.sha256 = found.tokenizer, found.sha256
        self.length, self.vocabulary, self.classes = self.model.context_length, self.shape.vocabulary, self.shape.classes
        self.mup_ratio = width_ratio(self.model)
        free = {*(FREE_KNOBS if self.model.position != "learned" else FREE_KNOBS[1:]), *UNUSED_KNOBS[self.kind]}
        self.knobs = {knob: (normalized_value(self.model, knob),) for knob in Model.model_fields if knob not in free}

    def same_tokenizer(self, tokens: Path) -> bool:
        return input_sha256(tokens) == self.tokenizer

    def shapes(self) -> Shapes:
        return shapes_in(self.folder / "model.safetensors")

    def load_into(self, network: nn.Module) -> None:
        load_weights(network, self.folder / "model.safetensors", self.sha256)
        _check_finite(self.folder, network)

    def network(self) -> nn.Module:
        """The network itself, of any kind of task."""
        task = TASKS[self.kind](self.folder, self.model, self.shape)
        network = open_network(lambda: task.build(torch.Generator()), self.folder / "model.safetensors", self.sha256)
        _check_finite(self.folder, network)
        return network


def _check_finite(folder: Path, network: nn.Module) -> None:
    if name := first_not_finite(dict(network.named_parameters())):
        raise UserError(f"{folder}: {name} has numbers that are not finite: its training diverged, or the file is damaged")
