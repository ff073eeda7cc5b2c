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
        folder: its path.
        knobs: for each knob that the weights depend on, the values with which they keep their meaning.
        mup_ratio: the ratio by which muP divides its logits; 1 without muP.
        length: the longest context that it can read, tokens.
        kind: the knob task.kind that it was trained with.
        vocabulary: how many ids it knows; may be padded beyond its tokenizer in Hugging Face's format.
        classes: the names of its classes; () for a language model.
    """

    folder: Path
    knobs: dict[str, tuple[Any, ...]]
    mup_ratio: float
    length: int
    kind: str
    vocabulary: int
    classes: tuple[str, ...]

    def same_tokenizer(self, tokens: Path) -> bool:
        """Whether it was trained with the tokenizer of data/tokens; for images, whether size and scale are the same."""

    def shapes(self) -> Shapes:
        """The shapes of all its tensors under their names in the file, read from the headers.

        Raises:
            UserError: they are missing, or cannot be read.
        """

    def load_into(self, network: nn.Module) -> None:
        """Copy its weights into a network with these knobs; rows beyond the vocabulary of the network are left out.

        Raises:
            UserError: they are missing, damaged, not finite, or do not fit the network.
        """


def open_pretrained(folder: Path) -> PretrainedModel:
    """The model in a folder.

    Raises:
        UserError: it holds none that can be read.
    """
    if (folder / "model.json").is_file():
        return RallyModel(folder)
    if (folder / "config.json").is_file():
        return HuggingFaceModel(folder)
    raise UserError(f"{folder}: not a model: has neither Rally's model.json nor Hugging Face's config.json")


def load_network(found: PretrainedModel, like: Model, vocabulary: int | None = None) -> GPT:
    """The network of a pretrained language model, frozen; of several knobs that would fit, those with the fewest weights.

    Args:
        like: gives the knobs that do not matter to the model.
        vocabulary: ids of the tokenizer, if they are fewer than the model knows.
    """
    if isinstance(found, RallyModel):
        network = found.network()
        assert isinstance(network, GPT), "a classifier is opened by RallyModel.network"
        return network.eval().requires_grad_(False)
    errors: list[UserError] = []
    for knobs in fitting_model_knobs(found, like):
        try:
            network = _empty_network(found, knobs, vocabulary or found.vocabulary)
            found.load_into(network)
        except UserError as error:
            errors.append(error)
        else:
            return network.eval().requires_grad_(False)
    raise errors[-1]


def _empty_network(found: PretrainedModel, knobs: Model, vocabulary: int) -> GPT:
    """A network for these knobs, without the weights yet.

    Raises:
        UserError: the network would be far larger than the weights in the folder, or these cannot be read.
    """
    shapes = found.shapes()
    try:
        network = build_within_limit(shapes, functools.partial(GPT, knobs, vocabulary, torch.Generator()))
    except TooLarge:
        raise UserError(f"{found.folder}: describes a network with more weights than its files have") from None
    assert isinstance(network, GPT)
    return network


def fitting_model_knobs(found: PretrainedModel, like: Model) -> Iterator[Model]:
    """The knobs that fit a pretrained model, those with the fewest weights first.

    Args:
        like: gives the knobs that do not matter to the model.
    """
    if isinstance(found, RallyModel):
        yield found.model
        return
    length = min(found.length, like.context_length)
    required = required_knobs(found, length)
    for values in itertools.product(*required.values()):
        knobs = like.model_dump() | dict(zip(required, values, strict=True))
        free = {"context_length": length, "dropout": 0.0, "stochastic_depth": 0.0, "init": "gpt2"}
        yield parse(Model, knobs | free, (str(found.folder),))


def required_knobs(found: PretrainedModel, length: int) -> dict[str, tuple[Any, ...]]:
    """The values of our knobs for a model that reads contexts of some length; a window wider than those is full attention."""
    knobs = dict(found.knobs)
    if knobs["attention"] != ("window",):
        knobs.pop("window", None)
    elif knobs["window"][0] > length:
        del knobs["window"]
        knobs["attention"] = ("full",)
    return knobs
