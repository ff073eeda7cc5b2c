"""The trained model as a folder that the library transformers loads by itself: weights, tokenizer, and a card.

Written without that library: nothing of it is needed here but its names, which engine/architectures.py holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.artifacts import read_json, write_bytes, write_json, write_text
from pipeline.params import Model, Refusal, parse

if TYPE_CHECKING:
    from pipeline.engine.architectures import Architecture
    from pipeline.probes.base import Subject


def export(folder: Path) -> str:
    """Write the trained model; the name of the architecture that it has become.

    Raises:
        Refusal: there is no trained model, the folder is somebody else's, or knobs have no place in any architecture.
    """
    from pipeline.lab.sample import open_trained

    made_by = read_json(artifacts.MODEL.with_suffix(".json"), "model", "sha256")
    if folder.exists() and not (folder.is_dir() and (_is_ours(folder) or not any(folder.iterdir()))):
        raise Refusal(f"{folder}: is there already, and no folder that `rally export` wrote; a new name would do")
    name, stock = placed(parse(Model, made_by["model"], ("model",)))
    subject = open_trained()

    from pipeline.corpus.documents import whole

    with whole(folder) as unfinished:
        write(unfinished, subject, name, stock)
        write_text(unfinished / "README.md", card(folder.name, stock.name, made_by))
    return stock.name


def _is_ours(folder: Path) -> bool:
    card = folder / "README.md"
    return card.is_file() and "\n- rally\n" in card.read_text(encoding="utf-8", errors="replace")


def placed(model: Model) -> tuple[str, Architecture]:
    """(the word of config.json for it, the architecture) that can hold a network.

    Raises:
        Refusal: none can; a line for each knob that has no place in the one that comes nearest.
    """
    from pipeline.engine.architectures import ARCHITECTURES, nearest
    from pipeline.lab.folded import folded_knobs
    from pipeline.networks.inits import width_ratio

    plainer = folded_knobs(model)
    name, lacking = nearest(plainer)
    stock = ARCHITECTURES[name]
    problems = [_no_place(knob, getattr(model, knob), stock.holds[knob], name) for knob in lacking]
    if width_ratio(plainer) != 1:
        problems.append("model.tied: true has no place in transformers beside muP's divided logits; false would do")
    if problems:
        raise Refusal(*problems)
    return name, stock


def _no_place(knob: str, value: object, holds: tuple[object, ...], name: str) -> str:
    *some, last = (json.dumps(one).replace('"', "'") for one in holds)
    would = f"{', '.join(some)} or {last}" if some else last
    shown = json.dumps(value).replace('"', "'")
    return f"model.{knob}: {shown} has no place in {name}, the nearest stock architecture of transformers; {would} would do"


def write(folder: Path, subject: Subject, name: str, stock: Architecture) -> None:
    """All that the library reads: two configurations, weights, tokenizer."""
    import safetensors.torch

    from pipeline.corpus.hugging_face import tokenizer_config, tokenizer_json
    from pipeline.engine.pieces import pack
    from pipeline.lab.folded import folded, folded_knobs
    from pipeline.networks.transformer import GPT

    network, tokenizer = subject.model, subject.tokenizer
    assert isinstance(network, GPT)
    weights = folded({name: weight.detach().cpu() for name, weight in network.named_parameters()}, network.knobs)
    special = {"bos_token_id": tokenizer.end, "eos_token_id": tokenizer.end, "pad_token_id": None}
    about = {"architectures": [stock.name], "model_type": name, "vocab_size": tokenizer.vocabulary, "dtype": "float32"}
    model = folded_knobs(network.knobs)
    write_json(folder / "config.json", about | special | stock.config(model))
    write_json(folder / "generation_config.json", special)
    packed = pack(weights, stock.pieces, model)
    write_bytes(folder / "model.safetensors", safetensors.torch.save(packed, {"format": "pt"}))
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer))
    write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer, model.length))


# ----------------------------------------------------------------------------------------------------------- its card


def card(name: str, architecture: str, made_by: Mapping[str, Any]) -> str:
    """The README.md of an exported model: how to use it, how well it does, what it learned from, how it was made."""
    data, scores = _if_there(artifacts.CARD), _if_there(artifacts.EVALUATION)
    knobs = {section: made_by[section] for section in ("seed", "model", "train") if section in made_by}
    return CARD.format(
        name=name,
        architecture=architecture,
        scores=_scores(scores) or "They were not at hand when this was exported (`dvc repro evaluate` makes them).",
        data=_data(data) or "Its card was not at hand when this was exported.",
        step=made_by.get("step", "?"),
        knobs=json.dumps(knobs, indent=1, sort_keys=True),
    )


def _if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _scores(scores: Mapping[str, Any]) -> str:
    said = {
        "test_bits_per_byte": "bits a byte, test",
        "bits_per_byte": "bits a byte, validation",
        "loss": "nats a token, validation",
        "accuracy": "share of tokens guessed right, validation",
        "margin": "bits a byte below the best simple baseline, test",
    }
    rows = [f"| {said[key]} | {scores[key]:.4g} |" for key in said if isinstance(scores.get(key), int | float)]
    return "\n".join(["| measured | |", "|---|---|", *rows]) if rows else ""


def _data(data: Mapping[str, Any]) -> str:
    lines = [f"- {key}: {data[key]}" for key in ("name", "source", "licence", "split") if data.get(key)]
    sums = [f"- sha256 of {file}: `{digest}`" for file, digest in data.get("sha256", {}).items()]
    return "\n".join([*lines, *sums])


CARD = """---
library_name: transformers
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

It has seen contexts of `max_position_embeddings` tokens and no longer ones.

## How good it is

{scores}

## What it learned from

{data}

The licence is that of the text; what it means for a model that learned from it is for whoever shares the model to judge.

## How it was made

{step} steps, with these knobs:

```json
{knobs}
```
"""
