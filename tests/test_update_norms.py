"""Update norms are written beside the snapshots, and measuring them does not change the training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import StopAfter, knobs, same, started

from pipeline.engine.checkpoint import Progress
from pipeline.engine.loop import fit
from pipeline.engine.update_norms import UpdateNorms


class Walking(StopAfter):
    """A callback that measures update norms, and copies the weights at every step for comparison."""

    def __init__(self, snapshots: set[int], steps: int, last: int | None = None) -> None:
        super().__init__(last)
        self.update_norms = UpdateNorms(snapshots, steps)
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def on_step(self, progress: Progress) -> None:
        super().on_step(progress)
        self.update_norms.on_step(progress)
        self.weights[progress.step] = {name: weight.detach().clone() for name, weight in progress.model.named_parameters()}


def test_they_are_the_true_changes_of_the_step_after_a_snapshot_and_of_the_last_step(tmp_path: Path) -> None:
    params = knobs(model__init="gpt2", model__embedding_mixer="none", train__weight_decay=0.3)
    progress, task, runtime = started(params, tmp_path)
    walking = Walking({0, 5, 12}, params.train.steps)
    fit(progress, task, params.train, params.seed, runtime, walking)
    assert set(progress.updates) == {0, 5, 12}
    for snapshot, first in ((0, 0), (5, 5), (12, 11)):
        before, after = walking.weights[first], walking.weights[first + 1]
        assert progress.updates[snapshot] == pytest.approx(
            {name: float((after[name] - before[name]).norm() / before[name].norm()) for name in before}, rel=1e-5
        )


def test_a_weight_that_was_all_zero_has_none(tmp_path: Path) -> None:
    params = knobs(model__init="zero_output")
    progress, task, runtime = started(params, tmp_path)
    fit(progress, task, params.train, params.seed, runtime, Walking({0, 6}, params.train.steps))
    assert "head.weight" not in progress.updates[0]
    assert "head.weight" in progress.updates[6]


def test_measuring_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    params = knobs()
    plain, task, runtime = started(params, tmp_path)
    fit(plain, task, params.train, params.seed, runtime, StopAfter())
    measured, _, _ = started(params, tmp_path)
    fit(measured, task, params.train, params.seed, runtime, Walking(set(range(13)), params.train.steps))
    assert same(plain.tensors(), measured.tensors())
    assert plain.curve == measured.curve
