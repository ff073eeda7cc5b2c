"""A model in Hugging Face's format (config.json, safetensors): its knobs, and its weights under our names.

Read from safetensors and JSON alone: nothing in such a folder is run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import load_json, read_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES, IMPORT_ONLY
from pipeline.engine.pretrained.epsilon import EPSILON_KEYS, LARGEST, SMALLEST, at_epsilon
from pipeline.engine.pretrained.names import SYNONYMS
from pipeline.engine.pretrained.weight_map import BUFFERS, Misfit, unpack
from pipeline.identity import tokenizer_digest
from pipeline.networks.norms import EPSILON
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
        if not (isinstance(family, str) and family in KNOWN):
            why = OTHER_FAMILIES.get(str(family)) or suggest(str(family)[:60], tuple(KNOWN))
            raise UserError(f"{config}: model_type: {family!r:.60} is not supported. {why}")
        self.architecture = KNOWN[family]
        try:
            self.config = _modernized({**self.architecture.defaults, **content})
            knobs = self.architecture.knobs(self.config)
            self.length = self.architecture.length(self.config)
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
        config, epsilon = self.folder / "config.json", EPSILON
        theirs = self._weights()
        for key, wanted in self.architecture.config(network.knobs).items():
            found = self.config.get(key, wanted)
            if key in EPSILON_KEYS:
                epsilon = found
                if type(epsilon) is not float or not SMALLEST <= epsilon <= LARGEST:
                    raise UserError(f"{config}: {key}: {found!r:.200} is not supported; use {SMALLEST:g} to {LARGEST:g}")
            elif key in BIASES and wanted and type(found) is bool:  # the biases that it has not are zeros
                if found is not any(re.search(BIASES[key], name) for name in theirs):
                    raise UserError(f"{config}: {key}: {found} is not what the weights say")
            elif key not in IGNORED_KEYS and found not in (wanted, None):
                raise UserError(f"{config}: {key}: {found!r:.200} is not supported; {REASONS.get(key, f'use {wanted}')}")
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        if name := first_not_finite(theirs):
            raise UserError(f"{self.folder}: {name} has numbers that are not finite: the file is damaged")
        try:
            unpack(theirs, weights, self.architecture.tensors, network.knobs)
        except Misfit as misfit:
            raise UserError(f"{self.folder}: {misfit.theirs} {_misfit_reason(misfit)}") from None
        if not at_epsilon(weights, network.knobs, epsilon):
            raise UserError(
                f"{config}: an epsilon of {epsilon:g} does not fit a tied head after a norm without weights; use {EPSILON:g}"
            )

    def shapes(self) -> Shapes:
        return {name: shape for file in self._files() for name, shape in shapes_in(file, BUFFERS).items()}

    def _weights(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for file in self._files():
            names = shapes_in(file, BUFFERS)  # raises UserError if it cannot be read
            with safe_open(file, framework="pt") as opened:
                found |= {name: opened.get_tensor(name) for name in names}
        return found

    def _files(self) -> list[Path]:
        """The file of its weights, or its shards by name; an index.json is not read."""
        whole = self.folder / "model.safetensors"
        files = [whole] if whole.is_file() else sorted(self.folder.glob("model-*.safetensors"))
        if not files:
            raise UserError(
                f"{self.folder}: has no model.safetensors; weights in other formats (pickles) are not read; {RESAVE}"
            )
        if (total := re.fullmatch(r"model-\d+-of-(\d+)\.safetensors", files[-1].name)) and len(files) < int(total[1]):
            raise UserError(
                f"{self.folder}: has {len(files)} of {int(total[1])} files of weights ({files[-1].name} and others)"
            )
        return files


def _unsupported(knobs: Mapping[str, Any], supports: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """Problems of the knobs in a config.json: values of the wrong type, or not supported."""
    for knob, value in knobs.items():
        kind = Model.model_fields[knob].annotation
        if type(value) not in ((int, float) if kind is float else (kind,)):
            yield f"gives model.{knob} {value!r:.60}, which is not a valid value"
        elif knob in supports and value not in supports[knob] and knob not in SEEN_BY_CONFIG:
            yield f"gives model.{knob} {value!r:.60}, which is not supported; use {' or '.join(map(repr, supports[knob]))}"
        elif isinstance(value, int | float) and not -math.inf < value < math.inf:
            yield f"gives model.{knob} {value!r:.60}, which is not a valid value"


# Knobs that a folder may have otherwise than an export: Mistral without a window is Llama, GPT-NeoX can be sequential.
SEEN_BY_CONFIG = ("attention", "residual")

# Keys that the weights do not depend on: context length, windows (`required_knobs` checks them) and dropout.
IGNORED_KEYS = ("n_positions", "max_position_embeddings", "sliding_window", "resid_pdrop", "embd_pdrop", "attn_pdrop")


RESAVE = "load them with `transformers` and save them by `save_pretrained`, which writes safetensors"

# Keys that say whether there are biases, and the names of these.
BIASES = {"attention_bias": r"\.(self_attn|attention)\..*\.bias$", "mlp_bias": r"\.mlp\..*\.bias$"}

# Why a value of a key cannot be: no advice to change it, since the weights were trained with it.
REASONS = {
    "rope_parameters": "Rally's rotary positions have one base and are not scaled",
    "scale_attn_by_inverse_layer_idx": "Rally's layers scale their scores alike",
    "head_dim": "Rally's heads have width / heads features each",
    "use_sliding_window": "Rally's layers have a window everywhere or nowhere",
    "clip_qkv": "Rally does not clip queries, keys and values",
    "qk_layernorm": "Rally's norms of queries and keys have no weights",
}

# Well-known families that Rally's networks cannot be, and why.
OTHER_FAMILIES: dict[str, str] = {
    "olmo2": "It norms the outputs of its branches alone, and queries and keys over all heads",
    "olmo3": "It norms the outputs of its branches alone, and queries and keys over all heads",
    "gemma": "It scales its embeddings, and its heads are wider than width / heads",
    "gemma2": "It scales its embeddings, caps its logits, and its windows alternate",
    "gemma3_text": "It scales its embeddings, and its windows alternate",
    "opt": "It shifts its positions by two",
    "bloom": "It norms its embeddings",
    "mixtral": "It is a mixture of experts",
    "smollm3": "Some of its layers have no positions",
    "mamba": "It has no attention",
    "phi3": "Its queries, keys and values are one tensor; published ones scale their rotary positions",
}

KNOWN = ARCHITECTURES | IMPORT_ONLY


def _modernized(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with one name for each activation, and its rotary positions as transformers 5 writes them."""
    base, share = ("rotary_emb_base", "rotary_pct") if "rotary_pct" in config else ("rope_theta", "partial_rotary_factor")
    modern = {key: value for key, value in config.items() if key not in (base, share, "rope_scaling")}
    for key in {"activation_function", "hidden_act"} & modern.keys():
        modern[key] = SYNONYMS.get(modern[key], modern[key])
    said = {**(config.get("rope_scaling") or config.get("rope_parameters") or {})}
    kind = said.pop("type", "default")  # an older name of rope_type
    rope = {"rope_type": kind, "rope_theta": float(config.get(base, 10_000.0))}
    if share in config:
        rope["partial_rotary_factor"] = config[share]
    return modern | {"rope_parameters": rope | said}


def _misfit_reason(misfit: Misfit) -> str:
    match misfit.ours.rpartition("."):
        case "", _, "":
            return "is not a weight of a supported network"
        case "embedding", _, "bias":
            return "is a bias of the output head, which Rally's networks do not have"
        case "", _, "none":
            return "has trained weights of a norm of queries or keys, which Rally's (model.qk_norm) do not have"
        case "head", _, _:
            return "is missing, has another shape, or is not the embedding: if it is separate, use tie_word_embeddings: false"
        case "position", _, _:
            return "does not match this model.position; use 'learned'"
        case _, _, "bias":
            return "does not match a network without biases; use model.bias: true"
        case where, _, _ if "norm" in where:
            return "does not match a norm without weights; use model.norm: layer"
    return "is missing, or has another shape than these knobs give it"
