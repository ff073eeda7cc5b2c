"""Checks of a whole training: losses that it recorded, against those of its snapshots on the stored text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.arrays import memory_mapped
from pipeline.artifacts.paths import tokens_of
from pipeline.conformance.plain_training import cross_entropy, slices
from pipeline.engine.recorder import snapshots_due
from pipeline.inference.trained import TrainedModel
from pipeline.networks.dropout import DropoutState
from pipeline.params.training import Train
from pipeline.tasks.lm import LanguageModelling

Numbers = dict[str, float]
Rows = Sequence[Mapping[str, float]]
SHORT = 8192  # tokens of a measurement on the validation split
AT_A_TIME = 8  # windows
BATCHES = 2  # of a row of the curve that are computed again
LATEST = 3  # snapshots at which rows are computed again; of the validation loss, those before the last only where it is short


def windows(ids: np.ndarray, starts: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets [B, T] that begin at these places of the text; −1 where a target is beyond its end."""
    place = starts[:, None] + np.arange(length + 1)
    found = torch.from_numpy(np.where(place < len(ids), ids[np.minimum(place, len(ids) - 1)].astype(np.int64), -1))
    return found[:, :-1].clamp(min=0), found[:, 1:]


def validation_windows(task: LanguageModelling, train: Train) -> tuple[Tensor, Tensor]:
    """The examples on which training measures its validation loss: evenly spread over the windows of the stored split."""
    ids = memory_mapped(tokens_of(task.tokens, "validation"))
    count = -(-(len(ids) - 1) // task.length)
    rows = np.unique(np.linspace(0, count - 1, min(count, train.validation_examples)).astype(np.int64))
    inputs, targets = windows(ids, rows * task.length, task.length)
    targets[:, :-1][inputs[:, 1:] != targets[:, :-1]] = -1
    return inputs, targets


def drawn_windows(task: LanguageModelling, train: Train, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """The training batch of a step: windows at places drawn at random."""
    ids = memory_mapped(tokens_of(task.tokens, "train"))
    return windows(ids, drawn_starts(seed, step, train.batch_size, len(ids) - task.length), task.length)


def drawn_starts(seed: int, step: int, count: int, size: int) -> np.ndarray:
    """Places of the windows of a step: 0 .. size − 1, drawn uniformly by Philox, its key (seed, step)."""
    return np.random.Generator(np.random.Philox(key=[seed, step])).integers(0, size, size=count)


@torch.no_grad()
def mean_loss(network: nn.Module, inputs: Tensor, targets: Tensor, state: DropoutState | None = None) -> float:
    """The plain cross-entropy of a network, nats per target."""
    device, total, count = next(network.parameters()).device, 0.0, 0
    for rows in slices(len(inputs), AT_A_TIME):
        logits = network(inputs[rows].to(device), state and state.part(rows))
        losses = cross_entropy(logits.cpu(), targets[rows])
        total, count = total + float(losses.sum()), count + len(losses)
    return total / max(count, 1)


def draws_anywhere(task: LanguageModelling, train: Train) -> bool:
    """Whether the batch of a step is what `drawn_windows` gives: no schedule of the data, no documents, no mixture."""
    plain = train.batch_start == train.length_start == 1.0 and train.curriculum == "none"
    return plain and train.windows == "anywhere" and not task.parts().mixed


@dataclass
class RecordedLosses:
    """Compares what a training recorded at its snapshots with what they give; the largest difference of each is kept.

    recorded_validation: of the validation loss, relative.
    recorded_loss: of the training loss of the steps after a snapshot, relative; at the end, of those before. Weights moved in
        these steps, by which it differs in healthy runs too.

    Attributes:
        curve, validations: rows of the curves.
    """

    task: LanguageModelling
    train: Train
    seed: int
    curve: Rows
    validations: Rows
    numbers: Numbers = field(default_factory=dict)

    def watched(self, snapshots: Iterable[TrainedModel]) -> Iterator[TrainedModel]:
        """The same snapshots, each compared on its way."""
        for snapshot in snapshots:
            self.see(snapshot.model, snapshot.step)
            yield snapshot

    def see(self, network: nn.Module, step: int) -> None:
        """Compare the rows at a step with the weights of a network."""
        measured = [row for row in self.validations if row["step"] == step]
        wanted = {row["step"] for row in self.validations} & snapshots_due(self.train)
        cheap = self.train.validation_examples * self.task.length <= SHORT
        if measured and step in sorted(wanted)[-(LATEST if cheap else 1) :]:
            self._keep(
                "recorded_validation", measured[-1]["loss"], mean_loss(network, *validation_windows(self.task, self.train))
            )
        if self.train.ema or self.train.optimizer == "schedule_free" or not draws_anywhere(self.task, self.train):
            return
        if step not in sorted(snapshots_due(self.train))[-LATEST:]:
            return
        before = 0.0
        for row in self.curve:
            if step and (before == step or (row["step"] == step == self.train.steps)):
                steps = np.unique(np.linspace(before, row["step"] - 1, BATCHES).round().astype(int))
                losses = [self._of_step(network, int(one)) for one in steps]
                chance = 3 * float(np.std(losses)) / math.sqrt(len(losses)) if len(steps) < row["step"] - before else 0.0
                self._keep("recorded_loss", row["loss"], float(np.mean(losses)), chance)
            before = row["step"]

    def _of_step(self, network: nn.Module, step: int) -> float:
        size = self.train.batch_size
        state = DropoutState(self.seed, step, step / self.train.steps, slice(0, size), size)
        return mean_loss(network, *drawn_windows(self.task, self.train, self.seed, step), state)

    def _keep(self, name: str, recorded: float, computed: float, chance: float = 0.0) -> None:
        off = max(abs(recorded - computed) - chance, 0.0) / max(computed, 0.05)
        self.numbers[name] = max(self.numbers.get(name, 0.0), off if math.isfinite(off) else math.inf)
