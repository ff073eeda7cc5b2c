"""Optimizers: what a gradient does to the weights.

Written out here for three reasons. They are what the lab is about, so they should be readable; the first step of
anything in torch.optim imports a compiler (1.5 s, as long as a small training); and their whole state is a flat
dict of tensors, which a checkpoint keeps without pickle. tests/test_optimizers.py holds them to torch.optim's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.networks.roles import Role, role_of
from pipeline.params import Train

Named = dict[str, nn.Parameter]


class Optimizer(ABC):
    """Moves parameters against their gradients; all that it remembers is in `state`."""

    def __init__(self, parameters: Named, train: Train) -> None:
        self.parameters, self.train = parameters, train
        self.weights: list[Tensor] = list(parameters.values())

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The memory by name; the tensors themselves, so that loading is copying into them."""

    @abstractmethod
    def update(self, gradients: list[Tensor], lr: float) -> None:
        """Move every weight once."""

    def step(self, lr: float) -> None:
        """Move every weight by its gradient at a learning rate."""
        gradients = [weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in self.weights]
        with torch.no_grad():
            self.update(gradients, lr)

    def load(self, state: dict[str, Tensor]) -> None:
        """Remember what another optimizer of the same kind remembered."""
        for name, memory in self.state().items():
            memory.copy_(state[name])

    def _memory(self) -> list[Tensor]:
        return [torch.zeros_like(weight, memory_format=torch.preserve_format) for weight in self.weights]

    def _named(self, kind: str, memories: list[Tensor]) -> dict[str, Tensor]:
        return {f"{kind}.{name}": memory for name, memory in zip(self.parameters, memories, strict=True)}

    def _decays(self) -> list[Tensor]:
        """Matrices are decayed, vectors are not: a gain that is pulled to 0 says nothing about complexity."""
        return [weight for weight in self.weights if weight.ndim >= 2]


class SGD(Optimizer):
    """Down the gradient, with the momentum of those before.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    def __init__(self, parameters: Named, train: Train) -> None:
        super().__init__(parameters, train)
        self.velocity = self._memory()

    def state(self) -> dict[str, Tensor]:
        return self._named("velocity", self.velocity)

    def update(self, gradients: list[Tensor], lr: float) -> None:
        if self.train.weight_decay:
            torch._foreach_mul_(self._decays(), 1 - lr * self.train.weight_decay)
        torch._foreach_mul_(self.velocity, self.train.momentum)
        torch._foreach_add_(self.velocity, gradients)
        torch._foreach_add_(self.weights, self.velocity, alpha=-lr)


class AdamW(Optimizer):
    """Each weight at its own pace: mean gradient over root mean square gradient, with decoupled weight decay.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """

    def __init__(self, parameters: Named, train: Train) -> None:
        super().__init__(parameters, train)
        self.mean, self.square = self._memory(), self._memory()
        self.steps = [torch.zeros((), device=weight.device) for weight in self.weights]
        self.decayed = [index for index, weight in enumerate(self.weights) if weight.ndim >= 2]
        self.plain = [index for index, weight in enumerate(self.weights) if weight.ndim < 2]

    def state(self) -> dict[str, Tensor]:
        return self._named("mean", self.mean) | self._named("square", self.square) | self._named("steps", self.steps)

    def update(self, gradients: list[Tensor], lr: float) -> None:
        torch._foreach_add_(self.steps, 1.0)
        for indices, decay in ((self.decayed, self.train.weight_decay), (self.plain, 0.0)):
            if indices:
                weights, slopes, mean, square, steps = (
                    [tensors[i] for i in indices] for tensors in (self.weights, gradients, self.mean, self.square, self.steps)
                )
                torch._fused_adamw_(  # one kernel for all weights; what torch.optim.AdamW(fused=True) calls
                    weights,
                    slopes,
                    mean,
                    square,
                    [],
                    steps,
                    lr=lr,
                    beta1=self.train.beta1,
                    beta2=self.train.beta2,
                    weight_decay=decay,
                    eps=self.train.epsilon,
                    amsgrad=False,
                    maximize=False,
                )


class Muon(Optimizer):
    """Momentum whose matrices are made orthogonal, so that every direction of a layer learns at the same pace.

    Embeddings, head and vectors, whose rows are not directions of a map, go by AdamW at `vector_lr` times the rate.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(self, parameters: Named, train: Train) -> None:
        maps = {name: p for name, p in parameters.items() if role_of(name, p) in (Role.MATRIX, Role.OUTPUT)}
        super().__init__(maps, train)
        self.rest = AdamW({name: p for name, p in parameters.items() if name not in maps}, train)
        self.velocity = self._memory()
        # Matrices of one shape go through the iteration as one batch: few large products instead of many small ones.
        self.alike: dict[torch.Size, list[int]] = {}
        for index, weight in enumerate(self.weights):
            self.alike.setdefault(weight.shape, []).append(index)

    def state(self) -> dict[str, Tensor]:
        return self._named("velocity", self.velocity) | self.rest.state()

    def step(self, lr: float) -> None:
        super().step(lr)
        self.rest.step(lr * self.train.vector_lr)

    def update(self, gradients: list[Tensor], lr: float) -> None:
        momentum = self.train.momentum
        torch._foreach_lerp_(self.velocity, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, self.velocity, momentum)  # Nesterov: where momentum is about to lead
        if self.train.weight_decay:
            torch._foreach_mul_(self.weights, 1 - lr * self.train.weight_decay)
        for shape, indices in self.alike.items():
            directions = orthogonalised(torch.stack([ahead[i] for i in indices]))
            # A tall matrix writes to more features than it reads from: its step is as long, feature by feature.
            pace = lr * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_add_([self.weights[i] for i in indices], list(directions.unbind()), alpha=-pace)


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


OPTIMIZERS: dict[str, Callable[[Named, Train], Optimizer]] = {
    "muon": Muon,
    "adamw": AdamW,
    "sgd": SGD,
}
