"""A classifier as an ONNX file.

It is written by torch's exporter, which traces the network, so every knob is supported. Before it is kept, onnxruntime runs it
and the logits are compared.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import read_json
from pipeline.artifacts.writing import write_bytes, write_json
from pipeline.corpus.encode.tokenizer_json import tokenizer_config, tokenizer_json
from pipeline.inference.trained import TrainedModel
from pipeline.params.errors import UserError
from pipeline.tasks.base import Shape
from pipeline.tasks.classify import Classification
from pipeline.tasks.vision import Vision

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # the extra `export`
TOLERANCE = 1e-4  # largest difference of two logits
EXAMPLES, PLACES = 9, 7  # of the exporter's example input; different, so that it does not confuse them


def write(folder: Path, subject: TrainedModel) -> float:
    """Write the file and what its use needs; the largest difference of its logits from Rally's.

    Raises:
        UserError: the difference is too large.
    """
    network, inputs = _inference_network(subject)
    content = exported(network, inputs[0], "images" if subject.text_tokenizer is None else "ids")
    write_bytes(folder / "model.onnx", content)
    write_json(folder / "classes.json", description(subject))
    if subject.text_tokenizer is not None:
        write_json(folder / "tokenizer.json", tokenizer_json(subject.text_tokenizer, closes=True))
        write_json(folder / "tokenizer_config.json", tokenizer_config(subject.text_tokenizer, subject.task.length, closes=True))
    difference = largest_difference(content, network, inputs)
    if not difference < TOLERANCE:
        raise UserError(
            f"--to onnx: the logits of onnxruntime differ from Rally's by {difference:.2g}; at most {TOLERANCE:g} is allowed"
        )
    return difference


def _inference_network(subject: TrainedModel) -> tuple[nn.Module, list[Tensor]]:
    """The network for export, and inputs to compare it on: validation examples, single and batched, long and short."""
    network = subject.model.cpu().eval().requires_grad_(False)
    rows = np.arange(min(subject.task.size("validation"), EXAMPLES))
    if isinstance(subject.task, Vision):
        meta = read_json(meta_of(subject.task.tokens), "mean", "deviation")
        pixels = torch.from_numpy(np.array(subject.task.images("validation")[0][rows]))
        many = pixels[torch.arange(EXAMPLES) % len(pixels)]
        return Normalized(network, meta["mean"], meta["deviation"]).eval(), [many, many[:1], many[:4]]
    batch = subject.task.batch("validation", rows).inputs
    most = min(PLACES, subject.task.length)
    many = torch.arange(EXAMPLES * most).view(EXAMPLES, most) % subject.tokenizer.vocabulary
    many[0, most // 2 + 1 :] = -1  # padding
    return network, [many, batch, batch[:1], batch[:4, : max(1, batch.shape[1] // 2)], many[1:, :1]]


class Normalized(nn.Module):
    """A network that normalizes pixels first, by the mean and the deviation of the training images."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images.float() - self.mean) / self.deviation)


def exported(network: nn.Module, example: Tensor, name: str) -> bytes:
    """The content of the file: from a batch of any size, and texts of any length, to logits."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns at each start that torchvision is missing
    free = {0: torch.export.Dim.DYNAMIC} | ({1: torch.export.Dim.DYNAMIC} if name == "ids" else {})
    named: dict[str, Any] = {"input_names": [name], "output_names": ["logits"], "dynamic_shapes": (free,)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch's own names
        program = torch.onnx.export(network, (example,), dynamo=True, verbose=False, **named)
    assert program is not None, "with dynamo=True the exporter returns a program"
    content: bytes = program.model_proto.SerializeToString()
    return content


def largest_difference(content: bytes, network: nn.Module, inputs: list[Tensor]) -> float:
    """The largest difference between the logits of onnxruntime and of the network, over some batches."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name, difference = session.get_inputs()[0].name, 0.0
    with torch.no_grad():
        for batch in inputs:
            theirs = session.run(None, {name: batch.numpy()})[0]
            difference = max(difference, float(np.abs(theirs - network(batch).numpy()).max()))
    return difference


def _shape(subject: TrainedModel) -> Shape:
    assert isinstance(subject.task, Classification | Vision), "only classifiers are exported to ONNX"
    return subject.task.shape


def description(subject: TrainedModel) -> dict[str, Any]:
    """The classes of the logits, and the form of the input."""
    shape = _shape(subject)
    if subject.text_tokenizer is None:
        return {"classes": list(shape.classes), "input": "images", "image": list(shape.image)}
    text = {"length": subject.task.length, "end": subject.text_tokenizer.end, "padding": -1}
    return {"classes": list(shape.classes), "input": "ids"} | text


# ----------------------------------------------------------------------------------------------------------- the card


def card_head(name: str, subject: TrainedModel) -> str:
    """The head of the card: description and usage."""
    shape = _shape(subject)
    form = OF_TEXTS if subject.text_tokenizer is not None else OF_IMAGES
    return form.format(name=name, image=" x ".join(map(str, shape.image)), length=subject.task.length)


OF_IMAGES = """library_name: onnx
pipeline_tag: image-classification
tags:
- rally
---

# {name}

A small classifier of images, trained with Rally and exported to ONNX.

```python
import json, numpy, onnxruntime

session, classes = onnxruntime.InferenceSession("{name}/model.onnx"), json.load(open("{name}/classes.json"))["classes"]
images = numpy.zeros((1, *json.load(open("{name}/classes.json"))["image"]), numpy.uint8)  # [how many, height, width, channels]
print([classes[number] for number in session.run(None, {{"images": images}})[0].argmax(axis=1)])
```

The input is bytes from 0 to 255 of shape {image} (height, width, channels); the model normalizes them itself.
"""

OF_TEXTS = """library_name: onnx
pipeline_tag: text-classification
tags:
- rally
---

# {name}

A small classifier of texts, trained with Rally and exported to ONNX.

```python
import json, numpy, onnxruntime, tokenizers

session, classes = onnxruntime.InferenceSession("{name}/model.onnx"), json.load(open("{name}/classes.json"))["classes"]
tokenizer = tokenizers.Tokenizer.from_file("{name}/tokenizer.json")  # appends the end token to each text
texts = [tokenizer.encode(text).ids[:{length}] for text in ("a text", "and another one")]
longest = max(map(len, texts))
ids = numpy.array([text + [-1] * (longest - len(text)) for text in texts])  # -1 is padding, after shorter texts
print([classes[number] for number in session.run(None, {{"ids": ids}})[0].argmax(axis=1)])
```

It reads at most {length} tokens; in training, longer texts were cut at their end.
"""
