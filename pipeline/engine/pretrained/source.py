"""A model that is given, in a folder of ours or of Hugging Face's. What is made of it: engine/pretrained/transfer.py.

Read from safetensors and JSON alone: nothing in such a folder is run.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import input_sha256, load_json, read_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES, value_of
from pipeline.engine.pretrained.names import SYNONYMS
from pipeline.engine.pretrained.weight_map import Misfit, unpack
from pipeline.identity import tokenizer_digest
from pipeline.networks.inits import width_ratio
from pipeline.networks.transformer import GPT
from pipeline.networks.weights import Shapes, TooLarge, built, load_weights, not_finite, open_network, shapes_in
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.names import suggest
from pipeline.params.parse import parse
from pipeline.tasks.model_description import described
from pipeline.tasks.table import TASKS

# Knobs in which a model may differ from the one that it starts from.
LOOSE = ("context_length", "dropout", "dropout_schedule", "init", "base_width")
OF_IMAGES = ("network", "patch_size", "kernel_size", "downsample")
# Knobs that say nothing of a network of some kind of task.
SILENT = {
    "language": (*OF_IMAGES, "pooling", "causal"),
    "classify": (*OF_IMAGES, "tie_embeddings"),
    "vision": ("tie_embeddings",),
}


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


class RallyModel:
    """A folder that the stage train left, under whatever name."""

    def __init__(self, folder: Path) -> None:
        self.folder, found = folder, described(folder)
        self.model, self.kind, self.shape = found.model, found.task, found.shape
        self.tokenizer, self.sha256 = found.tokenizer, found.sha256
        self.length, self.vocabulary, self.classes = self.model.context_length, self.shape.vocabulary, self.shape.classes
        self.ratio = width_ratio(self.model)
        loose = {*(LOOSE if self.model.position != "learned" else LOOSE[1:]), *SILENT[self.kind]}
        self.knobs = {knob: (value_of(self.model, knob),) for knob in Model.model_fields if knob not in loose}

    def same_tokenizer(self, tokens: Path) -> bool:
        return input_sha256(tokens) == self.tokenizer

    def shapes(self) -> Shapes:
        return shapes_in(self.folder / "model.safetensors")

    def fill(self, network: nn.Module) -> None:
        load_weights(network, self.folder / "model.safetensors", self.sha256)
        _check_finite(self.folder, network)

    def network(self) -> nn.Module:
        """It itself, of whatever kind."""
        task = TASKS[self.kind](self.folder, self.model, self.shape)
        network = open_network(lambda: task.build(torch.Generator()), self.folder / "model.safetensors", self.sha256)
        _check_finite(self.folder, network)
        return network


def _check_finite(folder: Path, network: nn.Module) -> None:
    if name := not_finite(dict(network.named_parameters())):
        raise UserError(f"{folder}: {name} holds numbers that are not finite: its training diverged, or the file is damaged")


class HuggingFaceModel:
    """A folder of Hugging Face's, of an architecture that we can hold."""

    ratio = 1.0
    kind = "language"
    classes: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder, config = folder, folder / "config.json"
        try:
            said = load_json(config)
        except ValueError as error:
            raise UserError(f"{config}: cannot be read: {error}") from None
        family = said.get("model_type") if isinstance(said, dict) else None
        if not (isinstance(family, str) and family in ARCHITECTURES):
            raise UserError(
                f"{config}: model_type: our networks hold no {family!r:.60}. {suggest(str(family)[:60], tuple(ARCHITECTURES))}"
            )
        self.stock = ARCHITECTURES[family]
        try:
            self.said = _in_words_of_today({**self.stock.usual, **said})
            told = self.stock.knobs(self.said)
            self.length = int(self.said["n_positions" if "n_positions" in self.said else "max_position_embeddings"])
            self.vocabulary = int(self.said["vocab_size"])
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise UserError(f"{config}: does not say what a {self.stock.name} needs: {error!s:.200}") from None
        layers = said.get("layer_types")
        if layers is not None and (not isinstance(layers, list) or any(kind != "full_attention" for kind in layers)):
            raise UserError(f"{config}: layer_types: {layers!r:.60} has no place here; only 'full_attention' in all layers has")
        if problems := [f"{config}: {line}" for line in _unfit(told, self.stock.holds)]:
            raise UserError(*problems)
        self.knobs = dict(self.stock.holds) | {knob: (value,) for knob, value in told.items()}

    def same_tokenizer(self, tokens: Path) -> bool:
        file = self.folder / "tokenizer.json"
        return file.is_file() and tokenizer_digest(read_json(file)) == read_json(meta_of(tokens)).get("hugging_face")

    def fill(self, network: nn.Module) -> None:
        assert isinstance(network, GPT)
        for key, wanted in self.stock.config(network.knobs).items():
            if key in self.said and key not in UNHEEDED and self.said[key] not in (wanted, None):
                raise UserError(
                    f"{self.folder / 'config.json'}: {key}: {self.said[key]!r:.200} has no place here; {wanted} would do"
                )
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        theirs = self._weights()
        if name := not_finite(theirs):
            raise UserError(f"{self.folder}: {name} holds numbers that are not finite: the file is damaged")
        try:
            unpack(theirs, weights, self.stock.pieces, network.knobs)
        except Misfit as misfit:
            raise UserError(f"{self.folder}: {misfit.theirs} {_why(misfit)}") from None

    def shapes(self) -> Shapes:
        return {name: shape for file in self._files() for name, shape in shapes_in(file).items()}

    def _weights(self) -> dict[str, Tensor]:
        self.shapes()  # refuses what cannot be read
        return {name: tensor for file in self._files() for name, tensor in safetensors.torch.load_file(file).items()}

    def _files(self) -> list[Path]:
        """The file of its weights, or the parts of it; what an index.json says of their names is not followed."""
        whole = self.folder / "model.safetensors"
        files = [whole] if whole.is_file() else sorted(self.folder.glob("model-*.safetensors"))
        if not files:
            raise UserError(f"{self.folder}: holds no model.safetensors; weights in other files (pickles) are not read")
        return files


def _unfit(told: Mapping[str, Any], holds: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """What a config.json says in another type than the knob that it tells, or with a value that has no place."""
    for knob, value in told.items():
        kind = Model.model_fields[knob].annotation
        if type(value) not in ((int, float) if kind is float else (kind,)):
            yield f"makes model.{knob} {value!r:.60}, which cannot be"
        elif knob in holds and value not in holds[knob] and knob != "attention":  # a Mistral without a window is a Llama
            yield f"makes model.{knob} {value!r:.60}, which has no place here; {' or '.join(map(repr, holds[knob]))} would do"
        elif isinstance(value, int | float) and not -math.inf < value < math.inf:
            yield f"makes model.{knob} {value!r:.60}, which cannot be"


# What is no question of the weights: how long a context may be (a window is none in a shorter one: `knobs_at`), and dropout.
UNHEEDED = ("n_positions", "max_position_embeddings", "sliding_window", "resid_pdrop", "embd_pdrop", "attn_pdrop")


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


def _why(misfit: Misfit) -> str:
    match misfit.ours.rpartition("."):
        case "", _, "":
            return "has no place in our networks"
        case "head", _, _:
            return (
                "is missing, of another shape, or not the embedding although tie_word_embeddings is true; false would keep it"
            )
        case "position", _, _:
            return "is not what a network with this model.position holds; 'learned' would do"
        case _, _, "bias":
            return "is not what a network without biases holds; model.bias: true would do"
        case where, _, _ if "norm" in where:
            return "is not what a norm without weights holds; model.norm: layer would do"
    return "is missing, or of another shape than these knobs make it"


# ------------------------------------------------------------------------------------------------------- as a network


def network_of(found: PretrainedModel, like: Model, vocabulary: int | None = None) -> GPT:
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
    for knobs in knobs_of(found, like):
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
        network = built(shapes, functools.partial(GPT, knobs, vocabulary, torch.Generator()))
    except TooLarge:
        raise UserError(f"{found.folder}: its weights are fewer than those of the network that it describes") from None
    assert isinstance(network, GPT)
    return network


def knobs_of(found: PretrainedModel, like: Model) -> Iterator[Model]:
    """The knobs that a given model may have, those with the fewest weights first.

    Args:
        like: says what makes no difference to it.
    """
    if isinstance(found, RallyModel):
        yield found.model
        return
    length = min(found.length, like.context_length)
    wanted = knobs_at(found, length)
    for values in itertools.product(*wanted.values()):
        told = like.model_dump() | dict(zip(wanted, values, strict=True))
        free = {"context_length": length, "dropout": 0.0, "stochastic_depth": 0.0, "init": "gpt2"}
        yield parse(Model, told | free, (str(found.folder),))


def knobs_at(found: PretrainedModel, length: int) -> dict[str, tuple[Any, ...]]:
    """What our knobs must be where a model reads contexts of some length: a window that is wider than they are is none."""
    knobs = dict(found.knobs)
    if knobs["attention"] != ("window",):
        knobs.pop("window", None)
    elif knobs["window"][0] > length:
        del knobs["window"]
        knobs["attention"] = ("full",)
    return knobs
