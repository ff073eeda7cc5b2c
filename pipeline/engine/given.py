"""A model that is given, in a folder of ours or of Hugging Face's. What is made of it: engine/inheritance.py.

Read from safetensors and JSON alone: nothing in such a folder is run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.artifacts import digest, made_for, meta_of, read_json
from pipeline.engine.architectures import ARCHITECTURES, value_of
from pipeline.engine.pieces import Misfit, unpack
from pipeline.engine.tongues import SYNONYMS
from pipeline.networks.inits import width_ratio
from pipeline.networks.transformer import GPT
from pipeline.networks.weights import load_weights
from pipeline.params import Model, Refusal, parse, suggest
from pipeline.tasks.base import Shape
from pipeline.tasks.table import TASKS

# Knobs in which a model may differ from the one that it starts from.
LOOSE = ("length", "dropout", "dropout_schedule", "init", "base_width")
OF_IMAGES = ("network", "patch", "kernel", "shrink")
# Knobs that say nothing of a network of some kind of task.
SILENT = {"language": (*OF_IMAGES, "pooling", "causal"), "classify": (*OF_IMAGES, "tied"), "vision": ("tied",)}


@runtime_checkable
class Given(Protocol):
    """A model in a folder.

    Attributes:
        folder: where it lies.
        knobs: what our knobs must be, for its weights to mean the same; of each, all values that would do.
        ratio: muP's, by which it divides its logits.
        length: the longest context that it can read.
        kind: of task that it has learned.
        vocabulary: how many ids it knows.
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

    def fill(self, network: nn.Module) -> None:
        """Put its weights into a network of such knobs.

        Raises:
            Refusal: they are missing, damaged, or of another network.
        """


def given(folder: Path) -> Given:
    """The model in a folder.

    Raises:
        Refusal: there is none that can be read.
    """
    if (folder / "model.json").is_file():
        return Ours(folder)
    if (folder / "config.json").is_file():
        return Theirs(folder)
    raise Refusal(f"{folder}: holds no model: neither a model.json of ours nor a config.json of Hugging Face's")


class Ours:
    """A folder that the stage train left, under whatever name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = read_json(folder / "model.json", "model", "task", "vocabulary", "tokenizer", "sha256")
        self.model = parse(Model, self.about["model"], (str(folder / "model.json"), "model"))
        self.kind, self.shape = str(self.about["task"]), Shape.of(self.about)
        self.length, self.vocabulary, self.classes = self.model.length, self.shape.vocabulary, self.shape.classes
        self.ratio = width_ratio(self.model)
        loose = {*(LOOSE if self.model.position != "learned" else LOOSE[1:]), *SILENT[self.kind]}
        self.knobs = {knob: (value_of(self.model, knob),) for knob in Model.model_fields if knob not in loose}

    def same_tokenizer(self, tokens: Path) -> bool:
        return made_for(tokens) == self.about["tokenizer"]

    def fill(self, network: nn.Module) -> None:
        load_weights(network, self.folder / "model.safetensors", self.about["sha256"])

    def network(self) -> nn.Module:
        """It itself, of whatever kind."""
        network = TASKS[self.kind](self.folder, self.model, self.shape).build(torch.Generator())
        self.fill(network)
        return network


class Theirs:
    """A folder of Hugging Face's, of an architecture that we can hold."""

    ratio = 1.0
    kind = "language"
    classes: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        said = read_json(folder / "config.json", "model_type")
        if said["model_type"] not in ARCHITECTURES:
            raise Refusal(
                f"{folder / 'config.json'}: model_type: our networks hold no '{said['model_type']}'."
                f" {suggest(str(said['model_type']), tuple(ARCHITECTURES))}"
            )
        self.stock = ARCHITECTURES[said["model_type"]]
        self.said = _in_words_of_today({**self.stock.usual, **said})
        try:
            told = self.stock.knobs(self.said)
            self.length = int(self.said["n_positions" if "n_positions" in self.said else "max_position_embeddings"])
            self.vocabulary = int(self.said["vocab_size"])
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise Refusal(f"{folder / 'config.json'}: does not say what a {self.stock.name} needs: {error}") from None
        self.knobs = dict(self.stock.holds) | {knob: (value,) for knob, value in told.items()}

    def same_tokenizer(self, tokens: Path) -> bool:
        file = self.folder / "tokenizer.json"
        return file.is_file() and digest(read_json(file)) == read_json(meta_of(tokens)).get("hugging_face")

    def fill(self, network: nn.Module) -> None:
        assert isinstance(network, GPT)
        for key, wanted in self.stock.config(network.knobs).items():
            if key in self.said and key not in UNHEEDED and self.said[key] not in (wanted, None):
                raise Refusal(f"{self.folder / 'config.json'}: {key}: {self.said[key]} has no place here; {wanted} would do")
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        try:
            unpack(_safetensors(self.folder), weights, self.stock.pieces, network.knobs)
        except Misfit as misfit:
            raise Refusal(f"{self.folder}: {misfit.theirs} {_why(misfit)}") from None


UNHEEDED = ("n_positions", "max_position_embeddings", "resid_pdrop", "embd_pdrop", "attn_pdrop")


def _in_words_of_today(said: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with one word for each activation, and its rotary positions told as transformers 5 tells them."""
    words = {key: value for key, value in said.items() if key not in ("rope_theta", "rope_scaling", "partial_rotary_factor")}
    for key in {"activation_function", "hidden_act"} & words.keys():
        words[key] = SYNONYMS.get(words[key], words[key])
    if not said.get("rope_parameters"):
        rope = {"rope_type": "default", "rope_theta": float(said.get("rope_theta", 10_000.0))} | (
            said.get("rope_scaling") or {}
        )
        factor = {"partial_rotary_factor": said["partial_rotary_factor"]} if "partial_rotary_factor" in said else {}
        words["rope_parameters"] = rope | factor
    return words


def _safetensors(folder: Path) -> dict[str, Tensor]:
    files = (
        [folder / "model.safetensors"]
        if (folder / "model.safetensors").is_file()
        else sorted(folder.glob("model-*.safetensors"))
    )
    if not files:
        raise Refusal(f"{folder}: holds no model.safetensors; weights in other files (pickles) are not read")
    try:
        return {name: tensor for file in files for name, tensor in safetensors.torch.load_file(file).items()}
    except Exception as error:  # the library raises its own, and OSError
        raise Refusal(f"{folder}: its weights cannot be read: {error}") from None


def _why(misfit: Misfit) -> str:
    match misfit.ours.rpartition("."):
        case "", _, "":
            return "has no place in our networks"
        case "position", _, _:
            return "is not what a network with this model.position holds; 'learned' would do"
        case _, _, "bias":
            return "is not what a network without biases holds; model.bias: true would do"
        case where, _, _ if "norm" in where:
            return "is not what a norm without weights holds; model.norm: layer would do"
    return "is missing, or of another shape than these knobs make it"


# ------------------------------------------------------------------------------------------------------- as a network


def network_of(found: Given, like: Model) -> GPT:
    """A network of the knobs that a given model has, filled, not to be trained; for what it leaves open, those that do with the
    least.

    Args:
        like: says what makes no difference to it.
    """
    refused: list[Refusal] = []
    for knobs in knobs_of(found, like):
        network = GPT(knobs, found.vocabulary, torch.Generator())
        try:
            found.fill(network)
        except Refusal as refusal:
            refused.append(refusal)
        else:
            return network.eval().requires_grad_(False)
    raise refused[-1]


def knobs_of(found: Given, like: Model) -> Iterator[Model]:
    """The knobs that a given model may have, those with the fewest weights first.

    Args:
        like: says what makes no difference to it.
    """
    if isinstance(found, Ours):
        yield found.model
        return
    for values in itertools.product(*found.knobs.values()):
        told = like.model_dump() | dict(zip(found.knobs, values, strict=True))
        free = {"length": min(found.length, like.length), "dropout": 0.0, "layer_dropout": 0.0, "init": "gpt2"}
        yield parse(Model, told | free, (str(found.folder),))
