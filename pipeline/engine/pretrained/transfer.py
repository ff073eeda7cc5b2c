"""Transfer from a pretrained model: initial weights (train.init_from), and the teacher of a distillation (train.teacher)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from pipeline.engine.pretrained.architectures import normalized_value
from pipeline.engine.pretrained.names import hidden_of
from pipeline.engine.pretrained.rally_model import RallyModel
from pipeline.engine.pretrained.source import PretrainedModel, load_network, open_pretrained, required_knobs
from pipeline.networks.classifier import Classifier
from pipeline.networks.inits import width_ratio
from pipeline.networks.pooling import FirstPooling
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.tasks.base import Shape

SHOWN = 3  # classes named in a message


def load_initial_weights(folder: Path, network: nn.Module, shape: Shape, tokens: Path) -> set[str]:
    """Copy the weights in a folder into a network; the names of the parameters that were copied (`inherited_names`).

    Args:
        shape: of data/tokens, for which the network was built.
        tokens: that folder.

    Raises:
        UserError: with a line for each knob that must have another value; or the weights cannot be read.
    """
    assert isinstance(network, GPT | Classifier)
    found = open_pretrained(folder)
    if problems := [
        *_task_mismatches(found, network, shape),
        *_data_mismatches(found, "train.init_from", shape, tokens),
        *_knob_mismatches(found, network),
    ]:
        raise UserError(*problems)
    names = inherited_names(found, network)
    if isinstance(network, GPT) or found.kind == "classify":
        found.load_into(network)
        return names
    body = dict(_language_model(found, network.knobs, shape.vocabulary).named_parameters())
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name in names:
                weight.copy_(body[name])
    return names


NEW = ("head.", "pooling.")  # parameters of a classifier that language models do not have


def inherited_names(found: PretrainedModel, network: nn.Module) -> set[str]:
    """The names of the parameters that a network takes over from a pretrained model.

    A classifier can start from a language model: it takes over embedding, mixer, positions, blocks and the last norm, while
    pooling and head keep their random weights. From a classifier it takes over everything.
    """
    new = NEW if isinstance(network, Classifier) and found.kind == "language" else ()
    return {name for name, _ in network.named_parameters() if not name.startswith(new)}


def _language_model(found: PretrainedModel, like: Model, vocabulary: int) -> nn.Module:
    """A pretrained language model, with the knobs of a classifier that starts from it."""
    if isinstance(found, RallyModel):
        return found.network()
    # `_data_mismatches` has compared the vocabulary of the classifier's embedding with the model's.
    network = GPT(like.model_copy(update={"tie_embeddings": found.knobs["tie_embeddings"][0]}), vocabulary, torch.Generator())
    found.load_into(network)
    return network


def freeze(network: nn.Module, names: set[str]) -> None:
    """Freeze parameters: they get no gradient and are not updated.

    Raises:
        UserError: no parameter would be left to train.
    """
    if not {name for name, weight in network.named_parameters() if weight.requires_grad} - names:
        raise UserError("train.freeze: true leaves nothing to train, since train.init_from gives every weight; use false")
    for name, weight in network.named_parameters():
        if name in names:
            weight.requires_grad_(False)


def load_teacher(folder: Path, kind: str, model: Model, shape: Shape, tokens: Path) -> nn.Module:
    """The network in a folder as a teacher, frozen.

    Args:
        kind, model, shape: the task, the knobs and the data of the student.
        tokens: the folder data/tokens.

    Raises:
        UserError: it was trained on another task, with another tokenizer or a shorter context; or it cannot be read.
    """
    found = open_pretrained(folder)
    if found.kind != kind:
        raise UserError(
            f"train.teacher: {folder} was trained with task.kind {found.kind}; use one that was trained with {kind}"
        )
    problems = [*_class_mismatches(found, "train.teacher", shape), *_data_mismatches(found, "train.teacher", shape, tokens)]
    if kind != "vision" and found.length < model.context_length:
        problems.append(
            f"model.context_length: {model.context_length} is longer than that of train.teacher; use at most {found.length}"
        )
    if problems:
        raise UserError(*problems)
    network = found.network() if isinstance(found, RallyModel) else load_network(found, model, shape.vocabulary)
    return network.eval().requires_grad_(False)


# ------------------------------------------------------------------------------------------------------------ mismatches


def _task_mismatches(found: PretrainedModel, network: GPT | Classifier, shape: Shape) -> Iterator[str]:
    """Why a model of one kind of task cannot initialize a network of another."""
    kind = "language" if isinstance(network, GPT) else "classify"
    if found.kind not in ("language", kind):
        yield f"train.init_from: {found.folder} was trained with task.kind {found.kind}, which cannot initialize {kind}"
    elif found.kind == "classify":
        yield from _class_mismatches(found, "train.init_from", shape)
    elif isinstance(network, Classifier) and network.knobs.position == "learned" and isinstance(network.pooling, FirstPooling):
        yield (
            f"model.pooling: 'first' adds a position, which the learned positions of {found.folder} lack;"
            " use mean, last or attention"
        )


def _class_mismatches(found: PretrainedModel, knob: str, shape: Shape) -> Iterator[str]:
    if found.classes != shape.classes:
        theirs, ours = (
            ", ".join([*classes[:SHOWN], *(["…"] if len(classes) > SHOWN else [])]) + f" ({len(classes)})"
            for classes in (found.classes, shape.classes)
        )
        yield f"{knob}: {found.folder} has the classes {theirs}, but data/tokens has {ours}"


def _data_mismatches(found: PretrainedModel, knob: str, shape: Shape, tokens: Path) -> Iterator[str]:
    """Why a model cannot read the data in data/tokens."""
    padded = not isinstance(found, RallyModel) and found.vocabulary > shape.vocabulary
    if found.vocabulary != shape.vocabulary and not padded:
        yield f"{knob}: {found.folder} has a vocabulary of {found.vocabulary:,}, but data/tokens has {shape.vocabulary:,}"
    if found.same_tokenizer(tokens):
        return
    if shape.image:
        yield f"{knob}: {found.folder} was trained on images with another size, scale or count than those in data/tokens"
    else:
        yield (
            f"{knob}: {found.folder} was trained with another tokenizer than data/tokens;"
            f" use -S tokenize.kind=file -S tokenize.path={found.folder} if it has a tokenizer.json"
        )


def _knob_mismatches(found: PretrainedModel, network: GPT | Classifier) -> Iterator[str]:
    """A line for each knob that differs from the pretrained model's."""
    model = network.knobs
    for knob, values in required_knobs(found, model.context_length).items():
        if knob == "tie_embeddings" and isinstance(network, Classifier):
            continue  # a classifier does not take over the head
        here = normalized_value(model, knob)
        if knob == "mlp_ratio":  # compared by the number of hidden features
            equal = any(hidden_of(model.model_copy(update={knob: value})) == hidden_of(model) for value in values)
        else:
            equal = here in values
        if not equal:
            wanted = " or ".join(json.dumps(value).replace('"', "'") for value in values)
            yield f"model.{knob}: {json.dumps(here)} differs from train.init_from, {found.folder}; use {wanted}"
    if width_ratio(model) != found.mup_ratio:
        wanted = "'gpt2'" if found.mup_ratio == 1 else f"'mup' with model.base_width {round(model.width / found.mup_ratio)}"
        yield f"model.init: '{model.init}' scales logits differently from train.init_from, {found.folder}; use {wanted}"
    if model.position == "learned" and "context_length" not in found.knobs and found.length < model.context_length:
        yield (
            f"model.context_length: {model.context_length} is longer than that of train.init_from, {found.folder};"
            f" use at most {found.length}"
        )
