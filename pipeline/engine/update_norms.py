"""Update norms: the relative size ‖ΔW‖ / ‖W‖ of one optimizer step, per parameter, at each snapshot."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pipeline.artifacts.writing import rounded
from pipeline.engine.checkpoint import Progress


class UpdateNorms:
    """Called at every step, it writes the update norms after each snapshot to `Progress.updates`.

    They are measured, not computed from gradients: ‖ΔW‖ / ‖W‖ (L2, W before the step), weight decay and everything else in
    an update included, of the step that follows a snapshot, and of the last step for the snapshot at the end. A weight that
    was all 0 has no ratio, nor has one without a gradient (frozen, or a running mean). The training is not changed. For the
    length of those steps a copy of the weights is held in host memory.

    Args:
        snapshots: the steps of the snapshots.
        steps: of the whole training.
    """

    def __init__(self, snapshots: Iterable[int], steps: int) -> None:
        self.snapshot_of = {min(step, steps - 1): step for step in sorted(snapshots)}
        self.before: dict[str, Tensor] = {}

    def wants_weights(self, progress: Progress) -> bool:
        """Whether `on_step` has something to do at this step."""
        return bool(self.before) or progress.step in self.snapshot_of

    def on_step(self, progress: Progress) -> None:
        if self.before:
            snapshot = self.snapshot_of[progress.step - 1]
            progress.updates[snapshot] = dict(self._ratios(progress))
            self.before = {}
        if progress.step in self.snapshot_of and not progress.diverged:
            self.before = {name: weight.detach().to("cpu", copy=True) for name, weight in _trainable(progress)}

    def _ratios(self, progress: Progress) -> Iterable[tuple[str, float]]:
        for name, weight in _trainable(progress):
            before = self.before[name]
            size, change = float(before.norm()), float((weight.detach().cpu() - before).norm())
            if size and torch.isfinite(torch.tensor(change)):
                yield name, rounded(change / size)


def _trainable(progress: Progress) -> Iterable[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in progress.model.named_parameters() if weight.requires_grad)
