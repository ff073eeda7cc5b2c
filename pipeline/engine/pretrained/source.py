"""Pretrained models in folders, Rally's or Hugging Face's, opened and made into networks."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from pipeline.engine.pretrained.hugging_face_model import HuggingFaceModel
from pipeline.engine.pretrained.rally_model import RallyModel
from pipeline.networks.transformer import GPT
from pipeline.networks.weights import Shapes, TooLarge, build_within_limit
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.parse import parse


@runtime_checkable
class PretrainedModel(Protocol):
    """A model in a folder.

    Attributes:
        folder: where it lies.
        knobs: what our knobs must be, for its weights to mean the same; of each, all values that would do.
        ratio: muP's, by which it divides its logits.
        length: the longest context that it can read.
        kind: of task that it has learned.
        vocabulary: how many ids it knows; of Hugging Face's perhaps more than its tokenizer has, rounded up for the hardware.
        classes: between which it tells; () where it tells what follows a text.
    """

    folder: Path
    knobs: dict[str, tuple[Any, ...]]
    ratio: float
    length: int
    kind: str
    vocabulary: int
    classes: tuple[str, ...]

    def same_tokenizer(self, tokens: Path) -> bool:
        """Whether its ids mean what those in data/tokens mean; of images, whether they are of the same size and scale."""

    def shapes(self) -> Shapes:
        """Of all its tensors under its own names, as the headers of its files tell them.

        Raises:
            UserError: they are missing, or cannot be read.
        """

    def fill(self, network: nn.Module) -> None:
        """Put its weights into a network of such knobs. Rows of ids beyond those of the network are left out.

        Raises:
            UserError: they are missing, damaged, not finite, or of another network.
        """


def open_pretrained(folder: Path) -> PretrainedModel:
    """The model in a folder.

    Raises:
        UserError: there is none that can be read.
    """
    if (folder / "model.json").is_file():
        return RallyModel(folder)
    if (folder / "config.json").is_file():
        return HuggingFaceModel(folder)
    raise UserError(f"{folder}: holds no model: neither a model.json of ours nor a config.json of Hugging Face's")


def load_network(found: PretrainedModel, like: Model, vocabulary: int | None = None) -> GPT:
    """A network of the knobs that a given model has, filled, not to be trained; for what it leaves open, those that do with the
    least.

    Args:
        like: says what makes no difference to it.
        vocabulary: ids of the tokenizer, where they are fewer than it knows.
    """
    if isinstance(found, RallyModel):
        network = found.network()
        assert isinstance(network, GPT), "who tells classes is opened as what it is"
        return network.eval().requires_grad_(False)
    refused: list[UserError] = []
    for knobs in candidate_models(found, like):
        try:
            network = _empty_network(found, knobs, vocabulary or found.vocabulary)
            found.fill(network)
        except UserError as refusal:
            refused.append(refusal)
        else:
            return network.eval().requires_grad_(False)
    raise refused[-1]


def _empty_network(found: PretrainedModel, knobs: Model, vocabulary: int) -> GPT:
    """A network of a given model's knobs, not yet filled; refused where its weights are too few for it.

    Raises:
        UserError: what describes the model lies, or its weights cannot be read.
    """
    shapes = found.shapes()
    try:
        network = build_within_limit(shapes, functools.partial(GPT, knobs, vocabulary, torch.Generator()))
    except TooLarge:
        raise UserError(f"{found.folder}: its weights are fewer than those of the network that it describes") from None
    assert isinstance(network, GPT)
    return network


def candidate_models(found: PretrainedModel, like: Model) -> Iterator[Model]:
    """The knobs that a given model may have, those with the fewest weights first.

    Args:
        like: says what makes no difference to it.
    """
    if isinstance(found, RallyModel):
        yield found.model
        return
    length = min(found.length, like.context_length)
    wanted = required_knobs(found, length)
    for values in itertools.product(*wanted.values()):
        told = like.model_dump() | dict(zip(wanted, values, strict=True))
        free = {"context_length": length, "dropout": 0.0, "stochastic_depth": 0.0, "init": "gpt2"}
        yield parse(Model, told | free, (str(found.folder),))


def required_knobs(found: PretrainedModel, length: int) -> dict[str, tuple[Any, ...]]:
    """What our knobs must be where a model reads contexts of some length: a window that is wider than they are is none."""
    knobs = dict(found.knobs)
    if knobs["attention"] != ("window",):
        knobs.pop("window", None)
    elif knobs["window"][0] > length:
        del knobs["window"]
        knobs["attention"] = ("full",)
    return knobs
