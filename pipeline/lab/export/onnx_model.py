"""A network that tells classes as an ONNX file: for whatever reads such files, in whatever language.

By torch's exporter, which follows the network that is there: no knob is named here, and none is without a place. What it
writes is run by onnxruntime before anybody gets it.
"""

from __future__ import annotations

import importlib.util
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
APART = 1e-4  # of two logits, at most
EXAMPLES, PLACES = 9, 7  # of what the exporter is shown; unlike each other, so that it takes neither for the other


def check_packages() -> None:
    """See that what is needed is there, before anything is opened.

    Raises:
        UserError: a package is missing.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"--to onnx: needs the package{'s' if len(missing) > 1 else ''} {', '.join(missing)};"
            " `pip install -c constraints.txt -e '.[export]'` in the top folder installs what is pinned"
        )


def write(folder: Path, subject: TrainedModel) -> float:
    """The file, and what one must know to use it; how far its logits are from ours at most.

    Raises:
        UserError: they are too far apart.
    """
    network, inputs = _plain(subject)
    content = exported(network, inputs[0], "images" if subject.text_tokenizer is None else "ids")
    write_bytes(folder / "model.onnx", content)
    write_json(folder / "classes.json", description(subject))
    if subject.text_tokenizer is not None:
        write_json(folder / "tokenizer.json", tokenizer_json(subject.text_tokenizer, closes=True))
        write_json(folder / "tokenizer_config.json", tokenizer_config(subject.text_tokenizer, subject.task.length, closes=True))
    apart = largest_difference(content, network, inputs)
    if not apart < APART:
        raise UserError(f"--to onnx: onnxruntime computes logits that are {apart:.2g} from ours; {APART:g} is allowed")
    return apart


def _plain(subject: TrainedModel) -> tuple[nn.Module, list[Tensor]]:
    """The network as others use it, and what it is tried on: held-out examples, alone and together, long and short."""
    network = subject.model.cpu().eval().requires_grad_(False)
    rows = np.arange(min(subject.task.size("validation"), EXAMPLES))
    if isinstance(subject.task, Vision):
        meta = read_json(meta_of(subject.task.tokens), "mean", "deviation")
        pixels = torch.from_numpy(np.array(subject.task.images("validation")[0][rows]))
        many = pixels[torch.arange(EXAMPLES) % len(pixels)]
        return OfPixels(network, meta["mean"], meta["deviation"]).eval(), [many, many[:1], many[:4]]
    batch = subject.task.batch("validation", rows).inputs
    most = min(PLACES, subject.task.length)
    many = torch.arange(EXAMPLES * most).view(EXAMPLES, most) % subject.tokenizer.vocabulary
    many[0, most // 2 + 1 :] = -1  # padding
    return network, [many, batch, batch[:1], batch[:4, : max(1, batch.shape[1] // 2)], many[1:, :1]]


class OfPixels(nn.Module):
    """A network with what stands before it: bytes of pixels in the mean and the deviation of those that it learned from."""

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
    """The content of the file: examples in, of any number, and of texts of any length; logits out."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it says at each start that there is no torchvision
    free = {0: torch.export.Dim.DYNAMIC} | ({1: torch.export.Dim.DYNAMIC} if name == "ids" else {})
    named: dict[str, Any] = {"input_names": [name], "output_names": ["logits"], "dynamic_shapes": (free,)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what torch thinks of its own words
        program = torch.onnx.export(network, (example,), dynamo=True, verbose=False, **named)
    assert program is not None, "the exporter that follows the network returns what it has made"
    content: bytes = program.model_proto.SerializeToString()
    return content


def largest_difference(content: bytes, network: nn.Module, inputs: list[Tensor]) -> float:
    """Of logits that onnxruntime computes from the file and ours, over some batches."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name, apart = session.get_inputs()[0].name, 0.0
    with torch.no_grad():
        for batch in inputs:
            theirs = session.run(None, {name: batch.numpy()})[0]
            apart = max(apart, float(np.abs(theirs - network(batch).numpy()).max()))
    return apart


def _shape(subject: TrainedModel) -> Shape:
    assert isinstance(subject.task, Classification | Vision), "what is exported so tells classes"
    return subject.task.shape


def description(subject: TrainedModel) -> dict[str, Any]:
    """What a number of the logits means, and what the network wants to be given."""
    shape = _shape(subject)
    if subject.text_tokenizer is None:
        return {"classes": list(shape.classes), "input": "images", "image": list(shape.image)}
    text = {"length": subject.task.length, "end": subject.text_tokenizer.end, "padding": -1}
    return {"classes": list(shape.classes), "input": "ids"} | text


# ----------------------------------------------------------------------------------------------------------- its card


def about(name: str, subject: TrainedModel) -> str:
    """The head of its card: what it is, and how it is used."""
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

It wants pixels as they are, bytes from 0 to 255, of {image} (height, width, channels): to put them in the mean and the
deviation of those that it learned from is a part of it.
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
tokenizer = tokenizers.Tokenizer.from_file("{name}/tokenizer.json")  # which puts the end behind each text
texts = [tokenizer.encode(text).ids[:{length}] for text in ("a text", "and another one")]
longest = max(map(len, texts))
ids = numpy.array([text + [-1] * (longest - len(text)) for text in texts])  # -1 is padding, behind what is shorter
print([classes[number] for number in session.run(None, {{"ids": ids}})[0].argmax(axis=1)])
```

It reads {length} tokens at most; of a longer text it was shown the beginning.
"""
