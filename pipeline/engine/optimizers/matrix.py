"""Matrix optimizers, which use a weight matrix as a linear map: Muon and SOAP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.engine.curricula import divided
from pipeline.engine.optimizers.adaptive import AdamW
from pipeline.engine.optimizers.base import Group, GroupedOptimizer, LrMultipliers, Named, decay_weights, zeros_for
from pipeline.networks.roles import Role, role_of
from pipeline.params.training import Train


class Muon(GroupedOptimizer):
    """Momentum whose update of a matrix is orthogonalized, so that all its singular directions learn equally fast.

    Embeddings, head and vectors are updated by AdamW, at `adamw_lr_ratio` times the learning rate.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    update_kind: ClassVar = "orthogonal"
    quantizable: ClassVar = {"velocity": True}

    def __init__(self, parameters: Named, train: Train, lr_multipliers: LrMultipliers) -> None:
        matrices = {name: p for name, p in parameters.items() if p.ndim == 2 and role_of(name, p) in (Role.MATRIX, Role.OUTPUT)}
        super().__init__(matrices, train, lr_multipliers)
        self.rest = AdamW({name: p for name, p in parameters.items() if name not in matrices}, train, lr_multipliers)

    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"velocity": zeros_for(weight)}

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | self.rest.state_dict()

    def offload(self) -> None:
        super().offload()
        self.rest.offload()

    def step(self, lr: float) -> None:
        super().step(lr)
        self.rest.step(lr * self.train.adamw_lr_ratio)

    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        velocity, momentum = state["velocity"], self.train.momentum
        torch._foreach_lerp_(velocity, gradients, 1 - momentum)
        lookahead = torch._foreach_lerp(gradients, velocity, momentum)  # Nesterov momentum
        decay_weights(group, lr)
        whole = self.company.whole_shapes(group.names, group.weights)
        batches = list(self._batches(whole))
        shapes = [torch.Size((len(places), *whole[places[0]])) for places in batches]
        stacks = [[lookahead[place] for place in places] for places in batches]
        computed = self.company.of_stacks(stacks, shapes, orthogonalized)
        for (_, outputs, inputs), places, directions in zip(shapes, batches, computed, strict=True):
            # A tall matrix has more outputs than inputs: this keeps the update of each output equally large.
            scaled_lr = lr * max(1.0, outputs / inputs) ** 0.5
            torch._foreach_add_([group.weights[place] for place in places], list(directions.unbind()), alpha=-scaled_lr)

    def _batches(self, shapes: list[torch.Size]) -> Iterator[list[int]]:
        """The places of matrices that are orthogonalized together: few large products instead of many small ones.

        They have the same shape. Those of a shape are a batch for each slot, so that processes can share them: a product
        may round differently in a batch of another size, and so the number of processes must not matter here.
        """
        alike: dict[torch.Size, list[int]] = {}
        for place, shape in enumerate(shapes):
            alike.setdefault(shape, []).append(place)
        for places in alike.values():
            for part in divided(slice(0, len(places)), min(self.train.slots, len(places))):
                yield places[part]


def orthogonalized(matrices: Float[Tensor, "N R C"], iterations: int = 5) -> Float[Tensor, "N R C"]:
    """The nearest matrices with all singular values about 1 (0.7 .. 1.2), by a quintic Newton–Schulz iteration.

    Low precision (autocast) is fine: each iteration corrects the one before.

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
    """AdamW in the eigenbasis of Shampoo's preconditioner.

    The axes of a matrix are the eigenvectors of the moving averages of G Gᵀ (outputs) and Gᵀ G (inputs), recomputed every
    `precondition_frequency` updates. Embedding and head have axes on the feature side only, none for their tokens; vectors
    are updated by plain AdamW. The first gradient only initializes the axes.

    Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, algorithm 3.
    """

    quantizable: ClassVar = {"mean": True, "square": False}
    SIDES = ("outputs", "inputs")

    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        state = {"mean": zeros_for(weight), "square": zeros_for(weight), "steps": torch.zeros((), dtype=torch.float64)}
        if weight.ndim != 2:
            return state
        tokens = role_of(name, weight) in (Role.EMBEDDING, Role.HEAD)
        for side, size in zip(self.SIDES[tokens:], weight.shape[tokens:], strict=True):
            state |= {f"{kind}_of_{side}": weight.new_zeros(size, size) for kind in ("gram", "axes")}
        return {kind: tensor.detach() for kind, tensor in state.items()}

    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        decay_weights(group, lr)
        with torch.autocast(group.weights[0].device.type, enabled=False):  # eigenvectors need full precision
            due: list[tuple[Tensor, Callable[[], Tensor]]] = []
            for place, (weight, gradient) in enumerate(zip(group.weights, gradients, strict=True)):
                own = {kind: tensors[place] for kind, tensors in state.items()}
                self._update_matrix(weight, gradient, own, lr)
                due += self._update_grams(gradient, own)
            turned = self.company.each([axes.shape for axes, _ in due], lambda place: due[place][1]())
            for (axes, _), new in zip(due, turned, strict=True):
                axes.copy_(new)

    def _update_matrix(self, weight: Tensor, gradient: Tensor, state: dict[str, Tensor], lr: float) -> None:
        beta1, beta2, steps = self.train.beta1, self.train.beta2, state["steps"]
        axes = [state.get(f"axes_of_{side}") for side in self.SIDES]
        before = int(steps)
        updates = before if any(side is not None for side in axes) else before + 1  # this one included
        if updates:
            state["mean"].lerp_(gradient, 1 - beta1)
            state["square"].lerp_(to_eigenbasis(gradient, axes).square_(), 1 - beta2)
            sizes = (state["square"] / (1 - beta2**updates)).sqrt_().add_(self.train.epsilon)
            step = to_eigenbasis(state["mean"], axes) / sizes
            weight.add_(from_eigenbasis(step, axes), alpha=-lr / (1 - beta1**updates))
        steps += 1

    def _update_grams(self, gradient: Tensor, state: dict[str, Tensor]) -> Iterator[tuple[Tensor, Callable[[], Tensor]]]:
        """Update the averages of G Gᵀ and Gᵀ G; the axes that are due, each with what computes them anew."""
        before, every = int(state["steps"]) - 1, self.train.precondition_frequency
        for side in self.SIDES:
            if f"gram_of_{side}" not in state:
                continue
            gram, axes = state[f"gram_of_{side}"], state[f"axes_of_{side}"]
            gram.lerp_(gradient @ gradient.mT if side == "outputs" else gradient.mT @ gradient, 1 - self.train.beta2)
            if before in (0, every):  # twice from scratch: where a branch starts at 0, the first gradient is 0
                yield axes, functools.partial(eigenvectors, gram)
            elif before % every == 0:  # one power iteration: the axes have rotated only a little
                yield axes, functools.partial(power_iteration, gram, axes)


def eigenvectors(gram: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """The eigenvectors of a symmetric matrix as columns, the largest eigenvalue first."""
    return torch.linalg.eigh(gram).eigenvectors.flip(1)


def power_iteration(gram: Float[Tensor, "N N"], axes: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """Axes nearer to the eigenvectors than these are."""
    return torch.linalg.qr(gram @ axes).Q


def to_eigenbasis(matrix: Tensor, axes: list[Tensor | None]) -> Tensor:
    """A matrix in the basis of the axes of its outputs and inputs; a side without axes stays as it is."""
    outputs, inputs = axes
    matrix = matrix if outputs is None else outputs.mT @ matrix
    return matrix if inputs is None else matrix @ inputs


def from_eigenbasis(matrix: Tensor, axes: list[Tensor | None]) -> Tensor:
    """The inverse of `to_eigenbasis`."""
    return to_eigenbasis(matrix, [None if side is None else side.mT for side in axes])
