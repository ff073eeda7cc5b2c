"""Tasks by the names that the knob `task.kind` has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pipeline.params.model import Model
from pipeline.tasks.base import Shape, Task
from pipeline.tasks.classify import Classification
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import PLAIN, Objective
from pipeline.tasks.vision import Vision


class TaskFactory(Protocol):
    """The signature by which tasks are made: the folder data/tokens, the knobs of the network, its shape, the objective."""

    def __call__(self, tokens: Path, model: Model, shape: Shape, objective: Objective = PLAIN) -> Task: ...


TASKS: dict[str, TaskFactory] = {
    "language": LanguageModelling,
    "classify": Classification,
    "vision": Vision,
}
