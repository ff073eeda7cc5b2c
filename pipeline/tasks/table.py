"""The tasks by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.params import Model
from pipeline.tasks.base import Task
from pipeline.tasks.lm import LanguageModelling

TASKS: dict[str, Callable[[Path, Model, int], Task]] = {
    "language": LanguageModelling,
}
