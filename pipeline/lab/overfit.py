"""One batch with random labels, learned by heart: whether everything between the loss and the weights works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline.engine.loop import update
from pipeline.engine.runtime import Runtime
from pipeline.engine.start import objective_of, untrained
from pipeline.params import Params
from pipeline.tasks.base import Batch, Parts, Shape
from pipeline.tasks.lm import LanguageModelling

LEARNED = 0.05  # nats a label, below which a batch is known by heart


class OneBatch(LanguageModelling):
    """The same few sequences in every step, each label drawn at random; or, as a control, other labels each time."""

    def __init__(self, params: Params, examples: int, labels: int, runtime: Runtime, *, fresh: bool) -> None:
        super().__init__(Path(), params.model, Shape(labels), objective_of(params.train, runtime))
        self.examples, self.fresh = examples, fresh
        self.random = np.random.default_rng(params.seed)
        self.inputs, self.targets = self._drawn(), self._drawn()

    def parts(self) -> Parts:
        return Parts(np.array([self.examples * self.length]), np.zeros(1), np.zeros(1, np.uint8))

    def _drawn(self) -> torch.Tensor:
        return torch.from_numpy(self.random.integers(self.vocabulary, size=(self.examples, self.length)))

    def step(self) -> Batch:
        """What a step sees."""
        if self.fresh:
            self.targets = self._drawn()
        return Batch(self.inputs, self.targets)


def losses_on_one_batch(
    params: Params, examples: int, length: int, labels: int, steps: int, *, fresh: bool = False
) -> Iterator[float]:
    """The loss, nats a label, before each of so many steps with the network and the optimizer of params.yaml.

    Without a schedule's end, for there is none: the rate climbs as the knobs say and stays.
    """
    model = params.model.model_copy(update={"length": length, "window": min(params.model.window, length)})
    own = {
        "steps": steps,
        "batch": examples,
        "accumulation": 1,
        "schedule": "constant",
        "batch_start": 1.0,
        "length_start": 1.0,
    }
    train = params.train.model_copy(update={**own, "curriculum": "none", "floor": 0.0})
    params = params.model_copy(update={"model": model, "train": train})
    runtime = Runtime(params.runtime, train.precision)
    task = OneBatch(params, examples, labels, runtime, fresh=fresh)
    progress = untrained(params.seed, task, model, train, runtime)
    for _ in range(steps):
        update(progress, task, train, params.seed, runtime, lambda: False, runtime.place(task.step()))
        yield float(progress.recent.pop()[0])
