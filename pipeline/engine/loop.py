"""The training loop: draw a batch, step along its gradient, log. Independent of task, network and device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from pipeline.artifacts.writing import rounded
from pipeline.engine.checkpoint import Progress
from pipeline.engine.curricula import changing_settings, micro_batches, settings_at
from pipeline.engine.early_stopping import NOT_A_NUMBER, reason_to_stop
from pipeline.engine.prefetch import Prefetcher
from pipeline.engine.runtime.company import Tree
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sampler import batch_of
from pipeline.engine.schedules import learning_rate
from pipeline.networks.dropout import DropoutState
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Task


@runtime_checkable
class StepCallback(Protocol):
    """Called at every step; may stop the training between two micro-batches."""

    def on_step(self, progress: Progress) -> None:
        """Called before each step and after the last: log, save snapshots and checkpoints as they are due."""

    def interrupted(self) -> bool:
        """Whether to stop now; the current step is discarded."""


class Interrupted(Exception):  # noqa: N818 (not an error: it was requested)
    """The training was asked to stop."""


def fit(progress: Progress, task: Task, train: Train, seed: int, runtime: Runtime, callback: StepCallback) -> None:
    """Train from the step of `progress` to the last, or until early stopping ends it (`Progress.stopped` says why).

    Raises:
        Interrupted: the callback asked to stop; `progress` is that of the last complete step.
    """
    with Prefetcher(
        lambda step: runtime.pin(batch_of(task, train, seed, step)), train.steps, runtime.knobs.prefetch
    ) as batches:
        while True:
            if _validation_is_due(progress, train):
                loss, accuracy = validate(progress, task, train, runtime, callback.interrupted)
                if math.isfinite(loss):
                    row = {"step": progress.step, "targets": progress.targets, "loss": loss, "accuracy": accuracy}
                    progress.validations.append({name: rounded(number) for name, number in row.items()})
                else:
                    progress.stopped = NOT_A_NUMBER
            callback.on_step(progress)
            if progress.step == train.steps or progress.diverged:
                return
            train_step(progress, task, train, seed, runtime, callback.interrupted, batches.at(progress.step))
            if _is_due(progress.step, train.log_points, train.steps):
                _write_row(progress, task, train)


def train_step(
    progress: Progress,
    task: Task,
    train: Train,
    seed: int,
    runtime: Runtime,
    interrupted: Callable[[], bool],
    batch: Batch | None = None,
) -> None:
    """One optimizer step: the gradient of the mean loss over a batch, accumulated over micro-batches, then the update.

    With several slots the micro-batches of each are accumulated by themselves, and the sums added as a tree, over all
    processes that train together.

    Args:
        batch: that of the step, if it was prefetched.

    Raises:
        Interrupted: a stop was requested.
        ProcessLost: another process of the training has ended.
    """
    model, share_done = progress.model, progress.step / train.steps
    weights = list(model.parameters())  # a walk through all modules takes a hundredth of a small network's step
    batch = batch or batch_of(task, train, seed, progress.step)
    settings = settings_at(task, train, progress.step)
    count, size = batch.count, runtime.micro_batch_size(train, task.length, settings.length)
    sums, stop = Tree(), False
    for slot in runtime.company.share(settings.slots(train.slots)):
        loss = torch.zeros((), device=runtime.device)
        for weight in weights:
            weight.grad = None
        for rows in micro_batches(slot, size):
            if stop := stop or interrupted():
                break
            dropout_state = DropoutState(seed, progress.step, share_done, rows, settings.batch)
            with runtime.autocast():
                micro_batch = task.loss(model, runtime.batch_to_device(batch.part(rows)), dropout_state)
            # Divided by the count of the whole batch, so that the gradient is that of the mean over all of its targets.
            (micro_batch.minimized * (progress.scaler.scale / count)).backward()
            loss += micro_batch.total.detach() / count
        if train.slots > 1:  # an empty slot, too, has a gradient of each weight
            _fill_gradients(weights)
        sums.add([loss, *(weight.grad for weight in weights if weight.grad is not None)])
    loss, *gradients = sums.total()
    if runtime.company.add(runtime.company.unsummed(loss, gradients), stop):
        raise Interrupted
    for weight, gradient in zip((w for w in weights if w.grad is not None), gradients, strict=True):
        weight.grad = gradient
    finite = progress.scaler.unscale(model)
    norm, clipped = _clip(gradients, runtime.company.norm(gradients), train.grad_clip)
    if finite:
        with runtime.autocast():  # for Muon's matrix products
            progress.optimizer.step(learning_rate(share_done, train))
    progress.skipped += not finite
    progress.step, progress.targets = progress.step + 1, progress.targets + count
    progress.recent.append((loss, norm, clipped))


def validate(
    progress: Progress, task: Task, train: Train, runtime: Runtime, interrupted: Callable[[], bool]
) -> tuple[float, float]:
    """(mean loss in nats per target, accuracy over targets) on examples spread evenly over the validation split.

    Raises:
        Interrupted: a stop was requested.
    """
    examples = validation_examples(task.size("validation"), train.validation_examples)
    count = -(-len(examples) // runtime.micro_batch_size(train, task.length, task.length))
    parts = np.array_split(examples, runtime.company.parts(count))
    sums, stop = torch.zeros(len(parts), 3, dtype=torch.float64), False  # of each part: loss, targets, correct ones
    with progress.optimizer.eval_weights(), torch.inference_mode():
        for part in runtime.company.turns(len(parts)):
            if stop := interrupted():
                break
            batch = task.batch("validation", parts[part])
            with runtime.autocast():
                loss = task.loss(progress.model, runtime.batch_to_device(batch))
            assert loss.correct is not None, "tasks count correct targets whenever they are not training"
            sums[part] = torch.tensor([float(loss.total), batch.count, int(loss.correct)], dtype=torch.float64)
        if runtime.company.add([sums], stop):
            raise Interrupted
    total, targets, correct = (sum(column) for column in zip(*sums.tolist(), strict=True))
    return total / targets, correct / targets


def validation_examples(size: int, count: int) -> Int[np.ndarray, " n"]:
    """Which of the `size` examples of the validation split are validated on: at most `count`, spread evenly.

    >>> validation_examples(9, 3)
    array([0, 4, 8])
    """
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


def _fill_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give each weight without a gradient one of zeros."""
    for weight in weights:
        if weight.requires_grad and weight.grad is None:
            weight.grad = torch.zeros_like(weight)


def _clip(gradients: list[Tensor], norm: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Clip the global norm of the gradients, in place, to the limit (0 = none); (norm before, 1 if clipped else 0).

    Source: Pascanu et al., "On the difficulty of training Recurrent Neural Networks", 2012.
    """
    if not limit:
        return norm, torch.zeros_like(norm)
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm, (norm > limit).float()


def _is_due(step: int, times: int, steps: int) -> bool:
    """Whether this step is one of `times` evenly spaced ones, the last step among them."""
    return step > 0 and step * times // steps > (step - 1) * times // steps


def _validation_is_due(progress: Progress, train: Train) -> bool:
    """Checked before a step, not after one, so that a run interrupted during validation validates when it resumes."""
    done = bool(progress.validations) and progress.validations[-1]["step"] == progress.step
    return _is_due(progress.step, train.validation_points, train.steps) and not done and not progress.diverged


def _write_row(progress: Progress, task: Task, train: Train) -> None:
    """Append a row to the curve, the mean of the steps since the last one; and check for early stopping."""
    losses, norms, clipped = np.array([[float(number) for number in step] for step in progress.recent]).T
    progress.recent.clear()
    loss = float(losses.mean())
    if not math.isfinite(loss):
        progress.stopped = NOT_A_NUMBER
        return
    finite = norms[np.isfinite(norms)]  # a step that overflowed in float16 was skipped; its gradient has no norm
    row = {
        "step": progress.step,
        "targets": progress.targets,
        "loss": loss,
        "lr": learning_rate((progress.step - 1) / train.steps, train),
        "gradient_norm": float(finite.mean()) if len(finite) else 0.0,
        "clipped": float(clipped.mean()),
    } | changing_settings(task, train, progress.step - 1)
    progress.curve.append({name: rounded(number) for name, number in row.items()})
    if train.stop_if_diverged and progress.step < train.steps:
        progress.stopped = reason_to_stop(progress.curve, train.steps, train.warmup_ratio, task.uniform_loss)
