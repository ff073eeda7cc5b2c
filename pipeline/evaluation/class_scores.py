"""How well does a model tell classes apart? Its answers over the whole of a split, and what evaluate.json says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.arrays import document_ends, memory_mapped
from pipeline.artifacts.checksums import was_written
from pipeline.artifacts.paths import RAW, images_of, text_of
from pipeline.artifacts.reading import open_verified
from pipeline.artifacts.writing import rounded
from pipeline.evaluation.baselines import HELD_OUT
from pipeline.evaluation.class_metrics import Answers, ClassScore, best_first
from pipeline.evaluation.scores import at_a_time
from pipeline.inference.trained import Subject

CONFUSED = 128  # classes: of more the pairs would fill the file, and nobody could look at them


def answers_of(subject: Subject, split: str, advance: Callable[[int], None] = lambda count: None) -> Answers:
    """What the model says of every example of a split, as it is used: no dropout, no augmentation.

    Args:
        advance: told, as it goes, of how many more examples are done.
    """
    task, examples, said, labels = subject.task, subject.task.size(split), [], []
    with torch.inference_mode(), subject.runtime.autocast():
        for rows in np.array_split(np.arange(examples), -(-examples // at_a_time(subject))):
            batch = subject.runtime.batch_to_device(task.batch(split, rows))
            # In float64, so that a probability of next to 1 is no infinite loss of the others.
            said.append(subject.model(batch.inputs).cpu().double().log_softmax(dim=-1).numpy())
            labels.append(batch.targets.cpu().numpy())
            advance(len(rows))
    return Answers(np.concatenate(said), np.concatenate(labels))


def class_standings(scores: Sequence[ClassScore]) -> list[str]:
    """A table for each held-out split: who tells classes best, and who next."""
    lines = []
    for split in HELD_OUT:
        lines.append(f"{split:<12}{'right':>8}{'95 % interval':>18}{'macro F1':>10}{'ECE':>8}{'nats':>8}")
        for score in best_first(scores, split):
            between = "–" if score.low is None or score.high is None else f"{_percent(score.low)} … {_percent(score.high)}"
            figures = f"{_three(score.macro_f1):>10}{_three(score.calibration_error):>8}{_three(score.loss):>8}"
            lines.append(f"  {score.name:<10}{_percent(score.accuracy):>8}{between:>18}{figures}")
    return lines


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _three(number: float | None) -> str:
    return "–" if number is None else f"{number:.3f}"


def class_summary(
    answers: Mapping[str, Answers], baselines: Sequence[ClassScore], classes: Sequence[str], test_is_validation: bool = False
) -> dict[str, Any]:
    """What evaluate.json holds of a classifier: a few numbers that experiments are compared by, and all that is behind them.

    Args:
        answers: the model's, of each held-out split.
        test_is_validation: the two splits are one, so that the second confirms nothing.
    """
    model = {split: ClassScore.of("model", split, told) for split, told in answers.items()}
    scores = [*model.values(), *baselines]
    if test_is_validation:
        scores = [score.noted("the validation split again") if score.split == "test" else score for score in scores]
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
    whole = {split: told for split, told in answers.items() if model[split].accuracy is not None}
    return {
        **{name: rounded(number) for name, number in numbers.items() if number is not None},
        # Lists, which DVC leaves out of its tables: one experiment has one row there.
        "scores": [score.row() for score in scores],
        "classes": list(classes),
        "confusion": {split: told.confusion.tolist() for split, told in whole.items() if len(classes) <= CONFUSED},
        "per_class": [row for split, told in whole.items() for row in _class_rows(split, told, classes)],
        "reliability": {
            split: [[rounded(confidence), rounded(accuracy), count] for confidence, accuracy, count in told.reliability()]
            for split, told in whole.items()
        },
    }


def _class_rows(split: str, answers: Answers, classes: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "class": name,
            "split": split,
            "precision": rounded(one.precision),
            "recall": rounded(one.recall),
            "f1": rounded(one.f1),
            "count": one.count,
        }
        for name, one in zip(classes, answers.per_class(), strict=True)
    ]


def examples_shared(raw: Path = RAW) -> list[dict[str, str | float]]:
    """The share of each held-out split whose examples stand in the training split, byte for byte; healthy: 0."""
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
