"""Small runs for tests: parameters, data of every kind of task, training states, the list of stages."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.artifacts.paths import SPLITS
from pipeline.artifacts.writing import write_json
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import Interrupted, fit
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.params.yaml12 import read_yaml
from pipeline.tasks.base import Task

TOP = Path(__file__).parent.parent
VOCABULARY = 11
PART = 10  # tokens of each part of the training text, by which curricula open it
CLASSES, SIDE = 3, 6  # of small labelled texts and images: number of classes; side of an image, pixels

# The overrides of a small run of each kind of task; what holds for all kinds is tested for each.
KINDS: dict[str, dict[str, Any]] = {
    "language": {},
    "classify": {"task__kind": "classify", "prepare__dataset": "dyck"},
    "vision": {"task__kind": "vision", "prepare__dataset": "digits"},
}
BATCH_NORM = KINDS["vision"] | {"model__norm": "batch"}

SMALL = {
    "model": {"depth": 2, "width": 16, "heads": 2, "context_length": 12, "window": 5},
    "train": {"steps": 12, "batch_size": 4, "log_points": 4, "validation_points": 3, "validation_examples": 8},
    "runtime": {"device": "cpu", "threads": 1, "progress": "none"},
}


def stages(*first: str, without: Collection[str] = ()) -> list[str]:
    """The stages of dvc.yaml in its order, but for those that are to come first, and those that are to be left out."""
    known = list(read_yaml(TOP / "dvc.yaml")["stages"])
    assert {*first, *without} <= set(known)
    return [stage for stage in dict.fromkeys([*first, *known]) if stage not in without]


@functools.cache
def _base_params() -> dict[str, Any]:
    """params.yaml, read once, because reading it takes a quarter of a small test."""
    values: dict[str, Any] = read_yaml(TOP / "params.yaml")
    return values


def knobs(**changes: Any) -> Params:
    """params.yaml with SMALL and changes such as model__width=32."""
    values = copy.deepcopy(_base_params())
    for section, small in SMALL.items():
        values[section] |= small
    for name, value in changes.items():
        section, _, knob = name.partition("__")
        if knob:
            assert knob in values[section], name
            values[section][knob] = value
        else:
            values[section] = value
    return parse(Params, values)


def write_tokens(folder: Path, tokens: int = 400, vocabulary: int = VOCABULARY) -> Path:
    """Token files in which the last id mostly determines the next, so that there is something to learn."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for split in SPLITS:
        steps = generator.choice([1, 2], size=tokens if split == "train" else tokens // 4, p=[0.9, 0.1])
        np.save(folder / f"{split}.npy", (np.cumsum(steps) % vocabulary).astype(np.uint8))
    write_parts(folder, np.minimum(np.arange(1, -(-tokens // PART) + 1) * PART, tokens), generator)
    write_json(folder / "meta.json", {"vocabulary": vocabulary})
    write_json(folder / "tokenizer.json", {"kind": "char", "alphabet": "abcdefghijklmnop"[:vocabulary], "end": None})
    return folder


def write_parts(folder: Path, ends: np.ndarray, generator: np.random.Generator) -> None:
    parts = np.zeros(len(ends), [("end", np.int64), ("difficulty", np.float32), ("source", np.uint8)])
    parts["end"], parts["difficulty"] = ends, generator.permutation(len(ends))
    np.save(folder / "train.parts.npy", parts)


def write_labelled(folder: Path, texts: int = 60) -> Path:
    """Texts of 2 to 18 ids and an end token, some longer than the context; most ids of a text are typical of its class.

    Classes with a higher index are rarer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator, end = np.random.default_rng(0), VOCABULARY - 1
    for split in SPLITS:
        labels = np.arange(texts if split == "train" else texts // 3) % 6 % 5 % 3
        ids: list[int] = []
        for label in labels:
            own, any_id = (generator.integers(0, size, generator.integers(2, 19)) for size in (end // CLASSES, end))
            own = own * CLASSES + label
            chosen = np.resize(own, len(any_id))
            ids += [*np.where(generator.random(len(any_id)) < 0.7, chosen, any_id), end]
        np.save(folder / f"{split}.npy", np.array(ids, np.uint8))
        np.save(folder / f"{split}.labels.npy", labels.astype(np.uint16))
        if split == "train":
            write_parts(folder, np.flatnonzero(np.array(ids) == end) + 1, generator)
    write_json(folder / "meta.json", {"vocabulary": VOCABULARY, "end": end, "classes": [*"abc"], "kind": "char"})
    write_json(folder / "tokenizer.json", {"kind": "char", "alphabet": "abcdefghij", "end": end})
    return folder


def write_images(folder: Path, images: int = 60) -> Path:
    """Noisy images, each with a bright stripe at the place of its class."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    counts = {split: images if split == "train" else images // 3 for split in SPLITS}
    for split, count in counts.items():
        labels = np.arange(count) % 6 % 5 % 3
        pixels = generator.integers(0, 120, (count, SIDE, SIDE, 1))
        for image, label in zip(pixels, labels, strict=True):
            image[2 * label : 2 * label + 2] += 100
        np.save(folder / f"{split}.images.npy", pixels.astype(np.uint8))
        np.save(folder / f"{split}.labels.npy", labels.astype(np.uint16))
    about = {"kind": "pixels", "classes": [*"abc"], "image": [SIDE, SIDE, 1], "examples": counts}
    write_json(folder / "meta.json", about | {"mean": [93.0], "deviation": [58.0], "test_is_validation": False})
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {"language": write_tokens, "classify": write_labelled, "vision": write_images}


def started(params: Params, folder: Path) -> tuple[Progress, Task, Runtime]:
    """A training before its first step, on the data in a folder (written if missing)."""
    if not (folder / "meta.json").exists():
        WRITERS[params.task.kind](folder)
    runtime = Runtime(params.runtime, params.train.precision if params.train.precision != "auto" else "float32")
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, folder, runtime)
    return progress, task, runtime


class StopAfter:
    """A callback that records nothing, and stops the training after the step `last`, if there is one."""

    def __init__(self, last: int | None = None) -> None:
        self.last, self.step = last, 0

    def on_step(self, progress: Progress) -> None:
        self.step = progress.step

    def interrupted(self) -> bool:
        return self.step == self.last


def assert_resumes(params: Params, folder: Path, last: int = 5) -> tuple[Progress, Task]:
    """Assert that an interrupted and resumed training ends with the same bits as an uninterrupted one.

    Args:
        last: number of steps before the interruption.

    Returns:
        the uninterrupted one.
    """
    unbroken, task, runtime = started(params, folder)
    fit(unbroken, task, params.train, params.seed, runtime, StopAfter())
    first, again, runtime = started(params, folder)
    with pytest.raises(Interrupted):
        fit(first, again, params.train, params.seed, runtime, StopAfter(last))
    assert first.step == last
    second, again, runtime = started(params, folder)
    second.restore({name: tensor.clone() for name, tensor in first.tensors().items()}, first.numbers())
    fit(second, again, params.train, params.seed, runtime, StopAfter())
    assert same(second.tensors(), unbroken.tensors())
    assert second.numbers() == unbroken.numbers()
    return unbroken, task


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors are equal bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
