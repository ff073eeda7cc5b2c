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
from pipeline.artifacts.reading import load_json, read_json
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
    """A folder in Hugging Face's format, of one of the supported architectures."""

    mup_ratio = 1.0
    kind = "language"
    classes: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder, config = folder, folder / "config.json"
        try:
            content = load_json(config)
        except ValueError as error:
            raise UserError(f"{config}: cannot be read: {error}") from None
        family = content.get("model_type") if isinstance(content, dict) else None
        if not (isinstance(family, str) and family in ARCHITECTURES):
            raise UserError(
                f"{config}: model_type: {family!r:.60} is not supported. {suggest(str(family)[:60], tuple(ARCHITECTURES))}"
            )
        self.architecture = ARCHITECTURES[family]
        try:
            self.config = _modernized({**self.architecture.defaults, **content})
            knobs = self.architecture.knobs(self.config)
            self.length = int(self.config["n_positions" if "n_positions" in self.config else "max_position_embeddings"])
            self.vocabulary = int(self.config["vocab_size"])
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise UserError(f"{config}: lacks something that a {self.architecture.name} needs: {error!s:.200}") from None
        layers = content.get("layer_types")
        if layers is not None and (not isinstance(layers, list) or any(kind != "full_attention" for kind in layers)):
            raise UserError(f"{config}: layer_types: {layers!r:.60} is not supported; only 'full_attention' in all layers is")
        if problems := [f"{config}: {line}" for line in _unsupported(knobs, self.architecture.supports)]:
            raise UserError(*problems)
        self.knobs = dict(self.architecture.supports) | {knob: (value,) for knob, value in knobs.items()}

    def same_tokenizer(self, tokens: Path) -> bool:
        file = self.folder / "tokenizer.json"
        return file.is_file() and tokenizer_digest(read_json(file)) == read_json(meta_of(tokens)).get("hugging_face")

    def load_into(self, network: nn.Module) -> None:
        assert isinstance(network, GPT)
        for key, wanted in self.architecture.config(network.knobs).items():
            if key in self.config and key not in IGNORED_KEYS and self.config[key] not in (wanted, None):
                raise UserError(
                    f"{self.folder / 'config.json'}: {key}: {self.config[key]!r:.200} is not supported; use {wanted}"
                )
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        theirs = self._weights()
        if name := first_not_finite(theirs):
            raise UserError(f"{self.folder}: {name} has numbers that are not finite: the file is damaged")
        try:
            unpack(theirs, weights, self.architecture.tensors, network.knobs)
        except Misfit as misfit:
            raise UserError(f"{self.folder}: {misfit.theirs} {_misfit_reason(misfit)}") from None

    def shapes(self) -> Shapes:
        return {name: shape for file in self._files() for name, shape in shapes_in(file).items()}

    def _weights(self) -> dict[str, Tensor]:
        self.shapes()  # raises UserError if a file cannot be read
        return {name: tensor for file in self._files() for name, tensor in safetensors.torch.load_file(file).items()}

    def _files(self) -> list[Path]:
        """The file of its weights, or its shards by name; an index.json is not read."""
        whole = self.folder / "model.safetensors"
        files = [whole] if whole.is_file() else sorted(self.folder.glob("model-*.safetensors"))
        if not files:
            raise UserError(f"{self.folder}: has no model.safetensors; weights in other formats (pickles) are not read")
        return files


def _unsupported(knobs: Mapping[str, Any], supports: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """Problems of the knobs in a config.json: values of the wrong type, or not supported."""
    for knob, value in knobs.items():
        kind = Model.model_fields[knob].annotation
        if type(value) not in ((int, float) if kind is float else (kind,)):
            yield f"gives model.{knob} {value!r:.60}, which is not a valid value"
        elif knob in supports and value not in supports[knob] and knob != "attention":  # Mistral without a window is Llama
            yield f"gives model.{knob} {value!r:.60}, which is not supported; use {' or '.join(map(repr, supports[knob]))}"
        elif isinstance(value, int | float) and not -math.inf < value < math.inf:
            yield f"gives model.{knob} {value!r:.60}, which is not a valid value"


# Keys that the weights do not depend on: context length, windows (`required_knobs` checks them) and dropout.
IGNORED_KEYS = ("n_positions", "max_position_embeddings", "sliding_window", "resid_pdrop", "embd_pdrop", "attn_pdrop")


def _modernized(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with one name for each activation, and its rotary positions as transformers 5 writes them."""
    modern = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling", "partial_rotary_factor")}
    for key in {"activation_function", "hidden_act"} & modern.keys():
        modern[key] = SYNONYMS.get(modern[key], modern[key])
    if not config.get("rope_parameters"):
        rope = {"rope_type": "default", "rope_theta": float(config.get("rope_theta", 10_000.0))} | (
            config.get("rope_scaling") or {}
        )
        factor = {"partial_rotary_factor": config["partial_rotary_factor"]} if "partial_rotary_factor" in config else {}
        modern["rope_parameters"] = rope | factor
    return modern


def _misfit_reason(misfit: Misfit) -> str:
    match misfit.ours.rpartition("."):
        case "", _, "":
            return "is not a weight of a supported network"
        case "head", _, _:
            return "is missing, has another shape, or is not the embedding: if it is separate, use tie_word_embeddings: false"
        case "position", _, _:
            return "does not match this model.position; use 'learned'"
        case _, _, "bias":
            return "does not match a network without biases; use model.bias: true"
        case where, _, _ if "norm" in where:
            return "does not match a norm without weights; use model.norm: layer"
    return "is missing, or has another shape than these knobs give it"
