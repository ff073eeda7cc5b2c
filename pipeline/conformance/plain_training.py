"""The rest of a training step a second time: schedule, loss, optimizers, average of the weights. Plain, and in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pipeline.params.training import Train

OPTIMIZERS = ("adamw", "adam", "sgd", "lion", "muon")  # those that are written out here
SCHEDULES = ("constant", "linear", "cosine", "trapezoid", "inverse_sqrt", "exponential", "one_cycle")
CELLS = 2**18  # logits at a time: 2 MB in float64
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al., "Muon", 2024


def rate(done: float, train: Train) -> float:
    """The learning rate after a share of the training, in closed form."""
    warm, floor = train.warmup_ratio, train.min_lr_ratio
    if done < warm:
        return train.lr * done / warm
    left, after = 1 - done, (done - warm) / (1 - warm) if warm < 1 else 1.0
    match train.schedule:
        case "linear":
            share = left / (1 - warm)
        case "cosine":
            share = math.cos(math.pi * after / 2) ** 2
        case "trapezoid":
            share = min(1.0, left / train.cooldown_ratio) if train.cooldown_ratio and warm < 1 else 1.0
        case "inverse_sqrt":
            share = math.sqrt(warm / done)
        case "exponential":
            return train.lr * floor ** (1 - after) if floor < 1 else train.lr
        case "one_cycle":
            share = 1 - 0.9 * (done - warm) / warm if done < 2 * warm else 0.1 * left / (1 - 2 * warm)
        case _:
            share = 1.0
    return train.lr * (floor + (1 - floor) * share)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """log Σ exp z − z[target], nats, of each target that counts (not below 0)."""

    def of(logits: Tensor, targets: Tensor) -> Tensor:
        z, right = _counted(logits, targets)
        return torch.logsumexp(z, dim=-1) - z[torch.arange(len(z)), right]

    return torch.cat([of(*some) for some in zip(*_pieces(logits, targets), strict=True)])


def objective(
    logits: Tensor, targets: Tensor, train: Train, class_weights: tuple[float, ...] = (), scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(What is minimized, summed over the targets that count; its slope in the logits, divided by `scale`).

    With label smoothing, z-loss, class weights or squared error. Rows of logits depend on nothing else, so they are computed
    some at a time: all of them in float64, with what the slope needs, would take more memory than the rest of the step.
    """
    costs, slope = list[Tensor](), torch.empty_like(logits)
    for some, right, its in zip(*_pieces(logits.detach(), targets, slope), strict=True):
        z = some.requires_grad_()
        cost = _costs(*_counted(z, right), train, class_weights)
        its.copy_(*torch.autograd.grad(cost.sum() / scale, z))
        costs.append(cost.detach())
    return torch.cat(costs).sum(), slope


def slices(count: int, size: int) -> Iterator[slice]:
    """`count` examples, at most `size` at a time; not by the micro-batches of the engine, which is what is checked."""
    return (slice(first, min(first + size, count)) for first in range(0, count, max(size, 1)))


def _pieces(logits: Tensor, *others: Tensor) -> list[tuple[Tensor, ...]]:
    rows = max(1, CELLS // logits.shape[-1])
    return [one.split(rows) for one in (logits, *others)]


def _counted(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    counts = targets >= 0
    return logits.double()[counts], targets[counts]


def _costs(z: Tensor, right: Tensor, train: Train, class_weights: tuple[float, ...]) -> Tensor:
    log_z = torch.logsumexp(z, dim=-1)
    if train.loss == "mse":
        wanted = torch.zeros_like(z)
        wanted[torch.arange(len(z)), right] = 1.0
        costs = ((z - wanted) ** 2).mean(-1)
    else:
        smooth = train.label_smoothing
        costs = log_z - (1 - smooth) * z[torch.arange(len(z)), right] - smooth * z.mean(-1)
    if class_weights:
        costs = costs * torch.tensor(class_weights, dtype=z.dtype)[right]
    return costs + train.z_loss * log_z**2


class PlainOptimizer:
    """The update of one step after the other, of each weight by its formula; keeps the averages that the formulas need.

    Args:
        multipliers: the factor on the learning rate of a weight; 1 where it has none.
    """

    def __init__(self, train: Train, multipliers: Mapping[str, float]) -> None:
        self.train, self.multipliers, self.steps = train, multipliers, 0
        self.mean: dict[str, Tensor] = {}
        self.square: dict[str, Tensor] = {}

    def changes(self, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor], lr: float) -> dict[str, Tensor]:
        """What is added to each weight in this step."""
        self.steps += 1
        return {name: self._change(name, weights[name].double(), gradients[name].double(), lr) for name in weights}

    def _change(self, name: str, w: Tensor, g: Tensor, lr: float) -> Tensor:
        train, lr = self.train, lr * self.multipliers.get(name, 1.0)
        decay = train.weight_decay if w.ndim >= 2 else 0.0  # vectors are not decayed
        m = self.mean.get(name, torch.zeros_like(g))
        if train.optimizer == "sgd":
            self.mean[name] = m = train.momentum * m + g
            return -lr * decay * w - lr * (g + train.momentum * m if train.nesterov else m)
        if train.optimizer == "lion":
            self.mean[name] = train.beta2 * m + (1 - train.beta2) * g
            return -lr * decay * w - lr * torch.sign(train.beta1 * m + (1 - train.beta1) * g)
        if train.optimizer == "muon":
            if is_hidden_matrix(name, w):
                self.mean[name] = m = train.momentum * m + (1 - train.momentum) * g
                ahead = (1 - train.momentum) * g + train.momentum * m
                return -lr * decay * w - lr * max(1.0, w.shape[0] / w.shape[1]) ** 0.5 * orthogonal(ahead)
            lr *= train.adamw_lr_ratio
        if train.optimizer == "adam":
            g, decay = g + decay * w, 0.0
        v = self.square.get(name, torch.zeros_like(g))
        self.mean[name] = m = train.beta1 * m + (1 - train.beta1) * g
        self.square[name] = v = train.beta2 * v + (1 - train.beta2) * g**2
        m_hat, v_hat = m / (1 - train.beta1**self.steps), v / (1 - train.beta2**self.steps)
        return -lr * decay * w - lr * m_hat / (v_hat.sqrt() + train.epsilon)


def is_hidden_matrix(name: str, w: Tensor) -> bool:
    """Whether Muon updates a weight as a matrix: those of the hidden layers, not embeddings, positions, head."""
    return w.ndim == 2 and name.split(".")[0] not in ("embedding", "position", "mixer", "pooling", "head")


def orthogonal(matrix: Tensor) -> Tensor:
    """All singular values brought near 1: five times x <- a x + (b xxᵀ + c (xxᵀ)²) x, of the matrix by its norm.

    In float32, which is enough where all singular values come out near 1, and takes half the time.
    """
    a, b, c = NEWTON_SCHULZ
    x = (matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix).double()
    x = (x / (x.norm() + 1e-7)).float()
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if matrix.shape[0] > matrix.shape[1] else x).to(matrix.dtype)
