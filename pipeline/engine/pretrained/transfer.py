"""What a network has from another: weights to begin with, or answers to learn."""

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

SHOWN = 3  # classes that a line names


def load_initial_weights(folder: Path, network: nn.Module, shape: Shape, tokens: Path) -> set[str]:
    """Fill a network with the weights that a folder holds; the names of those that it had (`inherited`).

    Args:
        shape: of what is in data/tokens, for which the network was made.

    Raises:
        UserError: with a line for each knob that must be another for that; or the weights cannot be read.
    """
    assert isinstance(network, GPT | Classifier)
    found = open_pretrained(folder)
    if problems := [
        *_task_mismatches(found, network, shape),
        *_data_mismatches(found, "train.init_from", shape, tokens),
        *_knob_mismatches(found, network),
    ]:
        raise UserError(*problems)
    taken = inherited_names(found, network)
    if isinstance(network, GPT) or found.kind == "classify":
        found.fill(network)
        return taken
    body = dict(_language_model(found, network.knobs, shape.vocabulary).named_parameters())
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name in taken:
                weight.copy_(body[name])
    return taken


NEW = ("head.", "pooling.")  # what a classifier has that no language model has


def inherited_names(found: PretrainedModel, network: nn.Module) -> set[str]:
    """The names of the weights that a network takes over.

    A classifier may begin with a language model: it takes over embedding, mixer, positions, blocks and the last norm, while
    pooling and head stay as they were drawn. From a classifier it takes over everything.
    """
    new = NEW if isinstance(network, Classifier) and found.kind == "language" else ()
    return {name for name, _ in network.named_parameters() if not name.startswith(new)}


def _language_model(found: PretrainedModel, like: Model, vocabulary: int) -> nn.Module:
    """A language model that is given, in the knobs of a classifier that is to begin with it."""
    if isinstance(found, RallyModel):
        return found.network()
    # A classifier has no head: its vocabulary, which `_apart` has compared, is that of its embedding.
    network = GPT(like.model_copy(update={"tie_embeddings": found.knobs["tie_embeddings"][0]}), vocabulary, torch.Generator())
    found.fill(network)
    return network


def freeze(network: nn.Module, names: set[str]) -> None:
    """Let weights be as they are: no gradient is computed for them, and nothing moves them.

    Raises:
        UserError: nothing would be left to learn.
    """
    if not {name for name, weight in network.named_parameters() if weight.requires_grad} - names:
        raise UserError("train.freeze: true leaves nothing to learn, since train.init_from gives every weight; false would do")
    for name, weight in network.named_parameters():
        if name in names:
            weight.requires_grad_(False)


def load_teacher(folder: Path, kind: str, model: Model, shape: Shape, tokens: Path) -> nn.Module:
    """The network in a folder, to be asked what it would say.

    Args:
        kind, model, shape: the task, the knobs and the data of the network that asks.

    Raises:
        UserError: it has learned another task, reads other tokens or shorter contexts, or cannot be read.
    """
    found = open_pretrained(folder)
    if found.kind != kind:
        raise UserError(f"train.teacher: {folder} has learned task.kind {found.kind}, and nothing of {kind}")
    problems = [*_class_mismatches(found, "train.teacher", shape), *_data_mismatches(found, "train.teacher", shape, tokens)]
    if kind != "vision" and found.length < model.context_length:
        problems.append(
            f"model.context_length: {model.context_length} is more than train.teacher can read; {found.length} would do"
        )
    if problems:
        raise UserError(*problems)
    network = found.network() if isinstance(found, RallyModel) else load_network(found, model, shape.vocabulary)
    return network.eval().requires_grad_(False)


# ------------------------------------------------------------------------------------------------------------ what refuses


def _task_mismatches(found: PretrainedModel, network: GPT | Classifier, shape: Shape) -> Iterator[str]:
    """What keeps the task that a model has learned from being of use for another."""
    kind = "language" if isinstance(network, GPT) else "classify"
    if found.kind not in ("language", kind):
        yield f"train.init_from: {found.folder} has learned task.kind {found.kind}, with which {kind} cannot begin"
    elif found.kind == "classify":
        yield from _class_mismatches(found, "train.init_from", shape)
    elif isinstance(network, Classifier) and network.knobs.position == "learned" and isinstance(network.pooling, FirstPooling):
        yield (
            f"model.pooling: 'first' puts a place before those that {found.folder} has learned;"
            " mean, last or attention would do"
        )


def _class_mismatches(found: PretrainedModel, knob: str, shape: Shape) -> Iterator[str]:
    if found.classes != shape.classes:
        there, here = (
            ", ".join([*classes[:SHOWN], *(["…"] if len(classes) > SHOWN else [])]) + f" ({len(classes)})"
            for classes in (found.classes, shape.classes)
        )
        yield f"{knob}: {found.folder} tells {there} apart, and data/tokens has the classes {here}"


def _data_mismatches(found: PretrainedModel, knob: str, shape: Shape, tokens: Path) -> Iterator[str]:
    """What keeps a model from reading our data."""
    padded = not isinstance(found, RallyModel) and found.vocabulary > shape.vocabulary
    if found.vocabulary != shape.vocabulary and not padded:
        yield f"{knob}: {found.folder} knows {found.vocabulary:,} tokens, and data/tokens {shape.vocabulary:,}"
    if found.same_tokenizer(tokens):
        return
    if shape.image:
        yield f"{knob}: {found.folder} was trained on images of another size, scale or number than those of data/tokens"
    else:
        yield (
            f"{knob}: {found.folder} was trained with another tokenizer than that of data/tokens;"
            f" -S tokenize.kind=file -S tokenize.path={found.folder} would do where its tokenizer.json is there"
        )


def _knob_mismatches(found: PretrainedModel, network: GPT | Classifier) -> Iterator[str]:
    """A line for each knob that is another than a given model's."""
    model = network.knobs
    for knob, values in required_knobs(found, model.context_length).items():
        if knob == "tie_embeddings" and isinstance(network, Classifier):
            continue  # it takes over no head
        here = normalized_value(model, knob)
        if knob == "mlp_ratio":  # told apart by the hidden features that it makes
            alike = any(hidden_of(model.model_copy(update={knob: value})) == hidden_of(model) for value in values)
        else:
            alike = here in values
        if not alike:
            would = " or ".join(json.dumps(value).replace('"', "'") for value in values)
            yield f"model.{knob}: {json.dumps(here)} is not that of train.init_from, {found.folder}; {would} would do"
    if width_ratio(model) != found.ratio:
        would = "'gpt2'" if found.ratio == 1 else f"'mup' with model.base_width {round(model.width / found.ratio)}"
        yield f"model.init: '{model.init}' divides logits otherwise than train.init_from, {found.folder}; {would} would do"
    if model.position == "learned" and "context_length" not in found.knobs and found.length < model.context_length:
        yield (
            f"model.context_length: {model.context_length} is more than train.init_from, {found.folder}, knows;"
            f" {found.length} would do"
        )
