"""Evaluation of a language model: its score on the whole of a held-out split, next to those of the baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from pipeline.artifacts.writing import rounded
from pipeline.evaluation.baselines import HELD_OUT, Score
from pipeline.inference.threads import Workers
from pipeline.inference.trained import TrainedModel
from pipeline.networks.roles import Role, role_of

CELLS = 2**20  # activations of the widest layer at a time, on a CPU: more do not fit its caches
CELLS_GPU = 2**26


def score(trained: TrainedModel, split: str, size: int, advance: Callable[[int], None] = lambda count: None) -> Score:
    """The score of the model on every token of a split but the first, without dropout, each window by itself.

    Args:
        size: bytes of the predicted text.
        advance: called with the number of bytes of each batch that is done.
    """
    task, examples = trained.task, trained.task.size(split)

    def sums(rows: Int[np.ndarray, " n"]) -> tuple[float, int, int]:
        with torch.inference_mode(), trained.runtime.autocast():
            part = task.loss(trained.model, trained.runtime.batch_to_device(task.batch(split, rows)))
            assert part.correct is not None, "a task counts correct predictions outside of training"
            return float(part.total), int(part.count), int(part.correct)

    total, count, correct = 0.0, 0, 0
    batches = np.array_split(np.arange(examples), -(-examples // batch_size(trained)))
    with Workers(trained.runtime.device) as workers:
        for rows, (nats, targets, hits) in zip(batches, workers.each(sums, batches), strict=True):
            total, count, correct = total + nats, count + targets, correct + hits
            advance(size * len(rows) // examples)
    return Score("model", split, total, size, count, correct if math.isfinite(total) else None)


def batch_size(trained: TrainedModel) -> int:
    """The number of examples that the device processes fast and has the memory for."""
    cells = CELLS if trained.runtime.device.type == "cpu" else CELLS_GPU
    # Texts of different lengths may all be as long as the context.
    tokens = max(trained.task.batch("validation", np.zeros(1, np.int64)).inputs.numel(), trained.task.length)
    named = trained.model.named_parameters(remove_duplicate=False)  # a tied head by its own name, too
    widest = max(weight.shape[0] for name, weight in named if role_of(name, weight) is not Role.EMBEDDING)
    return max(1, cells // tokens // widest)


def ranking(scores: Sequence[Score]) -> list[str]:
    """A line for each held-out split: the model and the baselines, the fewest bits per byte first."""
    lines = []
    for split in HELD_OUT:
        best_first = sorted((score for score in scores if score.split == split), key=lambda score: score.bits_per_byte)
        lines.append(f"bits per byte, {split}: {', '.join(f'{score.name} {score.bits_per_byte:.3f}' for score in best_first)}")
    return lines


def summary(
    model: Sequence[Score], baselines: Sequence[Score], entropy: Sequence[Score], test_is_validation: bool = False
) -> dict[str, Any]:
    """evaluate.json of a language model: a few numbers by which experiments are compared, and all `scores`.

    Args:
        model: its scores on validation and test.
        entropy: the lowest possible loss on the same splits; empty where it is not known.
        test_is_validation: whether the two splits are the same text, so that the second confirms nothing.
    """
    scores = [*model, *baselines, *entropy]
    if test_is_validation:
        scores = [score.with_note("the validation split again") if score.split == "test" else score for score in scores]
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
