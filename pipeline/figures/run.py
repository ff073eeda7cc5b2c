"""The files of a run that the report and the pictures are made from: curves, scores, samples, readings, diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.artifacts.paths import DIAGNOSIS, EVALUATION, MISTAKES, SAMPLES, TRAIN_CURVE, TRAIN_METRICS, VALIDATION_CURVE
from pipeline.artifacts.reading import read_json, read_text
from pipeline.readings import Curve, Reading, load_all, read_curve


@dataclass(frozen=True)
class Score:
    """How well the model or a baseline predicts a split; None where a metric does not apply."""

    name: str
    split: str
    bits_per_byte: float | None = None
    loss: float | None = None
    """Nats per token, or per example of a classifier."""
    perplexity: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    """The ends of its 95 % interval."""
    macro_f1: float | None = None
    calibration_error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Run:
    """All results of a run."""

    train: Curve
    validation: Curve
    progress: dict[str, Any]
    evaluation: dict[str, Any]
    scores: tuple[Score, ...]
    samples: str
    readings: tuple[Reading, ...]
    diagnosis: dict[str, Any]
    """Of the doctor: finding, findings, signs."""
    mistakes: dict[str, Any]
    """The worst mistakes of a classifier: split, image, mistakes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; () for a language model."""
        return tuple(self.evaluation.get("classes", ()))

    @property
    def target(self) -> str:
        """The unit of a prediction."""
        return "example" if self.classes else "token"

    @property
    def diverged(self) -> bool:
        return bool(self.progress.get("diverged"))

    def score(self, name: str, split: str) -> Score | None:
        return next((score for score in self.scores if (score.name, score.split) == (name, split)), None)

    def ranking(self, split: str) -> list[tuple[str, float]]:
        """(name, score) of the model and the baselines on a split, best first: accuracy of classifiers, or bits per byte."""
        if self.classes:
            accuracies = ((row.name, row.accuracy) for row in self.scores if row.split == split)
            return sorted(((name, share) for name, share in accuracies if share is not None), key=lambda row: -row[1])
        scored = ((row.name, row.bits_per_byte) for row in self.scores if row.split == split)
        return sorted(((name, bits) for name, bits in scored if bits is not None), key=lambda row: row[1])

    def best_baseline(self, split: str) -> tuple[str, float] | None:
        """The best baseline on a split; the entropy of generated text is a lower bound and does not count."""
        return next((row for row in self.ranking(split) if row[0] not in ("model", "entropy")), None)


def read_run() -> Run:
    """The run in metrics/.

    Raises:
        UserError: a file is missing or damaged.
    """
    evaluation = read_json(EVALUATION)
    return Run(
        train=read_curve(TRAIN_CURVE),
        validation=read_curve(VALIDATION_CURVE),
        progress=read_json(TRAIN_METRICS),
        evaluation=evaluation,
        scores=tuple(_score(row) for row in evaluation.get("scores", [])),
        samples=read_text(SAMPLES),
        readings=tuple(load_all()),
        diagnosis=read_json(DIAGNOSIS, "finding", "findings", "signs"),
        mistakes=read_json(MISTAKES, "mistakes"),
    )


def _score(row: dict[str, Any]) -> Score:
    return Score(**{name: value for name, value in row.items() if name in Score.__dataclass_fields__})
