"""Small sharded trainings, by one of several processes; the first writes the whole state that each ends with.

`python train_sharded.py FOLDER CASE…` with the variables of `pipeline/processes.py`; without them it trains alone, unsharded.
A case `A | 8` stops before step 8; `A < 2` goes on from what `A | …` ended with on two processes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from small import KINDS, knobs

from pipeline.engine.checkpoint import Progress, share_state
from pipeline.engine.loop import Interrupted
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.recorder import Follower
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training, fit_together, prepare_training
from pipeline.params.schema import Params
from pipeline.processes import ALONE, Crew, place_in
from pipeline.tasks.base import IGNORED, Batch, Task

STEPS, BATCH, LENGTH = 20, 8, 12
COMMON: dict[str, Any] = {
    "train__slots": 4,
    "train__batch_size": BATCH,
    "train__steps": STEPS,
    "train__precision": "float32",
    "model__dropout": 0.1,
    "runtime__shard": True,
}
REFUSED = {"soap", "adafactor"}

CASES: dict[str, dict[str, Any]] = {name: {"train__optimizer": name} for name in OPTIMIZERS if name not in REFUSED}
CASES |= KINDS
CASES |= {
    "images in patches": {**KINDS["vision"], "model__network": "transformer"},
    "pixels, without blocks": {**KINDS["vision"], "model__network": "mlp", "train__mixup": 0.2, "train__shift": 1},
    "other losses": {**KINDS["vision"], "train__loss": "mse", "train__sampling": "epochs"},
    "classes that weigh alike": {**KINDS["classify"], "train__class_weights": "balanced", "model__pooling": "first"},
    "uneven rows": {"model__width": 18, "model__heads": 3, "model__mlp_ratio": 2.5, "model__depth": 3},
    "clipped, averaged": {"train__grad_clip": 0.1, "train__ema": 0.9},
    "micro-batches of one": {"train__accumulation_steps": 8},
    "smoothed targets, z-loss": {"train__label_smoothing": 0.1, "train__z_loss": 1e-3, "train__weight_decay": 0.1},
    "embedding and head are one": {"model__tie_embeddings": True, "model__position": "learned"},
    "n-grams": {"model__embedding_mixer": "bigrams"},
    "sequences that grow": {"train__length_start": 0.5},
    "a curriculum": {"train__curriculum": "easy_first"},
    "muP": {"model__init": "mup", "model__base_width": 8},
    "blocks computed again": {"runtime__activation_checkpointing": "block"},
    "cheap operations computed again": {"runtime__activation_checkpointing": "selective"},
    "logits in chunks": {"runtime__loss_chunk_size": 8},
    "taught": {"train__teacher": "teacher", "train__distill_weight": 0.5},
    "first block frozen": {},
    "unequal numbers of targets": {"train__optimizer": "adamw"},
    "mean of means": {"train__optimizer": "adamw"},  # the same, to fail: each process divides by the number of its own targets
}
UNEQUAL, WRONG, FROZEN = "unequal numbers of targets", "mean of means", "first block frozen"


class Stopping(Follower):
    """The callback of a training that stops before the step `last`, if there is one."""

    def __init__(self, last: int | None) -> None:
        super().__init__()
        self.last, self.step = last, 0

    def report(self, progress: Progress) -> None:
        self.step = progress.step

    def interrupted(self) -> bool:
        return self.step == self.last


def with_unequal_targets(task: Task, own: slice, wrong: bool) -> Task:
    """A task in whose batches example i ignores its first i targets.

    Args:
        own: the examples of this process.
        wrong: the gradients of the processes are added as if each were a mean over its own targets, and then averaged.
    """
    targets = np.maximum(LENGTH - np.arange(BATCH), 0)
    share = own.stop - own.start
    factor = targets.sum() * share / BATCH / targets[own].sum() if wrong else 1.0
    other = copy.copy(task)

    def batch(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        found = task.batch(split, rows, length)
        for place in range(len(rows)) if split == "train" else ():
            found.targets[place, :place] = IGNORED
        return found

    def loss(model: Any, batch: Batch, state: Any = None) -> Any:
        found = task.loss(model, batch, state)
        return type(found)(found.total * factor if state else found.total, found.count, found.correct, found.objective)

    other.batch, other.loss = batch, loss  # type: ignore[method-assign]
    return other


def trained(name: str, params: Params, folder: Path, runtime: Runtime, start: Path | None, last: int | None) -> Progress:
    """A training that has ended, or stopped at the step `last`; the first process goes on from `start`, if given."""
    company, data = runtime.company, folder / params.task.kind
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, data, runtime)
    if name == FROZEN:
        network = task.build(torch.Generator().manual_seed(params.seed))
        network.get_submodule("blocks.0").requires_grad_(False)
        progress = prepare_training(network, params.model, params.train, runtime)
    if name in (UNEQUAL, WRONG):
        each = BATCH // company.size
        task = with_unequal_targets(task, slice(company.rank * each, (company.rank + 1) * each), name == WRONG)
    if start:
        progress.restore(safetensors.torch.load_file(start), json.loads(start.with_suffix(".json").read_text()))
    share_state(progress, company)
    with contextlib.suppress(Interrupted):
        fit_together(progress, task, params.model, params.train, params.seed, runtime, Stopping(last))
    assert progress.step == (STEPS if last is None else last)
    return progress


def tasks(words: list[str]) -> Iterator[tuple[str, str, str | None, int | None]]:
    """(what is asked for, case, number of processes to go on from, step to stop before)."""
    for word in words:
        name, _, start = word.partition(" < ")
        name, _, last = name.partition(" | ")
        yield word, name, start or None, int(last) if last else None


def main(folder: Path, words: list[str]) -> None:
    place = place_in(os.environ)
    crew = Crew(place) if place else ALONE
    first = Runtime(knobs(**COMMON).runtime, crew=crew)
    for word, name, start, last in tasks(words):
        params = knobs(**COMMON | CASES[name] | ({"train__teacher": str(folder / "teacher")} if name == "taught" else {}))
        runtime = Runtime(params.runtime, params.train.precision, params.train.slots)
        runtime.company = first.company
        before = (
            next((folder / start).glob(f"{name} | *.safetensors")) if start and not crew.place.rank else None
        )  # which the first has written
        progress = trained(name, params, folder, runtime, before, last)
        if not crew.place.rank:
            path = folder / str(crew.place.size) / f"{word}.safetensors"
            path.parent.mkdir(exist_ok=True)
            safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in progress.tensors().items()}, path)
            path.with_suffix(".json").write_text(json.dumps(progress.numbers()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
