"""Memorizing one batch with random labels, as a test of everything between the loss and the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipeline.engine.loop import train_step
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import make_objective, untrained_state
from pipeline.lab.stand_ins.dummy_task import BatchMaker, DummyTask
from pipeline.params.schema import Params
from pipeline.tasks.base import Batch, Shape

LEARNED = 0.05  # nats a label, below which a batch is memorized
IMAGE = (8, 8, 1)  # height, width, channels, by default


class OneBatch(DummyTask):
    """The same few examples in every step, with random labels; or, as a control, with new labels in every step."""

    def __init__(self, params: Params, shape: Shape, runtime: Runtime, *, fresh: bool) -> None:
        super().__init__(params, shape, make_objective(params.train, runtime), BatchMaker(params.seed))
        self.fresh, self.drawn = fresh, self._batch()

    def _batch(self) -> Batch:
        """Random inputs and labels; unlike in a text, the next token cannot be predicted."""
        drawn = self.batch("train", np.arange(self.examples))
        most = len(self.shape.classes) or self.shape.vocabulary
        return Batch(drawn.inputs, self.draw.whole(most, *drawn.targets.shape))

    def step(self) -> Batch:
        """The batch of a step."""
        if self.fresh:
            self.drawn = replace(self.drawn, targets=self._batch().targets)
        return self.drawn


def shape_of(kind: str, labels: int, image: tuple[int, ...] = IMAGE) -> Shape:
    """The shape of the data of a kind of task, with this many labels."""
    classes = () if kind == "language" else tuple(map(str, range(labels)))
    return Shape(0 if kind == "vision" else max(labels, 64) if classes else labels, classes, image if kind == "vision" else ())


def losses_on_one_batch(
    params: Params, examples: int, length: int, labels: int, steps: int, *, fresh: bool = False, shape: Shape | None = None
) -> Iterator[float]:
    """The loss, nats per label, before each of `steps` steps with the network and the optimizer of params.yaml.

    The learning rate warms up as the knobs say and then stays constant. Texts with a class and images have one label per
    example; `length` does not apply to images.

    Args:
        labels: the number of different labels.
        shape: of the data; by default a shape with this many labels.
    """
    model = params.model.model_copy(update={"context_length": length, "window": min(params.model.window, length)})
    own = {
        "steps": steps,
        "batch_size": examples,
        "validation_examples": 1,
        "accumulation_steps": 1,
        "schedule": "constant",
        "batch_start": 1.0,
        "length_start": 1.0,
        "mixup": 0.0,
        "freeze": False,  # there are no pretrained weights here, and all layers must be able to learn
    }
    train = params.train.model_copy(update={**own, "curriculum": "none", "min_lr_ratio": 0.0})
    params = params.model_copy(update={"model": model, "train": train})
    runtime = Runtime(params.runtime, train.precision)
    task = OneBatch(params, shape or shape_of(params.task.kind, labels), runtime, fresh=fresh)
    progress = untrained_state(params.seed, task, model, train, runtime)
    for _ in range(steps):
        train_step(progress, task, train, params.seed, runtime, lambda: False, runtime.batch_to_device(task.step()))
        yield float(progress.recent.pop()[0])
