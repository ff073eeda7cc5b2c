"""Export of image transformers as the Vision Transformer of transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_bytes, write_json
from pipeline.engine.pretrained.architectures import normalized_value
from pipeline.engine.pretrained.names import UNGATED, VIT, hidden_of
from pipeline.engine.pretrained.weight_map import pack
from pipeline.inference.trained import TrainedModel
from pipeline.lab.export.fold_scales import folded, folded_knobs
from pipeline.lab.export.transformers_text import unsupported
from pipeline.networks.images import ImageTransformer
from pipeline.networks.norms import EPSILON
from pipeline.params.model import Model
from pipeline.tasks.base import Shape
from pipeline.tasks.vision import Vision

NAME = "ViTForImageClassification"
BRIGHTEST = 255.0  # value of a byte

# Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021. Fixed positions, norms without weights and layers without biases
# are exported as learned ones that hold sines, ones and zeros.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "network": ("transformer",),
    "pooling": ("first",),
    "causal": ("auto", False),
    "position": ("none", "sinusoidal", "learned"),
    "norm": ("layer_plain", "layer"),
    "activation": tuple(UNGATED),
    "attention": ("full",),
    "residual": ("pre",),
    "kv_heads": (0,),
    "qk_norm": (False,),
    "attention_softcap": (0.0,),
}


def unsupported_knobs(model: Model, image: tuple[int, ...]) -> Iterator[str]:
    """The knobs that it does not support; the patch size must divide the sides of the image."""
    folded_model = folded_knobs(model)
    yield from (knob for knob, values in SUPPORTED.items() if normalized_value(folded_model, knob) not in values)
    if any(side % min(model.patch_size, side) for side in image[:2]):
        yield "patch_size"


def problems(model: Model, image: tuple[int, ...]) -> Iterator[str]:
    """A line for each knob that it does not support."""
    for knob in unsupported_knobs(model, image):
        dividing = tuple(side for side in range(1, model.patch_size) if not any(whole % side for whole in image[:2]))
        yield unsupported(model, knob, SUPPORTED.get(knob, dividing), f"transformers' {NAME}")


def write(folder: Path, subject: TrainedModel) -> None:
    """Write the files that transformers reads: two configurations and the weights."""
    network, task = subject.model, subject.task
    assert isinstance(network, ImageTransformer) and isinstance(task, Vision)
    places = network.patches.size[0] * network.patches.size[1] + 1  # one more for the class token
    model, shape = folded_knobs(network.knobs).model_copy(update={"context_length": places}), task.shape
    weights = folded({name: weight.detach().cpu() for name, weight in network.named_parameters()}, network.knobs)
    sides = network.patches.sides
    write_json(folder / "config.json", config(model, shape, sides))
    packed = in_vit_layout(pack(weights, VIT, model), sides)
    write_bytes(folder / "model.safetensors", safetensors.torch.save(packed, {"format": "pt"}))
    write_json(folder / "preprocessor_config.json", preprocessing(read_json(meta_of(task.tokens), "mean", "deviation"), shape))


def in_vit_layout(packed: dict[str, Tensor], sides: tuple[int, ...]) -> dict[str, Tensor]:
    """The weights with the three whose shapes differ: class token and positions [1, ...], patch projection by channel."""
    places, projection = "vit.embeddings.position_embeddings", "vit.embeddings.patch_embeddings.projection.weight"
    start = "vit.embeddings.cls_token"
    by_channel = packed[projection].unflatten(1, (*sides, -1)).permute(0, 3, 1, 2).contiguous()
    return packed | {start: packed[start][None], places: packed[places][None], projection: by_channel}


def config(model: Model, shape: Shape, sides: tuple[int, ...]) -> dict[str, Any]:
    """Its config.json."""
    labels = dict(enumerate(shape.classes))
    return {
        "architectures": [NAME],
        "model_type": "vit",
        "dtype": "float32",
        "num_hidden_layers": model.depth,
        "hidden_size": model.width,
        "num_attention_heads": model.heads,
        "intermediate_size": hidden_of(model),
        "hidden_act": UNGATED[model.activation],
        "layer_norm_eps": EPSILON,
        "qkv_bias": True,
        "image_size": list(shape.image[:2]),
        "patch_size": list(sides),
        "num_channels": shape.image[2],
        "id2label": {str(number): label for number, label in labels.items()},
        "label2id": {label: number for number, label in labels.items()},
        **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0),
    }


def preprocessing(meta: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Its preprocessor_config.json: from bytes to the input of the network."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": False,
        "size": {"height": shape.image[0], "width": shape.image[1]},
        "do_rescale": True,
        "rescale_factor": 1 / BRIGHTEST,
        "do_normalize": True,
        "image_mean": [mean / BRIGHTEST for mean in meta["mean"]],
        "image_std": [deviation / BRIGHTEST for deviation in meta["deviation"]],
    }


def card_head(name: str, image: tuple[int, ...]) -> str:
    """The head of the card: description and usage."""
    return ABOUT.format(name=name, image=" x ".join(map(str, image)))


ABOUT = """library_name: transformers
pipeline_tag: image-classification
tags:
- rally
---

# {name}

A small classifier of images, trained with Rally and exported as a stock `ViTForImageClassification`: no remote code is needed.

```python
import json, torch
from transformers import AutoModelForImageClassification

model, scale = AutoModelForImageClassification.from_pretrained("{name}"), json.load(open("{name}/preprocessor_config.json"))
images = torch.zeros(1, model.config.num_channels, *model.config.image_size)  # bytes from 0 to 255
mean, deviation = (torch.tensor(scale[key]).view(-1, 1, 1) for key in ("image_mean", "image_std"))
logits = model((images * scale["rescale_factor"] - mean) / deviation).logits
print([model.config.id2label[number] for number in logits.argmax(dim=-1).tolist()])
```

It was trained on images of {image} (height, width, channels), not on other sizes.
"""
