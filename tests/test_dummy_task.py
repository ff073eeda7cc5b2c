"""Examples that are made up have the form of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import knobs
from subjects import OF_KIND, small_subject

from pipeline.lab.stand_ins.dummy_task import EXAMPLES, BatchMaker, DummyTask
from pipeline.networks.classifier import PADDING
from pipeline.params.schema import Params
from pipeline.tasks.base import Shape
from pipeline.tasks.objective import Objective
from pipeline.tasks.table import TASKS


def made_up(kind: str, shape: Shape, sizes: np.ndarray | None = None) -> tuple[Params, DummyTask]:
    params = knobs(task__kind=kind, **OF_KIND.get(kind, {}))
    return params, DummyTask(params, shape, Objective(), BatchMaker(1, sizes))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_made_up_batch_is_one_that_the_task_could_have_drawn(kind: str, tmp_path: Path) -> None:
    assert EXAMPLES.keys() == TASKS.keys()
    real = small_subject(tmp_path, task__kind=kind).task
    shape = Shape(real.vocabulary) if kind == "language" else real.shape  # type: ignore[attr-defined]
    _, task = made_up(kind, shape)
    drawn, made = real.batch("train", np.arange(4)), task.batch("train", np.arange(4))
    assert (made.inputs.dtype, made.targets.dtype) == (drawn.inputs.dtype, drawn.targets.dtype)
    assert made.inputs.ndim == drawn.inputs.ndim and made.targets.shape == drawn.targets.shape
    assert (task.length, task.unit, task.uniform_loss) == (real.length, real.unit, real.uniform_loss)
    network = task.build(torch.Generator().manual_seed(1))
    assert float(task.loss(network, made).total.detach()) == pytest.approx(made.count * task.uniform_loss, rel=0.3)


def test_made_up_texts_are_as_long_as_real_ones_and_padded_behind() -> None:
    _, task = made_up("classify", Shape(50, ("a", "b")), np.array([3, 9]))
    ids = task.batch("train", np.arange(40)).inputs
    sizes = (ids != PADDING).sum(dim=1)
    assert set(sizes.tolist()) == {3, 9}
    assert ids.shape == (40, 12)  # in steps of eight, and no longer than the context
    assert all(bool((row[:size] >= 0).all()) for row, size in zip(ids, sizes, strict=True))
