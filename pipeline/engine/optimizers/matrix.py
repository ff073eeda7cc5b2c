"""Optimizers that see a matrix as the map that it is, not as so many numbers."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.engine.optimizers.adaptive import AdamW
from pipeline.engine.optimizers.base import Group, GroupedOptimizer, LrMultipliers, Named, decay_weights, zeros_for
from pipeline.networks.roles import Role, role_of
from pipeline.params.training import Train


class Muon(GroupedOptimizer):
    """Momentum whose matrices are made orthogonal, so that every direction of a layer learns at the same pace.

    Embeddings, head and vectors, whose rows are not directions of a map, go by AdamW at `adamw_lr_ratio` times the rate.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    update: ClassVar = "orthogonal"
    coarse: ClassVar = {"velocity": True}

    def __init__(self, parameters: Named, train: Train, rates: LrMultipliers) -> None:
        maps = {name: p for name, p in parameters.items() if p.ndim == 2 and role_of(name, p) in (Role.MATRIX, Role.OUTPUT)}
        super().__init__(maps, train, rates)
        self.rest = AdamW({name: p for name, p in parameters.items() if name not in maps}, train, rates)

    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"velocity": zeros_for(weight)}

    def state(self) -> dict[str, Tensor]:
        return super().state() | self.rest.state()

    def send_away(self) -> None:
        super().send_away()
        self.rest.send_away()

    def step(self, lr: float) -> None:
        super().step(lr)
        self.rest.step(lr * self.train.adamw_lr_ratio)

    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        velocity, momentum = memory["velocity"], self.train.momentum
        torch._foreach_lerp_(velocity, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, velocity, momentum)  # Nesterov: where momentum is about to lead
        decay_weights(group, lr)
        # Matrices of one shape go through the iteration as one batch: few large products instead of many small ones.
        shapes: dict[torch.Size, list[int]] = {}
        for place, weight in enumerate(group.weights):
            shapes.setdefault(weight.shape, []).append(place)
        for shape, places in shapes.items():
            directions = orthogonalized(torch.stack([ahead[place] for place in places]))
            # A tall matrix writes to more features than it reads from: its step is as long, feature by feature.
            pace = lr * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_add_([group.weights[place] for place in places], list(directions.unbind()), alpha=-pace)


def orthogonalized(matrices: Float[Tensor, "N R C"], iterations: int = 5) -> Float[Tensor, "N R C"]:
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


class SOAP(GroupedOptimizer):
    """AdamW along the axes in which a layer's gradients vary, instead of weight by weight.

    The axes are the eigenvectors of the mean of G Gᵀ, on the side of a matrix's outputs, and of Gᵀ G, on that of its
    inputs (Shampoo's preconditioner); they are looked for anew every `precondition_frequency` updates. The side
    of the tokens, in embedding and head, has none, and vectors go by AdamW itself. The first gradient only sets the axes.

    Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, algorithm 3.
    """

    coarse: ClassVar = {"mean": True, "square": False}
    SIDES = ("outputs", "inputs")

    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        memory = {"mean": zeros_for(weight), "square": zeros_for(weight), "steps": torch.zeros((), dtype=torch.float64)}
        if weight.ndim != 2:
            return memory
        tokens = role_of(name, weight) in (Role.EMBEDDING, Role.HEAD)
        for side, size in zip(self.SIDES[tokens:], weight.shape[tokens:], strict=True):
            memory |= {f"{kind}_of_{side}": weight.new_zeros(size, size) for kind in ("gram", "axes")}
        return {kind: tensor.detach() for kind, tensor in memory.items()}

    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        decay_weights(group, lr)
        with torch.autocast(group.weights[0].device.type, enabled=False):  # eigenvectors want every digit
            for place, (weight, gradient) in enumerate(zip(group.weights, gradients, strict=True)):
                self._move(weight, gradient, {kind: tensors[place] for kind, tensors in memory.items()}, lr)

    def _move(self, weight: Tensor, gradient: Tensor, memory: dict[str, Tensor], lr: float) -> None:
        beta1, beta2, steps = self.train.beta1, self.train.beta2, memory["steps"]
        axes = [memory.get(f"axes_of_{side}") for side in self.SIDES]
        before = int(steps)
        moves = before if any(side is not None for side in axes) else before + 1  # this one among them
        if moves:
            memory["mean"].lerp_(gradient, 1 - beta1)
            memory["square"].lerp_(rotated(gradient, axes).square_(), 1 - beta2)
            sizes = (memory["square"] / (1 - beta2**moves)).sqrt_().add_(self.train.epsilon)
            step = rotated(memory["mean"], axes) / sizes
            weight.add_(rotated_back(step, axes), alpha=-lr / (1 - beta1**moves))
        self._look_for_axes(gradient, memory, before)
        steps += 1

    def _look_for_axes(self, gradient: Tensor, memory: dict[str, Tensor], before: int) -> None:
        every = self.train.precondition_frequency
        for side in self.SIDES:
            if f"gram_of_{side}" not in memory:
                continue
            gram, axes = memory[f"gram_of_{side}"], memory[f"axes_of_{side}"]
            gram.lerp_(gradient @ gradient.mT if side == "outputs" else gradient.mT @ gradient, 1 - self.train.beta2)
            if before in (0, every):  # afresh twice: where a branch starts at 0, the first gradient is nothing
                axes.copy_(torch.linalg.eigh(gram).eigenvectors.flip(1))
            elif before % every == 0:  # a step of the power iteration: the axes have turned but a little
                axes.copy_(torch.linalg.qr(gram @ axes).Q)


def rotated(matrix: Tensor, axes: list[Tensor | None]) -> Tensor:
    """A matrix as seen along the axes of its outputs and inputs; a side without axes stays as it is."""
    outputs, inputs = axes
    matrix = matrix if outputs is None else outputs.mT @ matrix
    return matrix if inputs is None else matrix @ inputs


def rotated_back(matrix: Tensor, axes: list[Tensor | None]) -> Tensor:
    """The matrix that looks so along the axes."""
    return rotated(matrix, [None if side is None else side.mT for side in axes])
