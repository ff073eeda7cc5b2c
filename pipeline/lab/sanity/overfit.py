"""One batch with random labels, learned by heart: whether everything between the loss and the weights works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipeline.engine.loop import train_step
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import make_objective, untrained_state
from pipeline.lab.stand_ins.dummy_task import BatchMaker, MadeUp
from pipeline.params.schema import Params
from pipeline.tasks.base import Batch, Shape

LEARNED = 0.05  # nats a label, below which a batch is known by heart
IMAGE = (8, 8, 1)  # height, width, channels, where nobody says


class OneBatch(MadeUp):
    """The same few examples in every step, each label drawn at random; or, as a control, other labels each time."""

    def __init__(self, params: Params, shape: Shape, runtime: Runtime, *, fresh: bool) -> None:
        super().__init__(params, shape, make_objective(params.train, runtime), BatchMaker(params.seed))
        self.fresh, self.drawn = fresh, self._batch()

    def _batch(self) -> Batch:
        """Random inputs and labels; unlike in a text, what follows a token says nothing of it."""
        drawn = self.batch("train", np.arange(self.examples))
        most = len(self.shape.classes) or self.shape.vocabulary
        return Batch(drawn.inputs, self.draw.whole(most, *drawn.targets.shape))

    def step(self) -> Batch:
        """What a step sees."""
        if self.fresh:
            self.drawn = replace(self.drawn, targets=self._batch().targets)
        return self.drawn


def shape_of(kind: str, labels: int, image: tuple[int, ...] = IMAGE) -> Shape:
    """What a task of a kind reads, where each label is one of so many."""
    classes = () if kind == "language" else tuple(map(str, range(labels)))
    return Shape(0 if kind == "vision" else max(labels, 64) if classes else labels, classes, image if kind == "vision" else ())


def losses_on_one_batch(
    params: Params, examples: int, length: int, labels: int, steps: int, *, fresh: bool = False, shape: Shape | None = None
) -> Iterator[float]:
    """The loss, nats a label, before each of so many steps with the network and the optimizer of params.yaml.

    Without a schedule's end, for there is none: the rate climbs as the knobs say and stays. Of texts with a class and of
    images, each example has one label; images know no length.

    Args:
        labels: how many different ones there are.
        shape: of what there is to read, where it is not to be made up from the labels.
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
        "freeze": False,  # nothing is given here, and all of it must be able to learn
    }
    train = params.train.model_copy(update={**own, "curriculum": "none", "min_lr_ratio": 0.0})
    params = params.model_copy(update={"model": model, "train": train})
    runtime = Runtime(params.runtime, train.precision)
    task = OneBatch(params, shape or shape_of(params.task.kind, labels), runtime, fresh=fresh)
    progress = untrained_state(params.seed, task, model, train, runtime)
    for _ in range(steps):
        train_step(progress, task, train, params.seed, runtime, lambda: False, runtime.batch_to_device(task.step()))
        yield float(progress.recent.pop()[0])
