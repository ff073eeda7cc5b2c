"""How well does a model predict? Its score over the whole of a held-out split, and what that means beside the baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.artifacts.writing import rounded
from pipeline.evaluation.baselines import HELD_OUT, Score
from pipeline.inference.trained import Subject

CELLS = 2**20  # activations of the widest layer at a time, on a CPU: more fall out of its caches
CELLS_GPU = 2**26


def score(subject: Subject, split: str, size: int, advance: Callable[[int], None] = lambda count: None) -> Score:
    """The model's score on every token of a split but the first, as it is used: no dropout, each window by itself.

    Args:
        size: bytes of the text that is predicted.
        advance: told, as it goes, of how many more bytes are done.
    """
    task, examples = subject.task, subject.task.size(split)
    total, count, correct = 0.0, 0, 0
    with torch.inference_mode(), subject.runtime.autocast():
        for rows in np.array_split(np.arange(examples), -(-examples // at_a_time(subject))):
            part = task.loss(subject.model, subject.runtime.batch_to_device(task.batch(split, rows)))
            assert part.correct is not None, "a task counts what it got right wherever it is not training"
            total, count, correct = total + float(part.total), count + int(part.count), correct + int(part.correct)
            advance(size * len(rows) // examples)
    return Score("model", split, total, size, count, correct if math.isfinite(total) else None)


def at_a_time(subject: Subject) -> int:
    """Examples in a batch that the device is fast with and has the memory for."""
    cells = CELLS if subject.runtime.device.type == "cpu" else CELLS_GPU
    # Of texts of different lengths the longest there may be.
    tokens = max(subject.task.batch("validation", np.zeros(1, np.int64)).inputs.numel(), subject.task.length)
    return max(1, cells // tokens // max(weight.shape[0] for weight in subject.model.parameters()))


def standings(scores: Sequence[Score]) -> list[str]:
    """A line for each held-out split that says who predicts it best, and who next."""
    lines = []
    for split in HELD_OUT:
        best_first = sorted((score for score in scores if score.split == split), key=lambda score: score.bits_per_byte)
        lines.append(f"bits a byte, {split}: {', '.join(f'{score.name} {score.bits_per_byte:.3f}' for score in best_first)}")
    return lines


def summary(
    model: Sequence[Score], baselines: Sequence[Score], entropy: Sequence[Score], test_is_validation: bool = False
) -> dict[str, Any]:
    """What evaluate.json holds: a few numbers that experiments are compared by, and `scores`, all of them.

    Args:
        model: its scores on validation and test.
        entropy: what no model can beat, on the same splits, or nothing where it is not known.
        test_is_validation: the two splits are one text, so that the second confirms nothing.
    """
    scores = [*model, *baselines, *entropy]
    if test_is_validation:
        scores = [score.noted("the validation split again") if score.split == "test" else score for score in scores]
    validation, test = model
    numbers = {
        "loss": validation.loss,
        "bits_per_byte": validation.bits_per_byte,
        "accuracy": validation.accuracy,
        "test_bits_per_byte": test.bits_per_byte,
        "margin": min(score.bits_per_byte for score in baselines if score.split == test.split) - test.bits_per_byte,
    }
    if entropy:
        numbers["above_entropy"] = (validation.nats - entropy[0].nats) / (validation.tokens or 1)
    finite = {name: rounded(number) for name, number in numbers.items() if number is not None and math.isfinite(number)}
    # A list, which DVC leaves out of its tables: one experiment has one row there.
    return finite | {"scores": [score.row() for score in scores]}
