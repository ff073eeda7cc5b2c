"""Optimizers: what a gradient does to the weights.

Written out here for three reasons. They are what the lab is about, so they should be readable; the first step of
anything in torch.optim imports a compiler (1.5 s, as long as a small training); and their whole state is a flat
dict of tensors, which a checkpoint keeps without pickle. tests/test_optimizers.py holds them to torch.optim's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.engine.optimizer import Group, Named, Optimizer, Rates, nothing_yet, shrink
from pipeline.networks.roles import Role, role_of
from pipeline.params import Train


class SGD(Optimizer):
    """Down the gradient, with the momentum of those before.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    def remember(self, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"velocity": nothing_yet(weight)}

    def move(self, group: Group, gradients: list[Tensor], lr: float) -> None:
        velocity = group.memory["velocity"]
        shrink(group, lr)
        torch._foreach_mul_(velocity, self.train.momentum)
        torch._foreach_add_(velocity, gradients)
        torch._foreach_add_(group.weights, velocity, alpha=-lr)


class AdamW(Optimizer):
    """Each weight at its own pace: mean gradient over root mean square gradient, with decoupled weight decay.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """

    def remember(self, weight: nn.Parameter) -> dict[str, Tensor]:
        steps = torch.zeros((), device=weight.device)
        return {"mean": nothing_yet(weight), "square": nothing_yet(weight), "steps": steps}

    def move(self, group: Group, gradients: list[Tensor], lr: float) -> None:
        torch._foreach_add_(group.memory["steps"], 1.0)
        torch._fused_adamw_(  # one kernel for the whole group; what torch.optim.AdamW(fused=True) calls
            group.weights,
            gradients,
            group.memory["mean"],
            group.memory["square"],
            [],
            group.memory["steps"],
            lr=lr,
            beta1=self.train.beta1,
            beta2=self.train.beta2,
            weight_decay=group.decay,
            eps=self.train.epsilon,
            amsgrad=False,
            maximize=False,
        )


class Muon(Optimizer):
    """Momentum whose matrices are made orthogonal, so that every direction of a layer learns at the same pace.

    Embeddings, head and vectors, whose rows are not directions of a map, go by AdamW at `vector_lr` times the rate.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(self, parameters: Named, train: Train, rates: Rates) -> None:
        maps = {name: p for name, p in parameters.items() if role_of(name, p) in (Role.MATRIX, Role.OUTPUT)}
        super().__init__(maps, train, rates)
        self.rest = AdamW({name: p for name, p in parameters.items() if name not in maps}, train, rates)

    def remember(self, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"velocity": nothing_yet(weight)}

    def state(self) -> dict[str, Tensor]:
        return super().state() | self.rest.state()

    def step(self, lr: float) -> None:
        super().step(lr)
        self.rest.step(lr * self.train.vector_lr)

    def move(self, group: Group, gradients: list[Tensor], lr: float) -> None:
        velocity, momentum = group.memory["velocity"], self.train.momentum
        torch._foreach_lerp_(velocity, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, velocity, momentum)  # Nesterov: where momentum is about to lead
        shrink(group, lr)
        for shape, indices in alike(group.weights).items():
            directions = orthogonalised(torch.stack([ahead[i] for i in indices]))
            # A tall matrix writes to more features than it reads from: its step is as long, feature by feature.
            pace = lr * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_add_([group.weights[i] for i in indices], list(directions.unbind()), alpha=-pace)


def alike(weights: list[Tensor]) -> dict[torch.Size, list[int]]:
    """The places of the matrices of each shape: as one batch they are few large products instead of many small ones."""
    found: dict[torch.Size, list[int]] = {}
    for index, weight in enumerate(weights):
        found.setdefault(weight.shape, []).append(index)
    return found


def orthogonalised(matrices: Float[Tensor, "N R C"], iterations: int = 5) -> Float[Tensor, "N R C"]:
    """The nearest matrices with all singular values about 1 (.7 .. 1.2), by a quintic Newton–Schulz iteration.

    Under autocast its products are in low precision, which it bears: each iteration corrects the one before.

    Source: Jordan et al., "Muon", 2024 (the coefficients); Björck & Bowie, 1971 (the iteration).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.to(matrices.dtype)
    return x.mT if tall else x


OPTIMIZERS: dict[str, Callable[[Named, Train, Rates], Optimizer]] = {
    "muon": Muon,
    "adamw": AdamW,
    "sgd": SGD,
}
