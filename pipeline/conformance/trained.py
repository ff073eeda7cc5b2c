"""The checks of a training that is over: its first steps once more from its knobs, and what it recorded on its way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import NONE, TRAIN_CURVE, VALIDATION_CURVE
from pipeline.conformance.checks import check
from pipeline.conformance.recorded import RecordedLosses, Rows
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
        self.recorded: RecordedLosses | None = None

    def watched(self, snapshots: Iterable[TrainedModel]) -> Iterator[TrainedModel]:
        """The same snapshots; on their way, what was recorded at their steps is compared with their weights."""
        for snapshot in snapshots:
            if self.train and isinstance(snapshot.task, LanguageModelling):
                if self.recorded is None:
                    curve, validations = _rows(TRAIN_CURVE), _rows(VALIDATION_CURVE)
                    self.recorded = RecordedLosses(snapshot.task, self.train, self.seed, curve, validations)
                self.recorded.see(snapshot.model, snapshot.step)
            yield snapshot

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The numbers of all checks, and why the others were not made."""
        recorded = self.recorded.numbers if self.recorded else {}
        if self.train is None:
            return recorded, ["steps: models/trained/model.json does not have the knobs of its training"]
        if {self.train.init_from, self.train.teacher} != {str(NONE)}:
            return recorded, ["steps: the training began from other weights, or had a teacher, and is not repeated"]
        progress, task = build_training(
            self.seed, self.described.task, self.described.model, self.train, self.tokens, self.runtime
        )
        weights = sum(weight.numel() for weight in progress.model.parameters())
        if weights * self.train.batch_size * self.described.model.context_length > MOST_WORK:
            return recorded, ["steps: the network is too large to repeat some of its steps here"]
        found, skipped = check(progress, task, self.described.model, self.train, self.seed, self.runtime)
        return found | recorded, skipped


def _rows(path: Path) -> Rows:
    columns = read_curve(path)
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows if None not in row]
