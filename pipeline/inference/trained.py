"""What a probe looks at: a trained model, opened and checked, and every snapshot of its training."""

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
from pipeline.artifacts.paths import TOKENS, labels_of, meta_of, tokenizer_of
from pipeline.artifacts.reading import input_sha256, read_json
from pipeline.engine.runtime.runtime import Runtime
from pipeline.networks.transformer import Block
from pipeline.networks.weights import open_network
from pipeline.params.errors import UserError
from pipeline.params.parse import parse
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Task
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.model_description import ModelDescription, is_sha256, read_description
from pipeline.tasks.objective import PLAIN, Objective, class_weights
from pipeline.tasks.table import TASKS
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.table import load as load_tokenizer

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Subject:
    """A model at a step of its training, with what it learned from. Whoever looks at it changes nothing.

    Attributes:
        reads: the tokenizer of the text that it reads; None where that is no text.
        sequences: examples of the fixed batch.
        toy: a text for what is best looked at on a few tokens.
        sharpness_iterations: of the search for the sharpest direction; 0 = it is not asked for.
        training_task: the same task with what its training followed (squares, smoothing, weights of classes) for its loss; None
            where that is not known.
        updates: ‖ΔW‖ / ‖W‖ of each parameter in the step after this one (at the end: in the last); empty where unknown.
        grammar: of the text it learned from, an entry of GRAMMARS; "" where none is known.
        last: whether it is the last of its training that is looked at; what is read once only is read of that.
        kept: what was worked out for it once.
    """

    model: nn.Module
    task: Task
    reads: Tokenizer | None
    runtime: Runtime
    step: int
    sequences: int = 1
    toy: str = ""
    sharpness_iterations: int = 0
    training_task: Task | None = None
    updates: Mapping[str, float] = field(default_factory=dict, compare=False)
    grammar: str = ""
    last: bool = True
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the text which it reads."""
        assert self.reads is not None, "only what reads text is asked for its tokenizer"
        return self.reads

    @property
    def writes(self) -> bool:
        """Whether it says what follows, token by token; else it says of which class an example is."""
        return isinstance(self.task, LanguageModelling)

    @property
    def blocks(self) -> list[Block]:
        """The network's blocks, from first to last."""
        return [block for block in self.model.modules() if isinstance(block, Block)]

    @cached_property
    def batch(self) -> Batch:
        """The fixed batch: held-out examples spread evenly over the validation split, the same for every snapshot."""
        size = self.task.size("validation")
        whole = max(size - 1, 1) if self.writes else size  # the last window of a text may be padded
        count = min(self.sequences, whole)
        return self.runtime.batch_to_device(self.task.batch("validation", np.arange(count) * whole // count))

    @cached_property
    def training_batch(self) -> Batch:
        """As many training examples, spread evenly over their split: all of them where there are no more."""
        size = self.task.size("train")
        count = min(self.sequences, size)
        return self.runtime.batch_to_device(self.task.batch("train", np.arange(count) * size // count))


def once(work: Callable[[Subject], Answer]) -> Callable[[Subject], Answer]:
    """Work that is done once for a subject, whoever asks for it, and forgotten with the subject."""

    @functools.wraps(work)
    def answer(subject: Subject) -> Answer:
        if work not in subject.kept:
            subject.kept[work] = work(subject)
        found: Answer = subject.kept[work]
        return found

    return answer


def open_model(folder: Path, runtime: Runtime, *, tokens: Path = TOKENS) -> Subject:
    """The model at the end of its training.

    Args:
        folder: what the stage train leaves.
        tokens: what the stage tokenize leaves; it must be what the model was trained on.

    Raises:
        UserError: the model is missing, damaged, or was trained on other tokens.
    """
    found = _described(folder)
    return _subject(folder / "model.safetensors", found.sha256, found.about["step"], found, tokens, runtime)


def open_snapshots(
    folder: Path, runtime: Runtime, *, sequences: int, toy: str, sharpness_iterations: int = 0, tokens: Path = TOKENS
) -> Iterator[Subject]:
    """The model at each kept step of its training, from first to last; read one at a time.

    Raises:
        UserError: a snapshot is missing, damaged, or was trained on other tokens.
    """
    found, kept = _described(folder), _kept(folder / "snapshots" / "snapshots.json")
    known = {"grammar": read_json(meta_of(tokens)).get("grammar", ""), "sharpness_iterations": sharpness_iterations}
    moved = {name for *_, updates in kept for name, share in updates.items() if share}
    train = _trained_by(found)
    frozen = train is not None and train.freeze
    for weights, sha256, step, updates in kept:
        subject = _subject(weights, sha256, step, found, tokens, runtime)
        for name, weight in subject.model.named_parameters():
            weight.requires_grad_(weight.requires_grad and (name in moved or not frozen))
        yield replace(subject, sequences=sequences, toy=toy, updates=updates, last=step == kept[-1][2], **known)


def _described(folder: Path) -> ModelDescription:
    """What model.json says of the network that was trained here."""
    found = read_description(folder)
    if "step" not in found.about:
        raise UserError(f"{folder / 'model.json'}: does not say after which step; `dvc repro` makes it anew")
    return found


def _kept(listed: Path) -> list[tuple[Path, str, int, dict[str, float]]]:
    """The snapshots of a list: (file, its sha256, step, the share by which the next step moved each parameter)."""
    content = read_json(listed).get("snapshots")
    kept = []
    for one in content if isinstance(content, list) else []:
        match one:
            case {"file": str(name), "sha256": sha256, "step": int(step), "updates": dict(updates)} if (
                Path(name).name == name
                and is_sha256(sha256)
                and all(isinstance(share, int | float) for share in updates.values())
            ):
                kept.append((listed.with_name(name), sha256, step, updates))
            case _:
                kept = []
                break
    if not kept:
        raise UserError(f"{listed}: is not a list of snapshots; `dvc repro` makes it anew")
    return kept


def _subject(weights: Path, sha256: str, step: int, found: ModelDescription, tokens: Path, runtime: Runtime) -> Subject:
    """Build the network that is described and fill it with the weights of a step."""
    tokenizer = None if found.task == "vision" else load_tokenizer(tokenizer_of(tokens))
    if input_sha256(tokens) != found.tokenizer:
        raise UserError(
            f"{tokenizer_of(tokens)}: is not the one that the model was trained with; `dvc repro` trains one that fits,"
            " `dvc checkout` brings back what belongs together"
        )
    make, model, shape = TASKS[found.task], found.model, found.shape
    task, training_task = make(tokens, model, shape), make(tokens, model, shape, _objective(found, tokens))
    # None of the weights that are drawn for it stays.
    network = open_network(lambda: task.build(torch.Generator().manual_seed(0)), weights, sha256)
    return Subject(network.to(runtime.device), task, tokenizer, runtime, step, training_task=training_task)


def _trained_by(found: ModelDescription) -> Train | None:
    """The knobs of its training, where they are told."""
    return parse(Train, found.about["train"], ("train",)) if "train" in found.about else None


def _objective(found: ModelDescription, tokens: Path) -> Objective:
    """The objective of the training, without a teacher, who is not here to be asked."""
    if (train := _trained_by(found)) is None:
        return PLAIN
    balanced = train.class_weights == "balanced"
    return Objective.of(train, class_weights=class_weights(memory_mapped(labels_of(tokens, "train"))) if balanced else ())
