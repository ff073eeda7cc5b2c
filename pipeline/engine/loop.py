"""The loop: draw a batch, follow its gradient, write down what happened. It knows no task, no network and no device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from pipeline.artifacts.writing import rounded
from pipeline.engine.checkpoint import Progress
from pipeline.engine.curricula import changing_settings, settings_at
from pipeline.engine.early_stopping import NOT_A_NUMBER, reason_to_stop
from pipeline.engine.prefetch import Prefetcher
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.sampler import batch_of
from pipeline.engine.schedules import learning_rate
from pipeline.networks.dropout import DropoutState
from pipeline.params.training import Train
from pipeline.tasks.base import Batch, Task


@runtime_checkable
class StepCallback(Protocol):
    """Who is told of every step, and may end the training between two micro-batches."""

    def on_step(self, progress: Progress) -> None:
        """The training stands here now: log, snapshot, checkpoint as is due."""

    def interrupted(self) -> bool:
        """Whether to stop now; the step under way is given up, and nothing of it remains."""


class Interrupted(Exception):  # noqa: N818 (no error: somebody asked for it)
    """The training was asked to stop."""


def fit(progress: Progress, task: Task, train: Train, seed: int, runtime: Runtime, keeper: StepCallback) -> None:
    """Train from where `progress` stands to the last step, or to where going on is senseless (`Progress.stopped` says why).

    Raises:
        Interrupted: the keeper wanted to stop; `progress` is that of the last whole step.
    """
    with Prefetcher(
        lambda step: runtime.pin(batch_of(task, train, seed, step)), train.steps, runtime.knobs.prefetch
    ) as batches:
        while True:
            if _validation_is_due(progress, train):
                loss, accuracy = validate(progress, task, train, runtime, keeper.interrupted)
                if math.isfinite(loss):
                    row = {"step": progress.step, "targets": progress.targets, "loss": loss, "accuracy": accuracy}
                    progress.validations.append({name: rounded(number) for name, number in row.items()})
                else:
                    progress.stopped = NOT_A_NUMBER
            keeper.on_step(progress)
            if progress.step == train.steps or progress.diverged:
                return
            train_step(progress, task, train, seed, runtime, keeper.interrupted, batches.at(progress.step))
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
    """One step: the gradient of the mean loss over a batch, in as many parts as memory wants, and a move against it.

    Args:
        batch: that of the step, where somebody has drawn it already.
    """
    model, share = progress.model, progress.step / train.steps
    batch = batch or batch_of(task, train, seed, progress.step)
    dials = settings_at(task, train, progress.step)
    count, loss = batch.count, torch.zeros((), device=runtime.device)
    for weight in model.parameters():
        weight.grad = None
    for rows in dials.micro_batches(runtime.micro_batch_size(train, task.length, dials.length)):
        if interrupted():
            raise Interrupted
        noise = DropoutState(seed, progress.step, share, rows, dials.batch)
        with runtime.autocast():
            part = task.loss(model, runtime.batch_to_device(batch.part(rows)), noise)
        # Divided by the count of the whole batch, so that parts with fewer targets weigh less.
        (part.minimized * (progress.scaler.scale / count)).backward()
        loss += part.total.detach() / count
    may_step = progress.scaler.unscale(model)
    norm, clipped = _clip([weight.grad for weight in model.parameters() if weight.grad is not None], train.grad_clip)
    if may_step:
        with runtime.autocast():  # for Muon's matrix products
            progress.optimizer.step(learning_rate(share, train))
    progress.skipped += not may_step
    progress.step, progress.targets = progress.step + 1, progress.targets + count
    progress.recent.append((loss, norm, clipped))


def validate(
    progress: Progress, task: Task, train: Train, runtime: Runtime, interrupted: Callable[[], bool]
) -> tuple[float, float]:
    """(mean loss, nats a target; share of the targets told right) on examples spread evenly over the validation split.

    Raises:
        Interrupted: somebody wanted to stop.
    """
    size = task.size("validation")
    examples = np.unique(np.linspace(0, size - 1, min(size, train.validation_examples)).astype(np.int64))
    total, count, correct = 0.0, 0, 0
    together = runtime.micro_batch_size(train, task.length, task.length)
    with progress.optimizer.eval_weights(), torch.inference_mode():
        for rows in np.array_split(examples, -(-len(examples) // together)):
            if interrupted():
                raise Interrupted
            batch = task.batch("validation", rows)
            with runtime.autocast():
                part = task.loss(progress.model, runtime.batch_to_device(batch))
            assert part.correct is not None, "a task counts what it got right wherever it is not training"
            total, count, correct = total + float(part.total), count + batch.count, correct + int(part.correct)
    return total / count, correct / count


def _clip(gradients: list[Tensor], limit: float) -> tuple[Tensor, Tensor]:
    """Shorten the gradient as a whole to the limit (0 = none); (its norm before, whether it was shortened).

    Source: Pascanu et al., "On the difficulty of training Recurrent Neural Networks", 2012.
    """
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    if not limit:
        return norm, torch.zeros_like(norm)
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm, (norm > limit).float()


def _is_due(step: int, times: int, steps: int) -> bool:
    """Whether one of so many evenly spaced moments, the last of them the end, falls on this step."""
    return step > 0 and step * times // steps > (step - 1) * times // steps


def _validation_is_due(progress: Progress, train: Train) -> bool:
    """Asked before a step and not after one, so that a run interrupted while it validates makes up for it."""
    done = bool(progress.validations) and progress.validations[-1]["step"] == progress.step
    return _is_due(progress.step, train.validation_points, train.steps) and not done and not progress.diverged


def _write_row(progress: Progress, task: Task, train: Train) -> None:
    """The mean of the steps since the last row as a new one; and whether it is time to give up."""
    losses, norms, clipped = np.array([[float(number) for number in step] for step in progress.recent]).T
    progress.recent.clear()
    loss = float(losses.mean())
    if not math.isfinite(loss):
        progress.stopped = NOT_A_NUMBER
        return
    met = norms[np.isfinite(norms)]  # a step that float16 overflows in is skipped, and its gradient has no length
    row = {
        "step": progress.step,
        "targets": progress.targets,
        "loss": loss,
        "lr": learning_rate((progress.step - 1) / train.steps, train),
        "gradient_norm": float(met.mean()) if len(met) else 0.0,
        "clipped": float(clipped.mean()),
    } | changing_settings(task, train, progress.step - 1)
    progress.curve.append({name: rounded(number) for name, number in row.items()})
    if train.stop_if_diverged and progress.step < train.steps:
        progress.stopped = reason_to_stop(progress.curve, train.steps, train.warmup_ratio, task.uniform_loss)
