"""The tasks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pipeline.params import Model
from pipeline.tasks.base import Task
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.objective import PLAIN, Objective


class Maker(Protocol):
    """How a task is made: over tokens, for a network, with what its training is to follow."""

    def __call__(self, tokens: Path, model: Model, vocabulary: int, objective: Objective = PLAIN) -> Task: ...


TASKS: dict[str, Maker] = {
    "language": LanguageModelling,
}
