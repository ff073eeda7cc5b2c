"""A trained model in Python: load it, run it, look at any activation, take a reading and draw it.

docs/python.md shows how. Every function works from any folder of the project, and leaves the working directory, the model
and all random generators as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pipeline.artifacts.paths import MODEL, READINGS, TOKENS, meta_of
from pipeline.artifacts.reading import read_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.figures import forms
from pipeline.inference.trained import TrainedModel, open_snapshots, open_trained
from pipeline.lab.look.trace import trace
from pipeline.lab.project import top_folder
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.load import load
from pipeline.params.names import suggest
from pipeline.params.schema import Params
from pipeline.probes.table import PROBES
from pipeline.readings import Reading, load_all

Input = str | int | Sequence[int] | Tensor
"""What a model can be run on: a text, the number of a validation example, token ids, or its inputs as a batch."""


def load_model(step: int | None = None) -> TrainedModel:
    """The model that `dvc repro` trained, with its tokenizer and its data, on the device of runtime.device.

    Args:
        step: of a snapshot (train.snapshots says which are saved); None for the end of the training.

    Returns:
        A TrainedModel: `.model` is the torch module, `.tokenizer` encodes and decodes text, `.batch` is the fixed batch of
        probe.sequences validation examples that every reading uses (`.batch.inputs` [B, T] ids, or [B, H, W, C] pixels).

    Raises:
        UserError: not inside a project, no trained model, no snapshot of that step, or a damaged file.
    """
    with _project():
        params = load()
        found = _at_the_end(params) if step is None else _snapshot(step, params)
        _ = found.batch, found.training_batch  # read now, so that the working directory may change afterwards
        return found


def activations(model: TrainedModel, example: Input) -> dict[str, Tensor]:
    """Every intermediate activation of one forward pass, by the name of its part.

    Args:
        model: from `load_model`.
        example: a text or token ids (of models that read text), the number of a validation example, or a batch of inputs
            as the network takes them: int64 [B, T], or float32 [B, H, W, C] of images.

    Returns:
        Tensors on the CPU, in the order of execution. For a language model also those that are not a module's output:
        `blocks.0.attention.q`, `.k`, `.v` [B, heads, T, features of a head], `.scores` and `.weights` [B, heads, query, key],
        `blocks.0.feed_forward.activation` [B, T, hidden] and the sums of the residual stream, `blocks.0.add`. Last come the
        logits, `head` [B, T, vocabulary] (of a classifier [B, classes]), and `probabilities`, their softmax.

    Raises:
        UserError: the text holds a character that the tokenizer lacks, is empty or exceeds the context; there is no such
            example; or the model reads images and was given text.
    """
    inputs = _inputs(model, example).to(model.runtime.device)
    with torch.no_grad(), model.runtime.autocast():
        if isinstance(model.model, GPT):
            made = {call.name: call.output for call in trace(model.model, inputs).calls}
        else:
            made = _outputs(model.model, inputs)
    return {name: tensor.cpu() for name, tensor in made.items()}


def reading(model: TrainedModel, name: str) -> Reading:
    """A diagnostic of the model at its step: values on named axes, with a sentence that says what is healthy.

    Args:
        name: an entry of `PROBES` in pipeline/probes/table.py, such as effective_rank, gradient_norm or attention.

    Returns:
        A Reading: `.values` are nested lists, one level for each of `.axes`; `.quantity` names the unit, `.says` what is
        healthy. A number that is not finite is None.

    Raises:
        UserError: there is no such reading, or it does not apply to this model.
    """
    if name not in PROBES:
        raise UserError(f"reading: there is no {name!r}. {suggest(name, tuple(PROBES))}")
    if (found := PROBES[name].read(model)) is None:
        raise UserError(f"reading: {name} does not apply to this model, or training recorded nothing for it")
    return found


def saved_readings() -> dict[str, Reading]:
    """The readings of the whole training that `dvc repro` left in metrics/readings, by name: layers × steps for most.

    Raises:
        UserError: not inside a project, or a damaged file.
    """
    with _project():
        return {found.name: found for found in load_all(READINGS)}


def draw(found: Reading) -> Figure:
    """A reading as a matplotlib figure, as the report draws it; `.savefig("name.png")` keeps it."""
    return forms.draw(found)


# ------------------------------------------------------------------------------------------------------------- the model


@contextlib.contextmanager
def _project() -> Iterator[None]:
    """A block that runs in the top folder of the project."""
    with contextlib.chdir(top_folder(Path.cwd())):
        yield


def _at_the_end(params: Params) -> TrainedModel:
    grammar = read_json(meta_of(TOKENS)).get("grammar", "")
    return replace(
        open_trained(params.runtime), sequences=params.probe.sequences, toy_text=params.probe.toy_text, grammar=grammar
    )


def _snapshot(step: int, params: Params) -> TrainedModel:
    steps, probe = [], params.probe
    for found in open_snapshots(MODEL.parent, Runtime(params.runtime), sequences=probe.sequences, toy_text=probe.toy_text):
        if found.step == step:
            return found
        steps.append(f"{found.step:,}")
    raise UserError(f"step: there is no snapshot of step {step:,}; there are {', '.join(steps)} (train.snapshots says which)")


# ------------------------------------------------------------------------------------------------------------- its input


def _inputs(model: TrainedModel, example: Input) -> Tensor:
    if isinstance(example, Tensor):
        return example
    if isinstance(example, int):
        size = model.task.size("validation")
        if not 0 <= example < size:
            raise UserError(f"example: there is no {example:,}; validation examples are 0 .. {size - 1:,}")
        return model.task.batch("validation", np.array([example])).inputs
    if model.text_tokenizer is None:
        raise UserError("example: this model reads images; use the number of a validation example or a batch of pixels")
    ids = _encoded(model, example) if isinstance(example, str) else list(example)
    if not ids:
        raise UserError("example: is empty; at least one token is needed")
    if len(ids) > model.task.length:
        raise UserError(f"example: {len(ids):,} tokens; the model's context holds {model.task.length:,}")
    if wrong := [one for one in ids if not 0 <= one < model.text_tokenizer.vocabulary]:
        raise UserError(f"example: there is no token {wrong[0]:,}; ids are 0 .. {model.text_tokenizer.vocabulary - 1:,}")
    return torch.tensor([ids])


def _encoded(model: TrainedModel, text: str) -> list[int]:
    """A text as ids; for a classifier with the end token that every text has there."""
    known = model.tokenizer.drop_unknown(text)
    if known != text:
        lacking = next((character for character in text if character not in known), text)
        raise UserError(f"example: the tokenizer lacks {lacking!r}, which occurs in {text!r}; leave it out")
    ids = [int(token) for token in model.tokenizer.encode(text)]
    end = model.tokenizer.end
    return [*ids, end] if ids and not model.is_language_model and end is not None and len(ids) < model.task.length else ids


def _outputs(network: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """The output of each module of a network by name, and at the end the probabilities."""
    made: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            made[name] = output

    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            if name:
                hook = module.register_forward_hook(lambda _module, _given, output, name=name: keep(name, output))
                hooks.callback(hook.remove)
        logits = network(inputs)
    return made | {"probabilities": logits.float().softmax(dim=-1)}
