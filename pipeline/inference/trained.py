"""A trained model with its tokenizer and data, opened and checked: at the end of its training, or at each snapshot."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import MODEL, TOKENS, labels_of, meta_of, tokenizer_of
from pipeline.artifacts.reading import input_sha256, read_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.networks.transformer import Block
from pipeline.networks.weights import open_network
from pipeline.params.errors import UserError
from pipeline.params.parse import parse
from pipeline.params.stages import Runtime as RuntimeKnobs
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Task
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.model_description import ModelDescription, is_sha256, read_description
from pipeline.tasks.objective import PLAIN, Objective, class_weights
from pipeline.tasks.table import TASKS
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.table import load as load_tokenizer

Result = TypeVar("Result")


@dataclass(frozen=True)
class TrainedModel:
    """A model after a step of its training, with its tokenizer and its data. Nothing that reads it changes it.

    Attributes:
        text_tokenizer: of the text that the model reads; None for images.
        sequences: examples in the fixed batch.
        toy_text: a short text for what is best shown on a few tokens, such as attention maps.
        sharpness_iterations: of the power iteration for the sharpness; 0 = no sharpness.
        training_task: the same task with the training objective (squared error, label smoothing, class weights) as its loss;
            None where that is not known.
        updates: ‖ΔW‖ / ‖W‖ of each parameter in the step after this one (at the end: in the last); empty where unknown.
        grammar: of the training text, an entry of GRAMMARS; "" where none is known.
        is_last: whether it is the last snapshot of its training; probes without `whole_training` read only that one.
        cache: results of functions that are `cached`.
    """

    model: nn.Module
    task: Task
    text_tokenizer: Tokenizer | None
    runtime: Runtime
    step: int
    sequences: int = 1
    toy_text: str = ""
    sharpness_iterations: int = 0
    training_task: Task | None = None
    updates: Mapping[str, float] = field(default_factory=dict, compare=False)
    grammar: str = ""
    is_last: bool = True
    cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of a model that reads text."""
        assert self.text_tokenizer is not None, "a model of images has no tokenizer"
        return self.text_tokenizer

    @property
    def is_language_model(self) -> bool:
        """Whether it predicts the next token; otherwise it classifies examples."""
        return isinstance(self.task, LanguageModelling)

    @property
    def blocks(self) -> list[Block]:
        """The network's blocks, from first to last."""
        return [block for block in self.model.modules() if isinstance(block, Block)]

    @cached_property
    def batch(self) -> Batch:
        """The fixed batch: held-out examples spread evenly over the validation split, the same for every snapshot."""
        size = self.task.size("validation")
        whole = max(size - 1, 1) if self.is_language_model else size  # the last window of a text may be padded
        count = min(self.sequences, whole)
        return self.runtime.batch_to_device(self.task.batch("validation", np.arange(count) * whole // count))

    @cached_property
    def training_batch(self) -> Batch:
        """As many training examples, spread evenly over their split: all of them where there are no more."""
        size = self.task.size("train")
        count = min(self.sequences, size)
        return self.runtime.batch_to_device(self.task.batch("train", np.arange(count) * size // count))


def cached(function: Callable[[TrainedModel], Result]) -> Callable[[TrainedModel], Result]:
    """A function of a trained model that is computed once for it, and forgotten with it."""

    @functools.wraps(function)
    def from_cache(trained: TrainedModel) -> Result:
        if function not in trained.cache:
            trained.cache[function] = function(trained)
        found: Result = trained.cache[function]
        return found

    return from_cache


def open_model(folder: Path, runtime: Runtime, *, tokens: Path = TOKENS) -> TrainedModel:
    """The model at the end of its training.

    Args:
        folder: the out of the stage train, models/trained.
        tokens: the out of the stage tokenize, which must be the one that the model was trained on.

    Raises:
        UserError: the model is missing or damaged, or was trained on other tokens.
    """
    described = _described(folder)
    return _with_weights(folder / "model.safetensors", described.sha256, described.about["step"], described, tokens, runtime)


def open_trained(knobs: RuntimeKnobs) -> TrainedModel:
    """The model in models/trained, on the device of `runtime.device`.

    Raises:
        UserError: there is no model, or it is damaged.
    """
    weights = MODEL.with_suffix(".safetensors")
    if not weights.exists():
        raise UserError(f"{weights}: there is no trained model here; `dvc repro` trains one, `dvc pull` fetches a shared one")
    return open_model(MODEL.parent, Runtime(knobs))


def open_snapshots(
    folder: Path, runtime: Runtime, *, sequences: int, toy_text: str, sharpness_iterations: int = 0, tokens: Path = TOKENS
) -> Iterator[TrainedModel]:
    """The model at each snapshot of its training, from first to last; one at a time is in memory.

    Raises:
        UserError: a snapshot is missing or damaged, or was trained on other tokens.
    """
    described, snapshots = _described(folder), _listed_snapshots(folder / "snapshots" / "snapshots.json")
    grammar = read_json(meta_of(tokens)).get("grammar", "")
    moved = {name for *_, updates in snapshots for name, ratio in updates.items() if ratio}
    train = _train_knobs(described)
    frozen = train is not None and train.freeze
    for weights, sha256, step, updates in snapshots:
        trained = _with_weights(weights, sha256, step, described, tokens, runtime)
        for name, weight in trained.model.named_parameters():
            weight.requires_grad_(weight.requires_grad and (name in moved or not frozen))
        yield replace(
            trained,
            sequences=sequences,
            toy_text=toy_text,
            sharpness_iterations=sharpness_iterations,
            updates=updates,
            grammar=grammar,
            is_last=step == snapshots[-1][2],
        )


def _described(folder: Path) -> ModelDescription:
    """The network, step and training that model.json describes."""
    described = read_description(folder)
    if "step" not in described.about:
        raise UserError(
            f"{folder / 'model.json'}: does not say after which training step its weights were saved;"
            " `dvc repro` creates it again"
        )
    return described


def _listed_snapshots(path: Path) -> list[tuple[Path, str, int, dict[str, float]]]:
    """(file, its sha256, step, ‖ΔW‖ / ‖W‖ of each parameter in the next step) of each snapshot in snapshots.json."""
    content = read_json(path).get("snapshots")
    found = []
    for entry in content if isinstance(content, list) else []:
        match entry:
            case {"file": str(name), "sha256": sha256, "step": int(step), "updates": dict(updates)} if (
                Path(name).name == name
                and is_sha256(sha256)
                and all(isinstance(ratio, int | float) for ratio in updates.values())
            ):
                found.append((path.with_name(name), sha256, step, updates))
            case _:
                found = []
                break
    if not found:
        raise UserError(f"{path}: is not a list of snapshots; `dvc repro` creates it again")
    return found


def _with_weights(
    weights: Path, sha256: str, step: int, described: ModelDescription, tokens: Path, runtime: Runtime
) -> TrainedModel:
    """The described network with the weights of a step."""
    tokenizer = None if described.task == "vision" else load_tokenizer(tokenizer_of(tokens))
    if input_sha256(tokens) != described.tokenizer:
        raise UserError(
            f"{tokenizer_of(tokens)}: is not the one that the model was trained with; `dvc repro` trains a model with it,"
            " `dvc checkout` restores the files that belong together"
        )
    make, model, shape = TASKS[described.task], described.model, described.shape
    task, training_task = make(tokens, model, shape), make(tokens, model, shape, _objective(described, tokens))
    # The initialization is overwritten by the weights.
    network = open_network(lambda: task.build(torch.Generator().manual_seed(0)), weights, sha256)
    return TrainedModel(network.to(runtime.device), task, tokenizer, runtime, step, training_task=training_task)


def _train_knobs(described: ModelDescription) -> Train | None:
    """The knobs of its training, where model.json has them."""
    return parse(Train, described.about["train"], ("train",)) if "train" in described.about else None


def _objective(described: ModelDescription, tokens: Path) -> Objective:
    """The objective of the training, without distillation: the teacher is not available here."""
    if (train := _train_knobs(described)) is None:
        return PLAIN
    balanced = train.class_weights == "balanced"
    return Objective.of(train, class_weights=class_weights(memory_mapped(labels_of(tokens, "train"))) if balanced else ())
