"""Evaluation of a classifier: its predictions over the whole of a split, and what evaluate.json holds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from pipeline.arrays import document_ends, memory_mapped
from pipeline.artifacts.checksums import was_written
from pipeline.artifacts.paths import RAW, images_of, text_of
from pipeline.artifacts.reading import open_verified
from pipeline.artifacts.writing import rounded
from pipeline.evaluation.baselines import HELD_OUT
from pipeline.evaluation.class_metrics import ClassPredictions, ClassScore, best_first
from pipeline.evaluation.scores import batch_size
from pipeline.inference.threads import Workers
from pipeline.inference.trained import TrainedModel

MOST_CLASSES = 128  # in a confusion matrix; a larger one would fill the file, and could not be read


def predictions_of(trained: TrainedModel, split: str, advance: Callable[[int], None] = lambda count: None) -> ClassPredictions:
    """The predictions for every example of a split, without dropout and augmentation.

    Args:
        advance: called with the number of examples of each batch that is done.
    """
    task, examples, log_probabilities, labels = trained.task, trained.task.size(split), [], []

    def predicted(rows: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode(), trained.runtime.autocast():
            batch = trained.runtime.batch_to_device(task.batch(split, rows))
            logits = trained.model(batch.inputs).cpu().double()  # where a probability is next to 1, the others do not become 0
            return logits.log_softmax(dim=-1).numpy(), batch.targets.cpu().numpy()

    batches = np.array_split(np.arange(examples), -(-examples // batch_size(trained)))
    with Workers(trained.runtime.device) as workers:
        for predictions, targets in workers.each(predicted, batches):
            log_probabilities.append(predictions)
            labels.append(targets)
            advance(len(targets))
    return ClassPredictions(np.concatenate(log_probabilities), np.concatenate(labels))


def class_ranking(scores: Sequence[ClassScore]) -> list[str]:
    """A table for each held-out split: the model and the baselines, the highest accuracy first."""
    lines = []
    for split in HELD_OUT:
        lines.append(f"{split:<12}{'accuracy':>9}{'95 % interval':>18}{'macro F1':>10}{'ECE':>8}{'nats':>8}")
        for score in best_first(scores, split):
            between = "–" if score.low is None or score.high is None else f"{_percent(score.low)} … {_percent(score.high)}"
            figures = f"{_three(score.macro_f1):>10}{_three(score.calibration_error):>8}{_three(score.loss):>8}"
            lines.append(f"  {score.name:<10}{_percent(score.accuracy):>9}{between:>18}{figures}")
    return lines


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _three(number: float | None) -> str:
    return "–" if number is None else f"{number:.3f}"


def class_summary(
    predictions: Mapping[str, ClassPredictions],
    baselines: Sequence[ClassScore],
    classes: Sequence[str],
    test_is_validation: bool = False,
) -> dict[str, Any]:
    """evaluate.json of a classifier: a few numbers by which experiments are compared, and the details behind them.

    Args:
        predictions: of the model, for each held-out split.
        test_is_validation: whether the two splits are the same, so that the second confirms nothing.
    """
    model = {split: ClassScore.of("model", split, found) for split, found in predictions.items()}
    scores = [*model.values(), *baselines]
    if test_is_validation:
        scores = [score.with_note("the validation split again") if score.split == "test" else score for score in scores]
    validation, test = (model[split] for split in HELD_OUT)
    best = max((score.accuracy or 0.0 for score in baselines if score.split == "test"), default=0.0)
    numbers = {
        "loss": validation.loss,
        "accuracy": validation.accuracy,
        "macro_f1": validation.macro_f1,
        "calibration_error": validation.calibration_error,
        "test_accuracy": test.accuracy,
        "test_macro_f1": test.macro_f1,
        "test_calibration_error": test.calibration_error,
        "margin": None if test.accuracy is None else test.accuracy - best,
    }
    whole = {split: found for split, found in predictions.items() if model[split].accuracy is not None}
    return {
        **{name: rounded(number) for name, number in numbers.items() if number is not None},
        # Lists, which DVC leaves out of its tables: one experiment has one row there.
        "scores": [score.row() for score in scores],
        "classes": list(classes),
        "confusion": {split: found.confusion.tolist() for split, found in whole.items() if len(classes) <= MOST_CLASSES},
        "per_class": [row for split, found in whole.items() for row in _class_rows(split, found, classes)],
        "reliability": {
            split: [[rounded(confidence), rounded(accuracy), count] for confidence, accuracy, count in found.reliability()]
            for split, found in whole.items()
        },
    }


def _class_rows(split: str, predictions: ClassPredictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "class": name,
            "split": split,
            "precision": rounded(one.precision),
            "recall": rounded(one.recall),
            "f1": rounded(one.f1),
            "count": one.count,
        }
        for name, one in zip(classes, predictions.per_class(), strict=True)
    ]


def examples_shared(raw: Path = RAW) -> list[dict[str, str | float]]:
    """The share of the examples of each held-out split that are in the training split, byte for byte; healthy: 0."""
    known = set(_examples(raw, "train"))
    found = {split: [one in known for one in _examples(raw, split)] for split in HELD_OUT}
    return [{"split": split, "overlap": rounded(sum(shared) / len(shared))} for split, shared in found.items()]


def _examples(raw: Path, split: str) -> list[bytes]:
    """A digest of each example."""
    if was_written(images_of(raw, split)):
        return [_digest(image.tobytes()) for image in memory_mapped(images_of(raw, split))]
    with open_verified(text_of(raw, split)) as file:
        sizes = np.diff(document_ends(raw, split), prepend=0)
        return [_digest(file.read(int(size)).strip()) for size in sizes]


def _digest(example: bytes) -> bytes:
    return hashlib.blake2b(example, digest_size=16).digest()
