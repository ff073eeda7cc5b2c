"""One small training in this process, from its build to its last step, with a fault in it if one is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.artifacts.paths import NONE
from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import StepCallback, fit
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sanity import numbers_at_start
from pipeline.engine.setup import build_training
from pipeline.lab.faults.base import Fault, Training
from pipeline.params.schema import Params
from pipeline.tasks.base import Task
from pipeline.tasks.lm import LanguageModelling

Callback = TypeVar("Callback", bound=StepCallback)


@dataclass(frozen=True)
class SmallRun:
    """A training, before its first step or after its last.

    Attributes:
        sanity: the numbers of the sanity checks before the first step, as in metrics/sanity.json.
    """

    params: Params
    progress: Progress
    task: Task
    runtime: Runtime
    sanity: dict[str, float]


def run_one(
    params: Params, tokens: Path, fault: Fault | None, callback: Callable[[SmallRun], Callback]
) -> tuple[SmallRun, Callback]:
    """Build a training, put the fault into it, check the untrained network, and train to the end or until it diverges.

    Args:
        params: the knobs, with those of the fault (`Fault.overridden`).
        tokens: the folder of the encoded data.
        callback: makes what is called at every step, of the training before its first step.

    Returns:
        The trained run, and its callback.

    Raises:
        UserError: memory ran out.
    """
    runtime = Runtime(params.runtime, params.train.precision)
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, tokens, runtime)
    if fault:
        assert isinstance(task, LanguageModelling), "faults are made in language models alone"
        fault.inject(Training(params, progress, task))
    sanity = numbers_at_start(progress.model, task, drawn=params.train.init_from == str(NONE))
    run = SmallRun(params, progress, task, runtime, sanity)
    called = callback(run)
    with runtime.enough_memory():
        fit(progress, task, params.train, params.seed, runtime, called)
    return run, called
