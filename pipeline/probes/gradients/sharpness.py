"""Sharpness: the largest eigenvalue of the Hessian of the training loss."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pipeline.inference.trained import TrainedModel
from pipeline.networks.attention import Attention, Kernel, set_attention_kernel
from pipeline.networks.dropout import Dropout, DropoutState
from pipeline.readings import Reading, point


def sharpness(trained: TrainedModel) -> Reading | None:
    """λ, the eigenvalue of largest size of the Hessian of the training loss; by power iteration, on request.

    v <- Hv / ‖Hv‖ from a random start, `probe.sharpness_iterations` times, and then v·Hv. Each product is exact, a gradient of
    a gradient; no Hessian is ever held.

    It is a property of the training loss, so it is computed on training examples (`probe.sequences` of them, spread evenly
    over the split; all of it where there are no more) and with the training objective: squared error, label smoothing, class
    weights, batch statistics in batch norm. What is random is left out: dropout and data augmentation. So is distillation.

    Healthy, for gradient descent on the full batch: λ · lr / 2 ≤ 1.1; it climbs until 1 and stays there, at the edge of
    stability. Broken: over 1.3.

    Distrust: for Adam, Muon and small batches that edge is elsewhere, and only the trend is informative. Too few iterations
    give too small a value (20 are usually within a few percent). Where a run does not read the whole split at each step, λ of
    a few examples is larger than that of all.

    Source: Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability", 2021; Pearlmutter,
    "Fast Exact Multiplication by the Hessian", 1994.
    """
    if not trained.sharpness_iterations:
        return None
    return point(
        "sharpness",
        {"largest eigenvalue": largest_eigenvalue(trained, trained.sharpness_iterations)},
        trained.step,
        quantity="largest eigenvalue of the Hessian",
        says="The curvature of the training loss in its steepest direction. Healthy, for plain gradient descent: up to 2 /"
        " learning rate, where it settles; with other optimizers only the trend is informative.",
        logarithmic=True,
        about="gradients",
    )


def largest_eigenvalue(trained: TrainedModel, iterations: int) -> float:
    """λ by power iteration; nan where the loss is not finite."""
    weights = [weight for weight in trained.model.parameters() if weight.requires_grad]
    generator = torch.Generator().manual_seed(0)
    direction = _unit([torch.randn(weight.shape, generator=generator).to(weight) for weight in weights])
    batch, task = trained.training_batch, trained.training_task or trained.task
    training = DropoutState(0, trained.step, 0.0, slice(0, len(batch.inputs)), len(batch.inputs))
    with _as_in_training(trained.model), torch.enable_grad(), trained.runtime.autocast():
        mean = task.loss(trained.model, batch, training).minimized / batch.count
        slopes = torch.autograd.grad(mean, weights, create_graph=True, allow_unused=True, materialize_grads=True)
        for _ in range(iterations):
            direction = _unit(_hessian_times(slopes, weights, direction))
        return sum(
            float((one * other).sum()) for one, other in zip(direction, _hessian_times(slopes, weights, direction), strict=True)
        )


def _hessian_times(slopes: Sequence[Tensor], weights: Sequence[Tensor], direction: Sequence[Tensor]) -> list[Tensor]:
    """The Hessian times a direction, one tensor for each weight."""
    found = torch.autograd.grad(slopes, weights, direction, retain_graph=True, allow_unused=True, materialize_grads=True)
    return list(found)


def _unit(tensors: Sequence[Tensor]) -> list[Tensor]:
    length = torch.stack([tensor.norm() for tensor in tensors]).norm()
    return [tensor / length for tensor in tensors]


@contextlib.contextmanager
def _as_in_training(model: nn.Module) -> Iterator[None]:
    """A block in which the model runs as in training, without dropout and with eager attention, which can be differentiated
    twice. Afterwards all is as it was, also running means, which a training pass updates.
    """
    kernels: dict[Attention, Kernel] = {module: module.kernel for module in model.modules() if isinstance(module, Attention)}
    dropouts = {module: module.rate for module in model.modules() if isinstance(module, Dropout)}
    running = [(weight, weight.clone()) for weight in model.parameters() if not weight.requires_grad]
    set_attention_kernel(model, "eager")
    for dropout in dropouts:
        dropout.rate = 0.0
    try:
        yield
    finally:
        for module, kernel in kernels.items():
            module.kernel = kernel
        for dropout, rate in dropouts.items():
            dropout.rate = rate
        with torch.no_grad():
            for weight, before in running:
                weight.copy_(before)
