"""What a network that tells classes makes of one text or one image, from what goes in to what comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.paths import MODEL, TOKENS, meta_of, tokenizer_of
from pipeline.artifacts.reading import read_json
from pipeline.lab.look.request import Request, read_ids, word_of
from pipeline.params.errors import UserError, printable
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel

POOLED = "●"  # the place of the pooling, which is no token


@dataclass(frozen=True)
class LayerSeen:
    """What stands behind a layer: its shape, its size, and some of its features as maps, where they have places."""

    name: str
    shape: tuple[int, ...]
    rms: float
    features: np.ndarray | None


@dataclass(frozen=True)
class ClassifierPass:
    """What was seen.

    Attributes:
        network: which it is, in words; `given` is what it was given, in words.
        probabilities: of each class; `truth` is the number of the right one, where that is known.
        words: the tokens of a text, as they can stand in a picture; `image` are the pixels of an image.
        saliency: how much the loss of the class that is said hangs on each token or pixel, as a share of the largest.
        maps: attention probabilities [layer, head, query, key] of a text, or [layer, head, row, column] of an image's patches.
    """

    network: str
    notes: list[str]
    given: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    truth: int | None
    layers: list[LayerSeen]
    saliency: np.ndarray
    maps: np.ndarray
    parameters: int
    words: list[str] = field(default_factory=list)
    image: np.ndarray | None = None

    @property
    def said(self) -> int:
        """The number of the class that is said."""
        return int(np.nan_to_num(self.probabilities, nan=-1.0).argmax())

    @property
    def places(self) -> list[str]:
        """What stands at each place that heads look at: the tokens, behind the place of the pooling where there is one."""
        return [POOLED, *self.words] if len(self.words) < self.maps.shape[-1] else self.words

    def ranked(self) -> list[tuple[str, float]]:
        """Classes and their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.classes[place], float(self.probabilities[place])) for place in order]


def look_at(asked: Request, params: Params, subject: TrainedModel, network: str, notes: list[str]) -> ClassifierPass:
    """Run one example through a network that tells classes.

    Raises:
        UserError: there is no such image, or nothing in the text that the network can read.
    """
    from pipeline.tasks.classify import Classification
    from pipeline.tasks.vision import Vision

    task = subject.task
    if isinstance(task, Vision):
        if asked.prompt is not None or asked.ids is not None:
            option = "--prompt" if asked.prompt is not None else "--ids"
            raise UserError(f"{option}: this network looks at images; --image with a number or a file would do")
        pixels, truth, given = _image(asked.image or "0", task)
        seen = _seen(subject, task.standardised(pixels[None]))
        return _told(subject, seen, network, notes, given, truth, image=pixels)
    assert isinstance(task, Classification), "the two kinds that tell classes"
    if asked.image is not None:
        raise UserError("--image: this network reads text; --prompt would do")
    ids = read_ids(asked, params, subject.text_tokenizer, task.shape.vocabulary, task.length, notes)
    end = subject.tokenizer.end
    if asked.ids is None and end is not None and len(ids) < task.length:
        ids.append(end)  # as every text has that it learned from

    import torch

    words = [word_of(subject.text_tokenizer, token) for token in ids]
    return _told(subject, _seen(subject, torch.tensor([ids])), network, notes, "│".join(words), None, words=words)


def drawn(params: Params) -> TrainedModel:
    """The network of params.yaml before any training, over the data that is there.

    Raises:
        UserError: no such data is there.
    """
    if not meta_of(TOKENS).exists() or not _is_of(params):
        raise UserError(
            f"{meta_of(TOKENS)}: no data of kind {params.task.kind} is here; `dvc repro tokenize` makes it with these knobs"
        )
    import torch

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import TrainedModel
    from pipeline.tasks.base import Shape
    from pipeline.tasks.table import TASKS
    from pipeline.tokenizers.table import load as load_tokenizer

    runtime = Runtime(params.runtime)
    task = TASKS[params.task.kind](TOKENS, params.model, Shape.of(read_json(meta_of(TOKENS))))
    model = task.build(torch.Generator().manual_seed(params.seed)).to(runtime.device)
    tokenizer = load_tokenizer(tokenizer_of(TOKENS)) if params.task.kind == "classify" else None
    return TrainedModel(model, task, tokenizer, runtime, step=0)


def kind_of_trained(params: Params) -> str:
    """What the trained model was trained for; what params.yaml says where there is none."""
    describe_shape = MODEL.with_suffix(".json")
    return str(read_json(describe_shape, "task")["task"]) if describe_shape.exists() else params.task.kind


def _is_of(params: Params) -> bool:
    meta = read_json(meta_of(TOKENS))
    return bool(meta.get("classes")) and bool(meta.get("image")) == (params.task.kind == "vision")


# ------------------------------------------------------------------------------------------------------ what it is given


def _image(named: str, task: object) -> tuple[np.ndarray, int | None, str]:
    """(pixels, its class where that is known, what it is)."""
    from pipeline.tasks.vision import Vision

    assert isinstance(task, Vision)
    if re.fullmatch(r"[0-9]{1,12}", named):
        images, labels = task.images("validation")
        if (number := int(named)) >= len(images):
            raise UserError(
                f"--image: there is no {number:,}; held-out images (of the validation split) are 0 .. {len(images) - 1:,}"
            )
        return np.array(images[number]), int(labels[number]), f"held-out image {number:,}"
    path = Path(named)
    if not path.is_file():
        raise UserError(f"--image: {named!r} is no number of a held-out image, and there is no such file")
    from pipeline.corpus.sources.user.image_files import describe_shape, read_pixels

    pixels, wanted = read_pixels(path), tuple(task.shape.image)
    if pixels.shape[2] != wanted[2] and wanted[2] == 1:
        pixels = np.rint(pixels[..., :3].mean(axis=-1, keepdims=True)).astype(np.uint8)
    if pixels.shape != wanted:
        raise UserError(
            f"--image: {path} is {describe_shape(pixels.shape)}; this network looks at {wanted[1]} x {wanted[0]} pixels,"
            f" {'grey' if wanted[2] == 1 else 'in colour'}, and so would an image of that size"
        )
    return pixels, None, str(path)


# -------------------------------------------------------------------------------------------------------- what it makes


@dataclass(frozen=True)
class _Seen:
    probabilities: np.ndarray
    layers: list[LayerSeen]
    maps: np.ndarray
    saliency: np.ndarray


def _seen(subject: TrainedModel, inputs: object) -> _Seen:
    import torch

    from pipeline.probes.attention.maps import maps_of as attention_of
    from pipeline.probes.passes.forward import run
    from pipeline.probes.passes.layers import input_name, layer_names
    from pipeline.probes.prediction.saliency import input_gradients
    from pipeline.probes.signal.feature_maps import maps_of, most_varied

    assert isinstance(inputs, torch.Tensor)
    inputs = inputs.to(subject.runtime.device)
    trace = run(subject, inputs)
    features = maps_of(subject, trace)
    names = [input_name(subject), *layer_names(subject)] if trace.streams else []
    layers = [
        LayerSeen(
            name,
            tuple(stream.shape[1:]),
            float(stream.double().square().mean().sqrt()),
            features[place][0, most_varied(features[place])].cpu().numpy() if features else None,
        )
        for place, (name, stream) in enumerate(zip(names, trace.streams, strict=True))
    ]
    logits = trace.logits[0][0].double().cpu()
    said = logits.nan_to_num().argmax()[None]
    saliency = input_gradients(subject, inputs, said)[0].numpy()
    top = np.nanmax(saliency, initial=0.0)
    return _Seen(logits.softmax(dim=0).numpy(), layers, attention_of(subject, trace), saliency / (top or 1.0))


def _told(
    subject: TrainedModel,
    seen: _Seen,
    network: str,
    notes: list[str],
    given: str,
    truth: int | None,
    *,
    words: Sequence[str] = (),
    image: np.ndarray | None = None,
) -> ClassifierPass:
    from pipeline.probes.passes.held_out import classes_of

    parameters = sum(weight.numel() for weight in subject.model.parameters())
    classes = tuple(map(printable, classes_of(subject)))
    told = ClassifierPass(network, notes, printable(given), classes, parameters=parameters, truth=truth, **vars(seen))
    return replace(told, words=list(words), image=image)
