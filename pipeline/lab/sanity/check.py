"""`rally check-model`: the sanity checks at the start of every training, and whether the network can memorize one batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from pipeline.artifacts.paths import NONE, TOKENS
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sanity import formatted, numbers_at_start, problems
from pipeline.engine.setup import build_training
from pipeline.figures.words import formatted as written
from pipeline.lab.sanity.overfit import LEARNED, losses_on_one_batch, shape_of
from pipeline.lab.stand_ins.data_shape import data_of
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape

LENGTH, LABELS, STEPS = 64, 65, 200
EXAMPLES = {"language": 8, "classify": 64, "vision": 64}  # by kind; in language models each token has a label
WIDTH = 60  # characters of a curve in the terminal
BARS = "▁▂▃▄▅▆▇█"


def at_start(params: Params, console: Console) -> bool:
    """Print the numbers of the untrained network, and what they mean; return whether it is sound.

    Raises:
        UserError: there is no tokenized data yet.
    """
    runtime = Runtime(params.runtime, params.train.precision)
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, TOKENS, runtime)
    numbers = numbers_at_start(progress.model, task, drawn=params.train.init_from == str(NONE))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, number in numbers.items():
        table.add_row(name, written(number))
    console.print(table)
    for line in formatted(numbers):
        console.print(line, highlight=False, markup=False)
    return not problems(numbers)


def overfit(params: Params, console: Console) -> bool:
    """Train on one batch until it is memorized, draw the loss curve, and say and return whether it was.

    Raises:
        UserError: the size of the images depends on data that has not been prepared.
    """
    kind = params.task.kind
    shape, examples = shape_of(kind, LABELS) if kind == "language" else data_of(params, LABELS).shape, EXAMPLES[kind]
    losses = []
    for loss in losses_on_one_batch(params, examples, LENGTH, LABELS, STEPS, shape=shape):
        losses.append(loss)
        if loss < LEARNED or not math.isfinite(loss):
            break
    console.print(f"{''.join(bars(losses))}  {written(losses[0])} to {written(losses[-1])}", highlight=False, markup=False)
    batch = f"one batch of {examples} {_examples(shape)}"
    learned = losses[-1] < LEARNED
    if learned:
        console.print(f"learned: {batch}, in {len(losses):,} steps", highlight=False)
    else:
        why = "the loss became NaN or infinite" if not math.isfinite(losses[-1]) else f"the loss is {written(losses[-1])}"
        console.print(
            f"not learned: {batch}; after {len(losses):,} steps {why}, not below {LEARNED} nats. Check train.lr first,"
            " then look for a bug between the loss and the weights",
            highlight=False,
            soft_wrap=True,
        )
    return learned


def _examples(shape: Shape) -> str:
    """The examples of the batch and their labels, in words."""
    if shape.image:
        return f"random images, each of one of {len(shape.classes)} classes, drawn at random"
    if shape.classes:
        return f"random texts of {LENGTH} tokens, each of one of {len(shape.classes)} classes, drawn at random"
    return f"sequences of {LENGTH} random labels"


def bars(losses: Sequence[float]) -> Iterator[str]:
    """A curve as a row of bars, from 0 to its maximum."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    highest = max(finite, default=0.0) or 1.0
    columns = min(WIDTH, len(finite))
    for column in range(columns):
        part = finite[column * len(finite) // columns : (column + 1) * len(finite) // columns]
        yield BARS[min(int(len(BARS) * sum(part) / len(part) / highest), len(BARS) - 1)]
