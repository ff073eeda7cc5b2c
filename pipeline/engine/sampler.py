"""The sampler: which examples each step trains on. A pure function of (seed, step), so that it has no state to save."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from pipeline.engine.curricula import CURRICULA, settings_at
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Parts, Task

NO_STEP = 2**63  # in place of a step: for what is drawn once for the whole training
# Further streams of random numbers: the order of an epoch (its number in place of a step), and augmentation.
EPOCH, AUGMENTATION = 1, 2


def batch_of(task: Task, train: Train, seed: int, step: int) -> Batch:
    """The batch of a step: its size, length and share of the data come from the schedules in curricula.py."""
    settings = settings_at(task, train, step)
    source = opened_subset(task, train.curriculum, seed, settings.open)
    if task.parts().mixed:
        rows = rows_of_mixture(seed, step, settings.batch, source.parts().tokens_per_source, source.length, settings.second)
    else:
        rows = SAMPLINGS[train.sampling](seed, step, settings.batch, source.size("train"))
    if train.windows == "documents":
        rows = document_starts(rows, source.parts())
    return task.augmented(source.batch("train", rows, settings.length), _generator(seed, step, AUGMENTATION))


def rows_with_replacement(seed: int, step: int, batch: int, examples: int) -> np.ndarray:
    """Indices of a step's examples, int64 [batch], drawn uniformly with replacement from 0 .. examples - 1."""
    return _generator(seed, step).integers(0, examples, size=batch)


def rows_of_epoch(seed: int, step: int, batch: int, examples: int) -> np.ndarray:
    """Indices of a step's examples, int64 [batch], without replacement: each epoch is a new permutation of all examples."""
    positions = np.arange(step * batch, (step + 1) * batch)
    rows = np.empty(batch, np.int64)
    for epoch in np.unique(positions // examples):
        of_epoch = positions // examples == epoch
        rows[of_epoch] = _shuffled(seed, int(epoch), examples)[positions[of_epoch] % examples]
    return rows


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, examples: int) -> Int[np.ndarray, " N"]:
    return _generator(seed, epoch, EPOCH).permutation(examples)


def rows_of_mixture(seed: int, step: int, batch: int, sizes: Int[np.ndarray, " 2"], length: int, second: float) -> np.ndarray:
    """Indices for a mixture, int64 [batch]: each from the second data set with probability `second`, else from the first.

    Args:
        sizes: tokens of the two, stored one after the other; no example spans both.
    """
    rng = _generator(seed, step)
    of_second = rng.random(batch) < second
    first_rows, second_rows = (rng.integers(0, max(int(size) - length, 1), size=batch) for size in sizes)
    return np.where(of_second, sizes[0] + second_rows, first_rows)


def document_starts(rows: np.ndarray, parts: Parts) -> np.ndarray:
    """Windows moved back to the start of the document (or part of a long document) that they begin in.

    A position in the window is then always the same position in a document, as it is when the trained network generates.
    Tokens of a part beyond the length of a window are read only in windows that begin in the part before.
    """
    starts: np.ndarray = parts.starts[np.searchsorted(parts.starts, rows, side="right") - 1]
    return starts


@functools.lru_cache(maxsize=2)
def opened_subset(task: Task, curriculum: str, seed: int, share: float) -> Task:
    """The task with the share of its training data that a curriculum has opened: the fewest parts with that many tokens.

    For a mixture it is that share of each data set. Open parts keep their order in the data, so that a window over short
    documents is as mixed as without a curriculum, and once everything is open the training is as without one.
    """
    if share == 1 or CURRICULA[curriculum] is None:
        return task
    parts = task.parts()
    chosen = np.zeros(len(parts.sizes), bool)
    for ranked in _ranked(task, curriculum, seed):
        reached = np.cumsum(parts.sizes[ranked])
        wanted = max(share * reached[-1], task.length + 1)  # at least one example
        chosen[ranked[: np.searchsorted(reached, wanted) + 1]] = True
    return task.subset(chosen)


@functools.lru_cache(maxsize=2)
def _ranked(task: Task, curriculum: str, seed: int) -> list[Int[np.ndarray, " P"]]:
    """Indices of the parts of each data set, in the order in which the curriculum opens them."""
    rank, parts = CURRICULA[curriculum], task.parts()
    assert rank is not None
    members = (np.flatnonzero(parts.source == source) for source in range(len(parts.tokens_per_source)))
    return [own[rank(parts.difficulty[own], _generator(seed, NO_STEP))] for own in members]


def _generator(seed: int, step: int, use: int = 0) -> np.random.Generator:
    """The random number generator of a step; independent for each use."""
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, 0, use]))


SAMPLINGS: dict[str, Callable[[int, int, int, int], np.ndarray]] = {
    "with_replacement": rows_with_replacement,
    "epochs": rows_of_epoch,
}
