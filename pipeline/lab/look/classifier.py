"""A classifier's forward pass on one text or image: probabilities, layers, attention, saliency."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.paths import MODEL, TOKENS, meta_of, tokenizer_of
from pipeline.artifacts.reading import read_json
from pipeline.lab.look.request import Request, read_ids, token_text
from pipeline.params.errors import UserError, printable
from pipeline.params.schema import Params

if TYPE_CHECKING:
    from pipeline.inference.trained import TrainedModel

POOLED = "●"  # the position of the pooling, which is not a token


@dataclass(frozen=True)
class LayerOutput:
    """The output of a layer: its shape, its RMS, and some of its features as maps if they have positions."""

    name: str
    shape: tuple[int, ...]
    rms: float
    features: np.ndarray | None


@dataclass(frozen=True)
class ClassifierPass:
    """The result of a classifier's forward pass on one example.

    Attributes:
        network: which one, in words.
        example: the input, in words.
        probabilities: of each class [classes].
        truth: the number of the right class; None if unknown.
        words: the tokens of a text, printable; `image` are the pixels [height, width, channels] of an image.
        saliency: |∂ loss of the predicted class / ∂ input| of each token or pixel, as a share of the largest.
        maps: attention probabilities [layer, head, query, key] of a text, or [layer, head, row, column] of an image's patches.
    """

    network: str
    notes: list[str]
    example: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    truth: int | None
    layers: list[LayerOutput]
    saliency: np.ndarray
    maps: np.ndarray
    parameters: int
    words: list[str] = field(default_factory=list)
    image: np.ndarray | None = None

    @property
    def predicted(self) -> int:
        """The number of the predicted class."""
        return int(np.nan_to_num(self.probabilities, nan=-1.0).argmax())

    @property
    def positions(self) -> list[str]:
        """The labels of the positions that heads attend to: the tokens, after the pooling position if there is one."""
        return [POOLED, *self.words] if len(self.words) < self.maps.shape[-1] else self.words

    def ranked(self) -> list[tuple[str, float]]:
        """Classes and their probabilities, the most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.classes[place], float(self.probabilities[place])) for place in order]


def classify_example(request: Request, params: Params, subject: TrainedModel, network: str, notes: list[str]) -> ClassifierPass:
    """Run one example through a classifier.

    Raises:
        UserError: there is no such image, or the tokenizer knows no character of the text.
    """
    from pipeline.tasks.classify import Classification
    from pipeline.tasks.vision import Vision

    task = subject.task
    if isinstance(task, Vision):
        if request.prompt is not None or request.ids is not None:
            option = "--prompt" if request.prompt is not None else "--ids"
            raise UserError(f"{option}: this network reads images; use --image with a number or a file")
        pixels, truth, example = _image(request.image or "0", task)
        outputs = _outputs(subject, task.standardised(pixels[None]))
        return _result(subject, outputs, network, notes, example, truth, image=pixels)
    assert isinstance(task, Classification), "the two kinds of classifiers"
    if request.image is not None:
        raise UserError("--image: this network reads text; use --prompt")
    ids = read_ids(request, params, subject.text_tokenizer, task.shape.vocabulary, task.length, notes)
    end = subject.tokenizer.end
    if request.ids is None and end is not None and len(ids) < task.length:
        ids.append(end)  # as in every text of its training

    import torch

    words = [token_text(subject.text_tokenizer, token) for token in ids]
    return _result(subject, _outputs(subject, torch.tensor([ids])), network, notes, "│".join(words), None, words=words)


def untrained_subject(params: Params) -> TrainedModel:
    """The network of params.yaml before training, for the data in data/tokens.

    Raises:
        UserError: there is no data of this kind.
    """
    if not meta_of(TOKENS).exists() or not _data_fits(params):
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


def trained_kind(params: Params) -> str:
    """The task.kind of the trained model; that of params.yaml if there is none."""
    described = MODEL.with_suffix(".json")
    return str(read_json(described, "task")["task"]) if described.exists() else params.task.kind


def _data_fits(params: Params) -> bool:
    meta = read_json(meta_of(TOKENS))
    return bool(meta.get("classes")) and bool(meta.get("image")) == (params.task.kind == "vision")


# ------------------------------------------------------------------------------------------------------ the example


def _image(named: str, task: object) -> tuple[np.ndarray, int | None, str]:
    """(pixels, its class if known, a description)."""
    from pipeline.tasks.vision import Vision

    assert isinstance(task, Vision)
    if re.fullmatch(r"[0-9]{1,12}", named):
        images, labels = task.images("validation")
        if (number := int(named)) >= len(images):
            raise UserError(f"--image: there is no {number:,}; validation images are 0 .. {len(images) - 1:,}")
        return np.array(images[number]), int(labels[number]), f"validation image {number:,}"
    path = Path(named)
    if not path.is_file():
        raise UserError(f"--image: {named!r} is neither the number of a validation image nor a file")
    from pipeline.corpus.sources.user.image_files import describe_shape, read_pixels

    pixels, wanted = read_pixels(path), tuple(task.shape.image)
    if pixels.shape[2] != wanted[2] and wanted[2] == 1:
        pixels = np.rint(pixels[..., :3].mean(axis=-1, keepdims=True)).astype(np.uint8)
    if pixels.shape != wanted:
        raise UserError(
            f"--image: {path} is {describe_shape(pixels.shape)}; this network reads {wanted[1]} x {wanted[0]} pixels,"
            f" {'grey' if wanted[2] == 1 else 'in colour'}; resize the image"
        )
    return pixels, None, str(path)


# -------------------------------------------------------------------------------------------------------- the forward pass


@dataclass(frozen=True)
class _Outputs:
    probabilities: np.ndarray
    layers: list[LayerOutput]
    maps: np.ndarray
    saliency: np.ndarray


def _outputs(subject: TrainedModel, inputs: object) -> _Outputs:
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
        LayerOutput(
            name,
            tuple(stream.shape[1:]),
            float(stream.double().square().mean().sqrt()),
            features[place][0, most_varied(features[place])].cpu().numpy() if features else None,
        )
        for place, (name, stream) in enumerate(zip(names, trace.streams, strict=True))
    ]
    with torch.no_grad(), subject.runtime.autocast():  # once more, for the pass over the layers keeps no logits
        logits = subject.model(inputs)[0].double().cpu()
    predicted = logits.nan_to_num().argmax()[None]
    saliency = input_gradients(subject, inputs, predicted)[0].numpy()
    top = np.nanmax(saliency, initial=0.0)
    return _Outputs(logits.softmax(dim=0).numpy(), layers, attention_of(subject, trace), saliency / (top or 1.0))


def _result(
    subject: TrainedModel,
    outputs: _Outputs,
    network: str,
    notes: list[str],
    example: str,
    truth: int | None,
    *,
    words: Sequence[str] = (),
    image: np.ndarray | None = None,
) -> ClassifierPass:
    from pipeline.probes.passes.held_out import classes_of

    parameters = sum(weight.numel() for weight in subject.model.parameters())
    classes = tuple(map(printable, classes_of(subject)))
    result = ClassifierPass(network, notes, printable(example), classes, parameters=parameters, truth=truth, **vars(outputs))
    return replace(result, words=list(words), image=image)
