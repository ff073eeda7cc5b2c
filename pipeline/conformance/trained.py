"""The checks of a training that is over: its first steps once more from its knobs, and what it recorded on its way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import NONE, TRAIN_CURVE, VALIDATION_CURVE
from pipeline.conformance.checks import check
from pipeline.conformance.recorded import Numbers, RecordedLosses, Rows
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training
from pipeline.inference.trained import TrainedModel
from pipeline.params.parse import parse
from pipeline.params.training import Train
from pipeline.readings import read_curve
from pipeline.tasks.lm import LanguageModelling
from pipeline.tasks.model_description import read_description

MOST_WORK = 4e11  # weights · targets of a batch; beyond it the steps would take more than a few seconds on a CPU


class TrainedCheck:
    """The checks of the training that made a folder.

    Args:
        folder: models/trained.
        tokens: data/tokens.
        runtime: float32, whatever the training had: differences of 1e-3 would hide behind bfloat16.
    """

    def __init__(self, folder: Path, tokens: Path, runtime: Runtime) -> None:
        self.tokens, self.runtime, self.described = tokens, runtime, read_description(folder)
        about: dict[str, Any] = self.described.about
        self.seed = int(about.get("seed", 0))
        self.train = parse(Train, about["train"], ("train",)) if "train" in about and "seed" in about else None

    @cached_property
    def curves(self) -> tuple[Rows, Rows]:
        """The rows of the training's losses, and of the validation's."""
        return _rows(TRAIN_CURVE), _rows(VALIDATION_CURVE)

    def recorded(self, snapshot: TrainedModel) -> Numbers:
        """What the training recorded at the step of a snapshot, compared with its weights."""
        if self.train is None or not isinstance(snapshot.task, LanguageModelling):
            return {}
        losses = RecordedLosses(snapshot.task, self.train, self.seed, *self.curves)
        losses.see(snapshot.model, snapshot.step)
        return losses.numbers

    def steps(self) -> tuple[Numbers, list[str]]:
        """The numbers of the first steps and of all that they rest on, and why others were not made."""
        if self.train is None:
            return {}, ["steps: models/trained/model.json does not have the knobs of its training"]
        if {self.train.init_from, self.train.teacher} != {str(NONE)}:
            return {}, ["steps: the training began from other weights, or had a teacher, and is not repeated"]
        progress, task = build_training(
            self.seed, self.described.task, self.described.model, self.train, self.tokens, self.runtime
        )
        weights = sum(weight.numel() for weight in progress.model.parameters())
        if weights * self.train.batch_size * self.described.model.context_length > MOST_WORK:
            return {}, ["steps: the network is too large to repeat some of its steps here"]
        return check(progress, task, self.described.model, self.train, self.seed, self.runtime)


def largest(numbers: Iterable[Numbers]) -> Numbers:
    """The largest number of each check."""
    found: Numbers = {}
    for some in numbers:
        found |= {name: max(number, found.get(name, number)) for name, number in some.items()}
    return found


def _rows(path: Path) -> Rows:
    columns = read_curve(path)
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows if None not in row]
