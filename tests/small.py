"""A run that is small enough for a test: knobs, tokens, progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.artifacts import SPLITS, write_json
from pipeline.engine.checkpoint import Progress
from pipeline.engine.runtime import Runtime
from pipeline.engine.start import begin
from pipeline.params import Params, parse, read_yaml
from pipeline.tasks.lm import LanguageModelling

TOP = Path(__file__).parent.parent
VOCABULARY = 11
PART = 10  # tokens of each part of the training text, as curricula see it

SMALL = {
    "model": {"depth": 2, "width": 16, "heads": 2, "length": 12, "window": 5},
    "train": {"steps": 12, "batch": 4, "curve_points": 4, "validations": 3, "validation_examples": 8},
    "runtime": {"device": "cpu", "threads": 1, "progress": "none"},
}


def knobs(**changes: Any) -> Params:
    """params.yaml, made small, with changes such as model__width=32."""
    values = read_yaml(TOP / "params.yaml")
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
    """Token files in which the next id mostly follows from the last, so that there is something to learn."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for split in SPLITS:
        steps = generator.choice([1, 2], size=tokens if split == "train" else tokens // 4, p=[0.9, 0.1])
        np.save(folder / f"{split}.npy", (np.cumsum(steps) % vocabulary).astype(np.uint8))
    parts = np.zeros(-(-tokens // PART), [("end", np.int64), ("difficulty", np.float32), ("source", np.uint8)])
    parts["end"] = np.minimum(np.arange(1, len(parts) + 1) * PART, tokens)
    parts["difficulty"] = generator.permutation(len(parts))
    np.save(folder / "train.parts.npy", parts)
    write_json(folder / "meta.json", {"vocabulary": vocabulary})
    write_json(folder / "tokenizer.json", {"kind": "char", "alphabet": "abcdefghijklmnop"[:vocabulary], "end": None})
    return folder


def started(params: Params, folder: Path) -> tuple[Progress, LanguageModelling, Runtime]:
    """A training before its first step, over the tokens in a folder (written if they are not there)."""
    if not (folder / "meta.json").exists():
        write_tokens(folder)
    runtime = Runtime(params.runtime, params.train.precision if params.train.precision != "auto" else "float32")
    progress, task = begin(params.seed, params.task.kind, params.model, params.train, folder, runtime)
    assert isinstance(task, LanguageModelling)
    return progress, task, runtime


class Keeping:
    """A keeper that keeps nothing, and stops the training before the step after `last`, if there is such."""

    def __init__(self, last: int | None = None) -> None:
        self.last, self.step = last, 0

    def keep(self, progress: Progress) -> None:
        self.step = progress.step

    def interrupted(self) -> bool:
        return self.step == self.last


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors are equal bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
