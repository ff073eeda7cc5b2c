"""Runs whose decays branch from one long plateau for each width and seed: the same bytes as full runs, for less compute.

On a plateau the learning rate does not depend on where the training ends, and the batch of a step only on (seed, step). So the
state of a long run at the step where a shorter one begins to decay is the state of that shorter run, and its decay goes on
from there. With cooldown share c and lengths n, runs of one width cost (1 - c) max n + c sum n steps, instead of sum n.

Source: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import Interrupted, fit
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sanity import numbers_at_start
from pipeline.engine.setup import build_training
from pipeline.identity import digest, read_cached, write_cached
from pipeline.lab.ladder.runs import Run
from pipeline.lab.studies.measures.record import Record, validation_loss
from pipeline.lab.studies.runs.run_variant import levels_of
from pipeline.params.errors import UserError
from pipeline.params.schema import Params
from pipeline.tasks.base import Task

# What must hold so that a run does not depend on its length before it decays: (knob of train, its value).
NEEDED: tuple[tuple[str, Any], ...] = (
    ("schedule", "trapezoid"),
    ("warmup_ratio", 0.0),
    ("batch_start", 1.0),
    ("length_start", 1.0),
    ("curriculum", "none"),
    ("validation_points", 1),
    ("log_points", 1),
)


class State(NamedTuple):
    """A training at the end of its plateau."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


def check_branches(params: Params) -> None:
    """Check that runs with these knobs can share a plateau.

    Raises:
        UserError: with one line for each knob in the way.
    """
    problems = [
        f"train.{knob}: is {getattr(params.train, knob)}; --branched needs {value}, so that runs of other lengths begin alike"
        for knob, value in NEEDED
        if getattr(params.train, knob) != value
    ]
    if (params.model.dropout or params.model.stochastic_depth) and params.model.dropout_schedule != "constant":
        problems.append(f"model.dropout_schedule: is {params.model.dropout_schedule}; --branched needs constant")
    if params.prepare.dataset == "mixture" and params.train.mixture_start != params.train.mixture_end:
        problems.append("train.mixture_end: differs from mixture_start; --branched needs them equal")
    if problems:
        raise UserError(*problems)


def train_branched(runs: Sequence[Run], advance: Callable[[], None]) -> dict[int, float]:
    """The validation loss of each run, by its place in the list; inf where it diverged. Kept runs are not trained again."""
    for run in runs:
        check_branches(run.variant.params)
    losses, waiting = dict[int, float](), dict[str, list[int]]()
    for at, run in enumerate(runs):
        if (content := read_cached(run.record)) is not None:
            losses[at] = validation_loss(Record(**content))
            advance()
        else:
            waiting.setdefault(_plateau(run), []).append(at)
    for places in waiting.values():
        ordered = sorted(places, key=lambda at: runs[at].variant.params.train.steps)
        for at, record in zip(ordered, _branches([runs[at] for at in ordered]), strict=True):
            write_cached(runs[at].record, asdict(record))
            losses[at] = validation_loss(record)
            advance()
    return losses


def _plateau(run: Run) -> str:
    """What runs have in common that share a plateau."""
    params = run.variant.params.model_copy(update={"train": run.variant.params.train.model_copy(update={"steps": 1})})
    return digest([params.model_dump(mode="json"), str(run.data)])


def decay_begins(params: Params) -> int:
    """The last step at whose beginning the rate is at its peak for certain, whatever is rounded."""
    train = params.train
    return max(math.floor((1 - train.cooldown_ratio) * train.steps) - 1, 0)


def _branches(runs: Sequence[Run]) -> list[Record]:
    """The records of runs that share a plateau, from the shortest to the longest."""
    longest, data = runs[-1].variant.params, runs[0].data
    trunk, task, runtime = _start(longest, data)
    sanity = numbers_at_start(trunk.model, task, drawn=True)
    levels = levels_of(data)
    records = []
    for run in runs:
        params = run.variant.params
        _train_until(trunk, task, longest, runtime, decay_begins(params))
        state = _state(trunk)
        branch, own_task, own_runtime = _start(params, data)
        if not trunk.diverged:
            branch.restore(state.tensors, state.numbers)
            with own_runtime.enough_memory():
                fit(branch, own_task, params.train, params.seed, own_runtime, _Until(params.train.steps + 1))
        else:
            branch.stopped = trunk.stopped
        numbers = {**sanity, **levels}
        records.append(Record(branch.curve, branch.validations, branch.diverged, numbers, {}))
    return records


def _start(params: Params, data: Path) -> tuple[Progress, Task, Runtime]:
    runtime = Runtime(params.runtime, params.train.precision)
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, data, runtime)
    return progress, task, runtime


def _state(progress: Progress) -> State:
    tensors = {name: tensor.detach().clone() for name, tensor in progress.tensors().items()}
    return State(tensors, copy.deepcopy(progress.numbers()))


class _Until:
    """Interrupts a training before a step."""

    def __init__(self, step: int) -> None:
        self.step, self.at = step, 0

    def on_step(self, progress: Progress) -> None:
        self.at = progress.step

    def interrupted(self) -> bool:
        return self.at >= self.step


def _train_until(progress: Progress, task: Task, params: Params, runtime: Runtime, step: int) -> None:
    """Train to the beginning of a step, as if the run ended much later."""
    if progress.step >= step or progress.diverged:
        return
    try:
        with runtime.enough_memory():
            fit(progress, task, params.train, params.seed, runtime, _Until(step))
    except Interrupted:
        return
