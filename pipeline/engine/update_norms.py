"""How far does a step move each weight? Measured where the training keeps itself for the probes; a snapshot cannot tell."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pipeline.artifacts.writing import rounded
from pipeline.engine.checkpoint import Progress


class UpdateNorms:
    """Told of a training at every step, it writes down in `Progress.updates` how far each weight moves after a snapshot.

    It is the true change, ‖ΔW‖ / ‖W‖ (L2, W before the step), with all that an optimizer makes of a gradient, weight decay
    too: of the step that follows a snapshot, and of the last step for the snapshot at the end. A weight that was all 0 has no
    ratio, nor has one that no gradient moves (it is frozen, or a running mean). The training itself is not touched. For the
    length of those steps the weights are kept twice, in the host's memory.

    Args:
        snapshots: the steps at which snapshots are due.
        steps: of the whole training.
    """

    def __init__(self, snapshots: Iterable[int], steps: int) -> None:
        self.snapshot_of = {min(step, steps - 1): step for step in sorted(snapshots)}
        self.before: dict[str, Tensor] = {}

    def on_step(self, progress: Progress) -> None:
        if self.before:
            snapshot = self.snapshot_of[progress.step - 1]
            progress.updates[snapshot] = dict(self._moved(progress))
            self.before = {}
        if progress.step in self.snapshot_of and not progress.diverged:
            self.before = {name: weight.detach().to("cpu", copy=True) for name, weight in _learned(progress)}

    def _moved(self, progress: Progress) -> Iterable[tuple[str, float]]:
        for name, weight in _learned(progress):
            before = self.before[name]
            size, change = float(before.norm()), float((weight.detach().cpu() - before).norm())
            if size and torch.isfinite(torch.tensor(change)):
                yield name, rounded(change / size)


def _learned(progress: Progress) -> Iterable[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in progress.model.named_parameters() if weight.requires_grad)
