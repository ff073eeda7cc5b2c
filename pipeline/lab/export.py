"""The trained model as a folder for others: one that the library transformers loads by itself, or an ONNX file.

The first is written without that library: nothing of it is needed here but its names, which engine/architectures.py holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline import artifacts
from pipeline.artifacts import read_json, write_bytes, write_json, write_text
from pipeline.lab.model_card import card, is_ours
from pipeline.params import Model, Refusal, parse

if TYPE_CHECKING:
    from pipeline.engine.architectures import Architecture
    from pipeline.probes.base import Subject

Way = Literal["auto", "transformers", "onnx"]


def export(folder: Path, to: Way = "auto") -> str:
    """Write the trained model; what it has become, in words.

    Args:
        to: `auto` is transformers where a stock class holds the network, and ONNX where none does and it tells classes.

    Raises:
        Refusal: there is no trained model, the folder is somebody else's, the network has no place there, or a package is
            missing.
    """
    from pipeline.lab.sample import open_trained

    made_by = read_json(artifacts.MODEL.with_suffix(".json"), "model", "sha256")
    if folder.exists() and not (folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))):
        raise Refusal(f"{folder}: is there already, and no folder that `rally export` wrote; a new name would do")
    model, tells_classes = parse(Model, made_by["model"], ("model",)), bool(made_by.get("classes"))
    if to == "onnx" and not tells_classes:
        raise Refusal("--to onnx: is for networks that tell classes; a language model becomes one of transformers' own")
    way = _way(model, made_by) if to == "auto" else to
    if way == "onnx":
        from pipeline.lab import onnx_file

        onnx_file.check_packages()
        subject = open_trained()
        with _whole(folder) as unfinished:
            apart = onnx_file.write(unfinished, subject)
            write_text(unfinished / "README.md", card(onnx_file.about(folder.name, subject), made_by))
        return f"an ONNX file, whose logits are within {apart:.1g} of ours by onnxruntime, with what belongs to it and a card"
    if made_by.get("image"):
        return _images(folder, model, made_by)
    name, stock = placed(model, made_by)
    subject = open_trained()
    with _whole(folder) as unfinished:
        write(unfinished, subject, name, stock)
        write_text(unfinished / "README.md", card(_about(folder.name, stock, tells_classes), made_by))
    return f"a {_class_of(stock, tells_classes)}, with its tokenizer and a card"


def _images(folder: Path, model: Model, made_by: dict[str, Any]) -> str:
    """Write what looks at images as the one class of transformers that holds some of it.

    Raises:
        Refusal: with a line for each knob that has no place there.
    """
    from pipeline.lab import vision_transformer
    from pipeline.lab.sample import open_trained

    if problems := list(_lacks_classes(model, made_by)):
        raise Refusal(*problems)
    subject = open_trained()
    with _whole(folder) as unfinished:
        vision_transformer.write(unfinished, subject)
        about = vision_transformer.ABOUT.format(name=folder.name, image=" x ".join(map(str, made_by["image"])))
        write_text(unfinished / "README.md", card(about, made_by))
    return f"a {vision_transformer.NAME}, with a card"


def _whole(folder: Path) -> Any:
    from pipeline.corpus.documents import whole

    return whole(folder)


def _way(model: Model, made_by: dict[str, Any]) -> Way:
    """Transformers, wherever that will do; a language model has no other way, and hears why."""
    return "onnx" if made_by.get("classes") and any(_lacks_classes(model, made_by)) else "transformers"


def placed(model: Model, made_by: dict[str, Any] | None = None) -> tuple[str, Architecture]:
    """(the word of config.json for it, the architecture) that can hold a network.

    Args:
        made_by: what models/model.json says; a network that tells classes is one for sequence classification there.

    Raises:
        Refusal: none can; a line for each knob that has no place in the one that comes nearest.
    """
    from pipeline.engine.architectures import ARCHITECTURES, nearest
    from pipeline.lab.folded import folded_knobs

    name, _ = nearest(folded_knobs(model))
    problems = list(_lacks_classes(model, made_by) if made_by and made_by.get("classes") else _lacks(model))
    if problems:
        raise Refusal(*problems)
    return name, ARCHITECTURES[name]


def _lacks(model: Model) -> Iterator[str]:
    """A line for each knob that has no place in the architecture that comes nearest."""
    from pipeline.engine.architectures import ARCHITECTURES, nearest
    from pipeline.lab.folded import folded_knobs
    from pipeline.networks.inits import width_ratio

    plainer = folded_knobs(model)
    name, lacking = nearest(plainer)
    for knob in lacking:
        yield _no_place(knob, getattr(model, knob), ARCHITECTURES[name].holds[knob], name)
    if width_ratio(plainer) != 1:
        yield "model.tied: true has no place in transformers beside muP's divided logits; false would do"


def _lacks_classes(model: Model, made_by: dict[str, Any]) -> Iterator[str]:
    """The same for sequence classification, whose score looks at the last token, through a matrix without a bias."""
    if image := made_by.get("image"):
        from pipeline.lab.vision_transformer import HOLDS, NAME, lacks

        for knob in lacks(model, tuple(image)):
            would = HOLDS.get(knob) or tuple(side for side in range(1, model.patch) if not (image[0] % side or image[1] % side))
            yield _no_place(knob, getattr(model, knob), would, NAME)
        return
    yield from _lacks(model)
    for knob, wanted in (("causal", True), ("pooling", "last"), ("bias", False)):
        if getattr(model, knob) != wanted:
            yield _no_place(knob, getattr(model, knob), (wanted,), "sequence classification")


def _no_place(knob: str, value: object, holds: tuple[object, ...], name: str) -> str:
    *some, last = (json.dumps(one).replace('"', "'") for one in holds)
    would = f"{', '.join(some)} or {last}" if some else last
    shown = json.dumps(value).replace('"', "'")
    nearest = name.islower() and name.isidentifier()
    what = f"{name}, the nearest stock architecture of transformers" if nearest else f"transformers' {name}"
    return f"model.{knob}: {shown} has no place in {what}; {would} would do"


def write(folder: Path, subject: Subject, name: str, stock: Architecture) -> None:
    """All that the library reads: configurations, weights, tokenizer."""
    import safetensors.torch
    import torch

    from pipeline.corpus.hugging_face import tokenizer_config, tokenizer_json
    from pipeline.engine.pieces import Piece, pack
    from pipeline.lab.folded import folded, folded_knobs
    from pipeline.networks.classifier import Classifier
    from pipeline.networks.transformer import GPT
    from pipeline.tasks.classify import Classification

    network, tokenizer = subject.model, subject.tokenizer
    assert isinstance(network, GPT | Classifier)
    classifies, model = isinstance(network, Classifier), folded_knobs(network.knobs)
    weights = folded({name: weight.detach().cpu() for name, weight in network.named_parameters()}, network.knobs)
    special = {"bos_token_id": tokenizer.end, "eos_token_id": tokenizer.end, "pad_token_id": None}
    about: dict[str, Any] = {"architectures": [_class_of(stock, classifies)], "model_type": name, "dtype": "float32"}
    pieces = stock.pieces
    if classifies:
        # The last token that is no padding is looked for by its id, so that padding has one of its own, behind all others.
        special["pad_token_id"] = tokenizer.vocabulary
        assert isinstance(subject.task, Classification)
        labels = dict(enumerate(subject.task.shape.classes))
        about |= {"id2label": {str(number): label for number, label in labels.items()}}
        about |= {"label2id": {label: number for number, label in labels.items()}}
        pieces = (*(piece for piece in pieces if not piece.theirs.startswith("lm_head")), Piece("score.weight", "head.weight"))
        weights["embedding.weight"] = torch.cat((weights["embedding.weight"], torch.zeros(1, model.width)))
    else:
        write_json(folder / "generation_config.json", special)
    about |= {"vocab_size": tokenizer.vocabulary + classifies}
    write_json(folder / "config.json", about | special | stock.config(model))
    packed = pack(weights, pieces, model)
    write_bytes(folder / "model.safetensors", safetensors.torch.save(packed, {"format": "pt"}))
    write_json(folder / "tokenizer.json", tokenizer_json(tokenizer, closes=classifies))
    write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer, model.length, closes=classifies))


def _class_of(stock: Architecture, classifies: bool) -> str:
    """The name of the class that loads it."""
    if not classifies:
        return stock.name
    return stock.name.replace("LMHeadModel", "ForSequenceClassification").replace("ForCausalLM", "ForSequenceClassification")


# ----------------------------------------------------------------------------------------------------------- its card


def _about(name: str, stock: Architecture, classifies: bool) -> str:
    return (CLASSIFIER if classifies else WRITER).format(name=name, architecture=_class_of(stock, classifies))


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

It has seen contexts of `max_position_embeddings` tokens and no longer ones.
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

Each text ends with the end token, which the tokenizer puts there, and short ones are padded on the right. Of a text longer than
`max_position_embeddings` tokens it was shown the beginning: cut ids there, without another end.
"""
