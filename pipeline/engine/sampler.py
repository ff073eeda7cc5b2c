"""Which examples does a step see? A pure function of (seed, step): nothing to remember, nothing to get out of step."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from pipeline.engine.curricula import CURRICULA, settings_at
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Parts, Task

NO_STEP = 2**63  # in place of a step's number: what is drawn for the training as a whole
EPOCH, VARIATION = 1, 2  # what else is drawn: the order of an epoch (whose number stands for a step's), how examples are varied


def batch_of(task: Task, train: Train, seed: int, step: int) -> Batch:
    """What a step sees: as many examples as the dials say, of that length, drawn from what is open by then."""
    dials = settings_at(task, train, step)
    source = opened_subset(task, train.curriculum, seed, dials.open)
    if task.parts().mixed:
        rows = rows_of_mixture(seed, step, dials.batch, source.parts().of_sources, source.length, dials.second)
    else:
        rows = SAMPLINGS[train.sampling](seed, step, dials.batch, source.size("train"))
    if train.windows == "documents":
        rows = document_starts(rows, source.parts())
    return task.varied(source.batch("train", rows, dials.length), _generator(seed, step, VARIATION))


def rows_with_replacement(seed: int, step: int, batch: int, examples: int) -> np.ndarray:
    """The numbers of a step's examples, int64 [batch], drawn evenly with replacement from 0 .. examples - 1."""
    return _generator(seed, step).integers(0, examples, size=batch)


def rows_of_epoch(seed: int, step: int, batch: int, examples: int) -> np.ndarray:
    """The same, each example once before any comes again: in another order in every epoch."""
    places = np.arange(step * batch, (step + 1) * batch)
    rows = np.empty(batch, np.int64)
    for epoch in np.unique(places // examples):
        of_epoch = places // examples == epoch
        rows[of_epoch] = _shuffled(seed, int(epoch), examples)[places[of_epoch] % examples]
    return rows


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, examples: int) -> Int[np.ndarray, " N"]:
    return _generator(seed, epoch, EPOCH).permutation(examples)


def rows_of_mixture(seed: int, step: int, batch: int, sizes: Int[np.ndarray, " 2"], length: int, second: float) -> np.ndarray:
    """The same for a mixture, int64 [batch]: each from the second data set with the probability `second`, else from the first.

    Args:
        sizes: tokens of the two, the second behind the first; no example reaches from one into the other.
    """
    rng = _generator(seed, step)
    of_second = rng.random(batch) < second
    first_rows, second_rows = (rng.integers(0, max(int(size) - length, 1), size=batch) for size in sizes)
    return np.where(of_second, sizes[0] + second_rows, first_rows)


def document_starts(rows: np.ndarray, parts: Parts) -> np.ndarray:
    """Windows moved back to where the document begins that they fell into, or the part of a long one.

    A place of the window is then always the same place of a document, as it is when the trained network is asked something.
    What of a part lies further on than a window is long is read only where a window reaches it from the part before.
    """
    begun: np.ndarray = parts.begins[np.searchsorted(parts.begins, rows, side="right") - 1]
    return begun


@functools.lru_cache(maxsize=2)
def opened_subset(task: Task, curriculum: str, seed: int, share: float) -> Task:
    """The task with the share of its training data that a curriculum has opened: the fewest parts that hold so many tokens.

    Of a mixture it is that share of each data set. What is open stays in its own order, so that a window of a text of
    short documents is as mixed as it is without a curriculum, and when all is open the training goes on as without one.
    """
    if share == 1 or CURRICULA[curriculum] is None:
        return task
    parts = task.parts()
    chosen = np.zeros(len(parts.sizes), bool)
    for ranked in _ranked(task, curriculum, seed):
        reached = np.cumsum(parts.sizes[ranked])
        wanted = max(share * reached[-1], task.length + 1)  # at least an example
        chosen[ranked[: np.searchsorted(reached, wanted) + 1]] = True
    return task.among(chosen)


@functools.lru_cache(maxsize=2)
def _ranked(task: Task, curriculum: str, seed: int) -> list[Int[np.ndarray, " P"]]:
    """The parts of each data set in the order in which they open."""
    rank, parts = CURRICULA[curriculum], task.parts()
    assert rank is not None
    members = (np.flatnonzero(parts.source == source) for source in range(len(parts.of_sources)))
    return [some[rank(parts.difficulty[some], _generator(seed, NO_STEP))] for some in members]


def _generator(seed: int, step: int, use: int = 0) -> np.random.Generator:
    """Random numbers of a step; for each use others."""
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, 0, use]))


SAMPLINGS: dict[str, Callable[[int, int, int, int], np.ndarray]] = {
    "with_replacement": rows_with_replacement,
    "epochs": rows_of_epoch,
}
