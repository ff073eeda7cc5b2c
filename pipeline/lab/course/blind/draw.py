"""The draw of a blind fault: by its number alone, so that a run can be repeated and given to others."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.doctor.diagnose import HEALTHY
from pipeline.lab.course.blind.levels import LEVELS
from pipeline.lab.doctor.cases import RECIPES, TASKS, BenchmarkRun
from pipeline.lab.faults.table import FAULTS
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params

HEALTHY_SHARE = 0.2  # of the draws
OFFERED = 6  # causes
NEEDS_DEPTH = "no residuals"  # with three blocks nobody could see that they are missing


def depth_of(level: int) -> int:
    """Blocks of every run of a level, whatever its fault, so that the number gives nothing away. A block costs a second."""
    return 4 if NEEDS_DEPTH in LEVELS[level] else 3


@dataclass(frozen=True, eq=False)
class BlindRun(BenchmarkRun):
    """A run of the doctor's benchmark that is as deep as all others of its level."""

    level: int = 1

    def params(self, base_params: Mapping[str, Any]) -> Params:
        params = super().params(base_params)
        return parse(Params, with_knobs(params.model_dump(), {"model.depth": depth_of(self.level)}))


@dataclass(frozen=True)
class Draw:
    """A run whose fault is to be named.

    Attributes:
        number: from which all else follows.
        choices: "healthy" and OFFERED causes, in the order of FAULTS; one of them is right.
    """

    level: int
    number: int
    run: BenchmarkRun
    choices: tuple[str, ...]

    @property
    def truth(self) -> str:
        """The cause, or "healthy"."""
        return FAULTS[self.run.fault].cause if self.run.fault else HEALTHY


def draw(level: int, number: int) -> Draw:
    """A fault of a level or none, a task and a recipe.

    >>> draw(2, 7).run.seed == draw(2, 7).run.seed, len(draw(2, 7).choices)
    (True, 7)
    """
    chance, faults = random.Random(f"{level}/{number}"), LEVELS[level]  # noqa: S311 (no secret)
    fault = "" if chance.random() < HEALTHY_SHARE else chance.choice(faults)
    task, recipe = chance.choice(list(TASKS)), chance.choice(list(RECIPES))
    run = BlindRun(task, recipe, chance.randrange(1_000, 1_000_000), fault, level=level)
    others = [name for name in faults if name != fault]
    offered = {*chance.sample(others, OFFERED - bool(fault)), *([fault] if fault else [])}
    return Draw(level, number, run, (HEALTHY, *(FAULTS[name].cause for name in FAULTS if name in offered)))
