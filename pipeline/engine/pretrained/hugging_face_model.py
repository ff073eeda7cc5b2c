"""A model in Hugging Face's format (config.json, safetensors): its knobs, and its weights under our names.

Read from safetensors and JSON alone: nothing in such a folder is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import json_of, read_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES
from pipeline.engine.pretrained.names import SYNONYMS
from pipeline.engine.pretrained.weight_map import Misfit, unpack
from pipeline.identity import tokenizer_digest
from pipeline.networks.transformer import GPT
from pipeline.networks.weights import Shapes, first_not_finite, shapes_in
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.names import suggest


class HuggingFaceModel:
    """A folder of Hugging Face's, of an architecture that we can hold."""

    ratio = 1.0
    kind = "language"
    classes: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder, config = folder, folder / "config.json"
        try:
            said = json_of(config)
        except ValueError as error:
            raise UserError(f"{config}: cannot be read: {error}") from None
        family = said.get("model_type") if isinstance(said, dict) else None
        if not (isinstance(family, str) and family in ARCHITECTURES):
            raise UserError(
                f"{config}: model_type: our networks hold no {family!r:.60}. {suggest(str(family)[:60], tuple(ARCHITECTURES))}"
            )
        self.stock = ARCHITECTURES[family]
        try:
            self.said = _modernized({**self.stock.usual, **said})
            told = self.stock.knobs(self.said)
            self.length = int(self.said["n_positions" if "n_positions" in self.said else "max_position_embeddings"])
            self.vocabulary = int(self.said["vocab_size"])
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise UserError(f"{config}: does not say what a {self.stock.name} needs: {error!s:.200}") from None
        layers = said.get("layer_types")
        if layers is not None and (not isinstance(layers, list) or any(kind != "full_attention" for kind in layers)):
            raise UserError(f"{config}: layer_types: {layers!r:.60} has no place here; only 'full_attention' in all layers has")
        if problems := [f"{config}: {line}" for line in _unsupported(told, self.stock.holds)]:
            raise UserError(*problems)
        self.knobs = dict(self.stock.holds) | {knob: (value,) for knob, value in told.items()}

    def same_tokenizer(self, tokens: Path) -> bool:
        file = self.folder / "tokenizer.json"
        return file.is_file() and tokenizer_digest(read_json(file)) == read_json(meta_of(tokens)).get("hugging_face")

    def fill(self, network: nn.Module) -> None:
        assert isinstance(network, GPT)
        for key, wanted in self.stock.config(network.knobs).items():
            if key in self.said and key not in IGNORED_KEYS and self.said[key] not in (wanted, None):
                raise UserError(
                    f"{self.folder / 'config.json'}: {key}: {self.said[key]!r:.200} has no place here; {wanted} would do"
                )
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        theirs = self._weights()
        if name := first_not_finite(theirs):
            raise UserError(f"{self.folder}: {name} holds numbers that are not finite: the file is damaged")
        try:
            unpack(theirs, weights, self.stock.pieces, network.knobs)
        except Misfit as misfit:
            raise UserError(f"{self.folder}: {misfit.theirs} {_misfit_reason(misfit)}") from None

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


def _unsupported(told: Mapping[str, Any], holds: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
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
IGNORED_KEYS = ("n_positions", "max_position_embeddings", "sliding_window", "resid_pdrop", "embd_pdrop", "attn_pdrop")


def _modernized(said: Mapping[str, Any]) -> dict[str, Any]:
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


def _misfit_reason(misfit: Misfit) -> str:
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
