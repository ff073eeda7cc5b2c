"""Export of language models and text classifiers as stock architectures of transformers.

The library itself is not needed: engine/pretrained/architectures.py holds its names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from pipeline.artifacts.writing import write_bytes, write_json
from pipeline.corpus.encode.tokenizer_json import tokenizer_config, tokenizer_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES, Architecture, nearest
from pipeline.engine.pretrained.weight_map import TensorRow, pack
from pipeline.inference.trained import TrainedModel
from pipeline.lab.export.fold_scales import folded, folded_knobs
from pipeline.networks.classifier import Classifier
from pipeline.networks.inits import width_ratio
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.classify import Classification


def stock_architecture(model: Model, *, classifies: bool = False) -> tuple[str, Architecture]:
    """(model_type of config.json, the architecture) that can hold a network.

    Raises:
        UserError: none can; with a line for each knob that the nearest architecture does not support.
    """
    if lines := list(problems(model, classifies=classifies)):
        raise UserError(*lines)
    name, _ = nearest(folded_knobs(model))
    return name, ARCHITECTURES[name]


def problems(model: Model, *, classifies: bool) -> Iterator[str]:
    """A line for each knob that the nearest architecture does not support.

    Args:
        classifies: as a sequence classifier, whose score reads the last token by a matrix without bias.
    """
    folded_model = folded_knobs(model)
    name, lacking = nearest(folded_model)
    for knob in lacking:
        what = f"{name}, the nearest stock architecture of transformers"
        yield unsupported(model, knob, ARCHITECTURES[name].supports[knob], what)
    if width_ratio(folded_model) != 1:
        yield "model.tie_embeddings: true is not supported by transformers together with muP's divided logits; use false"
    for knob, wanted in (("causal", True), ("pooling", "last"), ("bias", False)) if classifies else ():
        if getattr(model, knob) != wanted:
            yield unsupported(model, knob, (wanted,), "transformers' sequence classification")


def unsupported(model: Model, knob: str, holds: tuple[object, ...], what: str) -> str:
    """A line about a knob whose value is not supported, with the values that are."""
    shown, *known = (json.dumps(one).replace('"', "'") for one in (getattr(model, knob), *holds))
    *some, last = known
    supported = f"{', '.join(some)} or {last}" if some else last
    return f"model.{knob}: {shown} is not supported by {what}; use {supported}"


def write(folder: Path, subject: TrainedModel, name: str, stock: Architecture) -> None:
    """Write the files that transformers reads: configurations, weights, tokenizer."""
    network, tokenizer = subject.model, subject.tokenizer
    assert isinstance(network, GPT | Classifier)
    classifies, model = isinstance(network, Classifier), folded_knobs(network.knobs)
    weights = folded({name: weight.detach().cpu() for name, weight in network.named_parameters()}, network.knobs)
    special = {"bos_token_id": tokenizer.end, "eos_token_id": tokenizer.end, "pad_token_id": None}
    said: dict[str, Any] = {"architectures": [class_of(stock, classifies=classifies)], "model_type": name, "dtype": "float32"}
    pieces = stock.tensors
    if classifies:
        # The last token that is not padding is found by id, so padding gets an id of its own, after all others.
        special["pad_token_id"] = tokenizer.vocabulary
        assert isinstance(subject.task, Classification)
        labels = dict(enumerate(subject.task.shape.classes))
        said |= {"id2label": {str(number): label for number, label in labels.items()}}
        said |= {"label2id": {label: number for number, label in labels.items()}}
        pieces = (
            *(piece for piece in pieces if piece.ours not in ("head.weight", "embedding.bias")),
            TensorRow("score.weight", "head.weight"),
        )
        weights["embedding.weight"] = torch.cat((weights["embedding.weight"], torch.zeros(1, model.width)))
    else:
        write_json(folder / "generation_config.json", special)
    said |= {"vocab_size": tokenizer.vocabulary + classifies}
    write_json(folder / "config.json", said | special | stock.config(model))
    packed = pack(weights, pieces, model)
    write_bytes(folder / "model.safetensors", safetensors.torch.save(packed, {"format": "pt"}))
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer, closes=classifies))
    write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer, model.context_length, closes=classifies))


def class_of(stock: Architecture, *, classifies: bool) -> str:
    """The name of its class in transformers."""
    if not classifies:
        return stock.name
    return stock.name.replace("LMHeadModel", "ForSequenceClassification").replace("ForCausalLM", "ForSequenceClassification")


# ----------------------------------------------------------------------------------------------------------- the card


def card_head(name: str, stock: Architecture, *, classifies: bool) -> str:
    """The head of the card: description and usage."""
    return (CLASSIFIER if classifies else WRITER).format(name=name, architecture=class_of(stock, classifies=classifies))


WRITER = """library_name: transformers
pipeline_tag: text-generation
tags:
- rally
---

# {name}

A small language model, trained with Rally and exported as a stock `{architecture}`: no remote code is needed.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = (kind.from_pretrained("{name}") for kind in (AutoModelForCausalLM, AutoTokenizer))
ids = tokenizer("Once upon a time", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=100)[0]))
```

It was trained on contexts of `max_position_embeddings` tokens, not on longer ones.
"""

CLASSIFIER = """library_name: transformers
pipeline_tag: text-classification
tags:
- rally
---

# {name}

A small classifier of texts, trained with Rally and exported as a stock `{architecture}`: no remote code is needed.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model, tokenizer = (kind.from_pretrained("{name}") for kind in (AutoModelForSequenceClassification, AutoTokenizer))
batch = tokenizer(["a text", "and another one"], padding=True, return_tensors="pt")
print([model.config.id2label[number] for number in model(**batch).logits.argmax(dim=-1).tolist()])
```

Each text ends with the end token, which the tokenizer appends; shorter texts are padded on the right. In training, texts longer
than `max_position_embeddings` tokens were cut there: cut the ids likewise, without another end token.
"""
