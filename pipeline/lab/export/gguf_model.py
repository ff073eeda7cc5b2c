"""Export of language models as GGUF files, for llama.cpp and what is built on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import RAW, text_of, tokens_of
from pipeline.artifacts.writing import write_json
from pipeline.corpus.encode.tokenizer_json import tokenizer_config, tokenizer_json
from pipeline.engine.pretrained.architectures import ARCHITECTURES, Architecture, unsupported_knobs
from pipeline.engine.pretrained.weight_map import pack
from pipeline.inference.trained import TrainedModel
from pipeline.lab.export.fold_scales import folded, folded_knobs
from pipeline.lab.export.transformers_text import unsupported
from pipeline.lab.gguf import vocabulary
from pipeline.lab.gguf.architectures import GGUF_ARCHITECTURES, GgufArchitecture, metadata_of
from pipeline.lab.gguf.container import Stored, Value
from pipeline.lab.gguf.container import write as write_file
from pipeline.lab.gguf.layout import to_gguf
from pipeline.lab.gguf.number_types import BLOCK, TYPES, Floats, OutOfRange, TypeName
from pipeline.networks.inits import width_ratio
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.model import Model

KEPT = ("position_embd.weight",)  # matrices that are not stored in fewer bits: they are added, not multiplied by
COMPARED = 1 << 20  # characters of validation text on which the words of llama.cpp are compared with ours


def stock_architecture(model: Model) -> GgufArchitecture:
    """The architecture of llama.cpp that can hold a network.

    Raises:
        UserError: none can; with a line for each knob that the nearest one does not support.
    """
    if lines := list(problems(model)):
        raise UserError(*lines)
    return _nearest(model)[0]


def _stock(architecture: GgufArchitecture) -> Architecture:
    """The architecture in transformers, with the one activation that llama.cpp computes in it."""
    stock = ARCHITECTURES[architecture.model_type]
    return replace(stock, supports={**stock.supports, "activation": (architecture.activation[0],)})


def _nearest(model: Model) -> tuple[GgufArchitecture, list[str]]:
    """(the architecture that supports most of a network's knobs, the knobs that it does not support)."""
    lacking = {name: unsupported_knobs(_stock(one), folded_knobs(model)) for name, one in GGUF_ARCHITECTURES.items()}
    name = min(lacking, key=lambda name: len(lacking[name]))
    return GGUF_ARCHITECTURES[name], lacking[name]


def problems(model: Model) -> Iterator[str]:
    """A line for each knob that the nearest architecture does not support."""
    architecture, lacking = _nearest(model)
    for knob in lacking:
        what = f"{architecture.name}, the nearest architecture of llama.cpp"
        yield unsupported(model, knob, _stock(architecture).supports[knob], what)
    if width_ratio(folded_knobs(model)) != 1:
        yield "model.tie_embeddings: true is not supported by llama.cpp together with muP's divided logits; use false"


def write(folder: Path, name: str, subject: TrainedModel, kind: TypeName, about: Mapping[str, Value]) -> list[str]:
    """Write the file, and beside it what transformers reads better from JSON; notes for the user.

    Args:
        name: of the model; the file is called after it and the type of its numbers.
        about: metadata that describe the model (`general.…`).

    Raises:
        UserError: llama.cpp cannot hold the network or its tokenizer, or the type its weights.
    """
    network, tokenizer = subject.model, subject.tokenizer
    assert isinstance(network, GPT)
    architecture, model = stock_architecture(network.knobs), folded_knobs(network.knobs)
    stock = ARCHITECTURES[architecture.model_type]
    weights = folded({name: weight.detach().cpu() for name, weight in network.named_parameters()}, network.knobs)
    packed = {name: weight.numpy() for name, weight in pack(weights, stock.tensors, model).items()}
    special = {"bos_token_id": tokenizer.end, "eos_token_id": tokenizer.end, "pad_token_id": None}
    config = {"architectures": [stock.name], "model_type": architecture.model_type, "dtype": "float32"} | special
    config |= {"vocab_size": tokenizer.vocabulary} | stock.config(model)
    stop, notes = _stop(subject)
    metadata: dict[str, Value] = {"general.architecture": architecture.name, "general.type": "model", **about}
    metadata |= {"general.file_type": TYPES[kind].file_type, "general.quantization_version": 2}
    metadata |= metadata_of(config, architecture) | vocabulary.metadata_of(tokenizer, stop)
    tensors = {name: _stored(name, tensor, kind) for name, tensor in to_gguf(packed, architecture, config).items()}
    write_file(folder / file_name(name, kind), metadata, tensors)
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer))
    write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer, model.context_length))
    return [*notes, *_word_notes(subject)]


def file_name(name: str, kind: TypeName) -> str:
    return f"{name}-{kind}.gguf"


def _stored(name: str, tensor: Floats, kind: TypeName) -> Stored:
    """A tensor in a type: matrices in that of the file, norms and biases in float32, as llama.cpp wants them."""
    kept: TypeName = kind if tensor.ndim > 1 and name not in KEPT else "f32"
    if kept == "q8_0" and tensor.shape[-1] % BLOCK:
        raise UserError(
            f"--type q8_0: {name} has rows of {tensor.shape[-1]} numbers, and q8_0 stores {BLOCK} together; use f16, or a"
            f" model.width, and a model.mlp_ratio times it, that {BLOCK} divides"
        )
    try:
        return Stored(kept, tensor.shape, TYPES[kept].write(np.ascontiguousarray(tensor)))
    except OutOfRange as far:
        raise UserError(f"--type {kind}: {name} has weights up to {far}; use f32") from None


def _stop(subject: TrainedModel) -> tuple[int, list[str]]:
    """(the id at which a text ends in llama.cpp, a note if it is one that stands for text).

    Where documents have no end, it is the id that the training text has least often: bytes that UTF-8 never has, if there are
    any. llama.cpp would take 11.
    """
    tokenizer = subject.tokenizer
    if tokenizer.end is not None:
        return tokenizer.end, []
    count = np.zeros(tokenizer.vocabulary, np.int64)
    for ids in np.array_split(memory_mapped(tokens_of(_folder(subject), "train")), 16):
        count += np.bincount(ids, minlength=tokenizer.vocabulary)
    stop = int(count.argmin())
    text = tokenizer.decode([stop])
    if "\ufffd" in text:
        return stop, []
    return stop, [
        f"this tokenizer has no token for the end of a text, and llama.cpp needs one: it will stop at {text!r}, which is"
        f" {count[stop]:,} of the {count.sum():,} tokens of the training text"
    ]


def _folder(subject: TrainedModel) -> Path:
    from pipeline.tasks.lm import LanguageModelling

    assert isinstance(subject.task, LanguageModelling)
    return subject.task.tokens


def _word_notes(subject: TrainedModel) -> Iterator[str]:
    """How far the words of llama.cpp are ours, on validation text, if it is here."""
    path = text_of(RAW, "validation")
    if not path.is_file():
        return
    text = path.read_bytes()[: 4 * COMPARED].decode("utf-8", errors="ignore")[:COMPARED]
    apart, tokens = vocabulary.differences(subject.tokenizer, text)
    if apart:
        yield (
            f"llama.cpp cuts {apart:,} of {tokens:,} tokens of the validation text elsewhere: its rule for words differs from"
            " tokenize.kind bpe in accents, rare letters and words of more than 64 characters"
        )


# ----------------------------------------------------------------------------------------------------- about the model


def about(name: str, made_by: Mapping[str, Any], data: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Value]:
    """What a file says about its model: name, data and their licence, training, scores.

    Args:
        made_by: the content of models/trained/model.json.
        data, scores: of its own run; {} where unknown.
    """
    step, source = made_by.get("step", 0), data.get("name", "a text")
    measured = f"; {scores['test_bits_per_byte']:.4g} bits per byte of test text" if _has(scores, "test_bits_per_byte") else ""
    metadata: dict[str, Value] = {
        "general.name": name,
        "general.description": f"A small language model, trained with Rally for {step:,} steps on {source}{measured}",
        "general.tags": ["rally", "text-generation"],
    }
    if data:
        metadata |= {"general.dataset.count": 1, "general.dataset.0.name": str(source)}
        metadata |= {"general.dataset.0.description": str(data["source"])} if data.get("source") else {}
        metadata |= {"general.license.name": f"that of the training text: {data['licence']}"} if data.get("licence") else {}
    knobs = {section: made_by[section] for section in ("seed", "model", "train") if section in made_by}
    metadata |= {"rally.step": int(step), "rally.knobs": json.dumps(knobs, sort_keys=True)}
    return metadata | {f"rally.{key}": float(scores[key]) for key in SCORES if _has(scores, key)}


SCORES = ("test_bits_per_byte", "bits_per_byte")


def _has(scores: Mapping[str, Any], key: str) -> bool:
    return isinstance(scores.get(key), int | float)


def card_head(name: str, architecture: GgufArchitecture, kind: TypeName) -> str:
    """The head of the card: description and usage."""
    words = {"name": name, "file": file_name(name, kind), "architecture": architecture.name, "kind": kind}
    return CARD.format(**words, also=(IN_TRANSFORMERS if architecture.in_transformers else ELSEWHERE).format(**words).strip())


CARD = """library_name: gguf
pipeline_tag: text-generation
tags:
- rally
---

# {name}

A small language model, trained with Rally and exported for llama.cpp (architecture `{architecture}`, numbers in {kind}).

```sh
llama-completion -m {file} -no-cnv -p "Once upon a time" -n 100 --temp 0
```

It continues text; it has not learned to answer, hence `-no-cnv`. It was trained on contexts of `max_position_embeddings` tokens
(config.json), not on longer ones.

{also}
"""

IN_TRANSFORMERS = """
In transformers, with the packages gguf and accelerate:

```python
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

config, tokenizer = AutoConfig.from_pretrained("{name}"), AutoTokenizer.from_pretrained("{name}")
model = AutoModelForCausalLM.from_pretrained("{name}", gguf_file="{file}", config=config)
ids = tokenizer("Once upon a time", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=100)[0]))
```

Pass the config: transformers 5.23 does not read all of it from such a file.
"""

ELSEWHERE = "transformers 5.23 reads no GGUF file of this architecture; `rally export --to transformers` makes a folder for it."
