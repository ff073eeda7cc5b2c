"""Prefetching: same results as without, nothing beyond the last step, no thread left behind, errors at their step."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from small import VOCABULARY, StopAfter, knobs, same, started, write_tokens

from pipeline.engine.loop import Interrupted, fit
from pipeline.engine.prefetch import Prefetcher
from pipeline.engine.sampler import batch_of
from pipeline.tasks.base import Batch, Shape
from pipeline.tasks.lm import LanguageModelling

pytestmark = pytest.mark.shapes


def prefetch_threads() -> int:
    return sum(thread.name.startswith("prefetch") for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 2, 64])
def test_a_training_that_reads_ahead_ends_bit_by_bit_where_one_that_does_not_ends(depth: int, tmp_path: Path) -> None:
    ends = []
    for ahead in (0, depth):
        params = knobs(runtime__prefetch=ahead, model__dropout=0.1)
        progress, task, runtime = started(params, tmp_path)
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
        ends.append(progress)
    assert same(ends[0].tensors(), ends[1].tensors())
    assert ends[0].numbers() == ends[1].numbers()
    assert prefetch_threads() == 0


def test_an_interrupted_training_leaves_no_thread_and_goes_on_with_the_step_that_it_gave_up(tmp_path: Path) -> None:
    params = knobs(runtime__prefetch=3)
    unbroken, task, runtime = started(params, tmp_path)
    fit(unbroken, task, params.train, params.seed, runtime, StopAfter())
    progress, task, runtime = started(params, tmp_path)
    with pytest.raises(Interrupted):
        fit(progress, task, params.train, params.seed, runtime, StopAfter(last=5))
    assert prefetch_threads() == 0
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert same(progress.tensors(), unbroken.tensors())


class Torn(LanguageModelling):
    """A task of which some data cannot be read: the first examples of step 7."""

    def batch(self, split: str, rows: np.ndarray, length: int | None = None) -> Batch:
        if split == "train" and rows.tolist() == self.unreadable:
            raise OSError("the disk is gone")
        return super().batch(split, rows, length)


@pytest.mark.parametrize("depth", [0, 3])
def test_an_error_in_the_thread_comes_up_at_the_step_that_wanted_the_batch(depth: int, tmp_path: Path) -> None:
    from pipeline.engine.sampler import rows_with_replacement

    params = knobs(runtime__prefetch=depth)
    progress, whole, runtime = started(params, tmp_path)
    task = Torn(tmp_path, params.model, Shape(VOCABULARY))
    task.unreadable = rows_with_replacement(params.seed, 7, params.train.batch_size, whole.size("train")).tolist()
    with pytest.raises(OSError, match="the disk is gone"):
        fit(progress, task, params.train, params.seed, runtime, StopAfter())
    assert progress.step == 7
    assert prefetch_threads() == 0


def test_every_step_gets_its_batch_and_nothing_is_prepared_twice_or_beyond_the_end(tmp_path: Path) -> None:
    params = knobs()
    task = LanguageModelling(write_tokens(tmp_path), params.model, Shape(VOCABULARY))
    prepared: list[int] = []

    def prepare(step: int) -> Batch:
        prepared.append(step)
        return batch_of(task, params.train, params.seed, step)

    with Prefetcher(prepare, steps=9, depth=4) as batches:
        for step in range(3, 9):
            expected = batch_of(task, params.train, params.seed, step)
            assert batches.at(step).inputs.equal(expected.inputs)
    assert prepared == list(range(3, 9))
