"""How strongly is the loss curved in its steepest direction?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pipeline.inference.trained import Subject
from pipeline.networks.attention import Attention, Kernel, set_attention_kernel
from pipeline.networks.dropout import Dropout, DropoutState
from pipeline.readings import Reading, point


def sharpness(subject: Subject) -> Reading | None:
    """λ, the Hessian's eigenvalue of largest size, of the loss that training follows; by power iteration, on request.

    v <- Hv / ‖Hv‖ from a random start, `probe.sharpness_iterations` times, and then v·Hv. Each product is exact, a gradient of
    a gradient; no Hessian is ever held.

    It is a property of the training loss, so it is taken on training examples (`probe.sequences` of them, spread evenly over
    the split; all of it where there are no more) and of what the weights really follow there: squares, smoothing, weights of
    classes, a batch norm by its batch. What is random is left out: dropout, and how images are varied. So is a teacher.

    Healthy, for gradient descent on the full batch: λ · lr / 2 ≤ 1.1; it climbs until there and stays, at the edge of
    stability. Broken: over 1.3.

    Distrust: for Adam, Muon and small batches that edge is elsewhere, and only the trend tells. Too few iterations give too
    small a value (20 are usually within some percent). Where a run does not read the whole split at each step, λ of a few
    examples is larger than that of all.

    Source: Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability", 2021; Pearlmutter,
    "Fast Exact Multiplication by the Hessian", 1994.
    """
    if not subject.sharpness_iterations:
        return None
    return point(
        "sharpness",
        {"largest eigenvalue": largest_eigenvalue(subject, subject.sharpness_iterations)},
        subject.step,
        quantity="largest eigenvalue of the Hessian",
        says="How strongly the loss curves in its steepest direction. Healthy, for plain gradient descent: up to 2 / learning"
        " rate, where it comes to rest; with other optimizers only the trend tells.",
        logarithmic=True,
        about="gradients",
    )


def largest_eigenvalue(subject: Subject, iterations: int) -> float:
    """By power iteration; not a number where the loss is none."""
    weights = [weight for weight in subject.model.parameters() if weight.requires_grad]
    generator = torch.Generator().manual_seed(0)
    direction = _unit([torch.randn(weight.shape, generator=generator).to(weight) for weight in weights])
    batch, task = subject.training_batch, subject.training_task or subject.task
    training = DropoutState(0, subject.step, 0.0, slice(0, len(batch.inputs)), len(batch.inputs))
    with _as_followed(subject.model), torch.enable_grad(), subject.runtime.autocast():
        mean = task.loss(subject.model, batch, training).minimized / batch.count
        slopes = torch.autograd.grad(mean, weights, create_graph=True, allow_unused=True, materialize_grads=True)
        for _ in range(iterations):
            direction = _unit(_turned(slopes, weights, direction))
        return sum(
            float((one * other).sum()) for one, other in zip(direction, _turned(slopes, weights, direction), strict=True)
        )


def _turned(slopes: Sequence[Tensor], weights: Sequence[Tensor], direction: Sequence[Tensor]) -> list[Tensor]:
    """The Hessian times a direction."""
    found = torch.autograd.grad(slopes, weights, direction, retain_graph=True, allow_unused=True, materialize_grads=True)
    return list(found)


def _unit(tensors: Sequence[Tensor]) -> list[Tensor]:
    length = torch.stack([tensor.norm() for tensor in tensors]).norm()
    return [tensor / length for tensor in tensors]


@contextlib.contextmanager
def _as_followed(model: nn.Module) -> Iterator[None]:
    """As in training but for what is random, and with attention written out, which alone can be differentiated twice.

    Afterwards all is as it was, running means too, which a pass as in training moves.
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
