"""Optimizers that go weight by weight: down the gradient, by its sign, or at a pace that its size sets."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.engine.optimizers.base import Group, GroupedOptimizer, LrMultipliers, Named, decay_weights, zeros_for
from pipeline.params.training import Train


class SGD(GroupedOptimizer):
    """Down the gradient, with the momentum of those before.

    With `nesterov` by the gradient and the momentum that it has just changed: where momentum is about to lead.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013.
    """

    update: ClassVar = "gradient"
    coarse: ClassVar = {"velocity": True}

    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"velocity": zeros_for(weight)}

    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        velocity, momentum = memory["velocity"], self.train.momentum
        decay_weights(group, lr)
        torch._foreach_mul_(velocity, momentum)
        torch._foreach_add_(velocity, gradients)
        ahead = torch._foreach_add(gradients, velocity, alpha=momentum) if self.train.nesterov else velocity
        torch._foreach_add_(group.weights, ahead, alpha=-lr)


class Lion(GroupedOptimizer):
    """By the sign of an average of gradients: every weight moves by exactly the learning rate, whatever its slope.

    Found by a search over programs. Wants about a tenth of AdamW's rate, and ten times its decay.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
    """

    coarse: ClassVar = {"mean": True}

    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"mean": zeros_for(weight)}

    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        decay_weights(group, lr)
        directions = torch._foreach_lerp(memory["mean"], gradients, 1 - self.train.beta1)
        torch._foreach_sign_(directions)
        torch._foreach_add_(group.weights, directions, alpha=-lr)
        torch._foreach_lerp_(memory["mean"], gradients, 1 - self.train.beta2)


class AdamW(GroupedOptimizer):
    """Each weight at its own pace: mean gradient over root mean square gradient, with decoupled weight decay.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """

    coarse: ClassVar = {"mean": True, "square": False}
    kernel: ClassVar[Any] = staticmethod(torch._fused_adamw_)  # what torch.optim.AdamW(fused=True) calls

    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        steps = torch.zeros((), device=weight.device)
        return {"mean": zeros_for(weight), "square": zeros_for(weight), "steps": steps}

    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        torch._foreach_add_(memory["steps"], 1.0)
        self.kernel(  # one for the whole group
            group.weights,
            gradients,
            memory["mean"],
            memory["square"],
            [],
            memory["steps"],
            lr=lr,
            beta1=self.train.beta1,
            beta2=self.train.beta2,
            weight_decay=group.decay,
            eps=self.train.epsilon,
            amsgrad=False,
            maximize=False,
        )


class Adam(AdamW):
    """AdamW but for the decay, which is a gradient like any other here: of half of the squared weights, times `weight_decay`.

    So it goes into mean and mean square, and a weight with large gradients is decayed less than its neighbour. Without
    decay the two are one.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2014.
    """

    kernel: ClassVar[Any] = staticmethod(torch._fused_adam_)


class ScheduleFree(GroupedOptimizer):
    """AdamW whose weights are used as their average, which takes the place of a falling rate: wants schedule `constant`.

    Gradients are taken at y, between the sequence z that follows them and its average x: y = (1 - beta1) z + beta1 x. The
    network holds y while it is trained, and x is worked out when it is wanted. A z counts in x by the square of the
    highest learning rate so far, so that warm-up weighs little.

    Source: Defazio et al., "The Road Less Scheduled", 2024, and the authors' package schedulefree 1.4.
    """

    coarse: ClassVar = {"square": False}

    def __init__(self, parameters: Named, train: Train, rates: LrMultipliers) -> None:
        super().__init__(parameters, train, rates)
        self.own = {kind: torch.zeros((), dtype=torch.float64) for kind in ("steps", "highest_lr", "total")}
        self.newest = 0.0

    def remember(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"z": weight.detach().clone(), "square": zeros_for(weight)}

    def state(self) -> dict[str, Tensor]:
        return super().state() | self.own

    def step(self, lr: float) -> None:
        steps, highest, total = self.own.values()
        steps += 1
        highest.clamp_(min=lr)
        total += highest**2
        self.newest = float(highest**2 / total) if total else 0.0  # the share of the average that the new z makes
        super().step(lr)

    def move(self, group: Group, gradients: list[Tensor], memory: dict[str, list[Tensor]], lr: float) -> None:
        beta1, beta2, square = self.train.beta1, self.train.beta2, memory["square"]
        torch._foreach_mul_(square, beta2)
        torch._foreach_addcmul_(square, gradients, gradients, 1 - beta2)
        sizes = torch._foreach_div(square, 1 - beta2 ** float(self.own["steps"]))
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, self.train.epsilon)
        moves = torch._foreach_div(gradients, sizes)
        if group.decay:
            torch._foreach_add_(moves, group.weights, alpha=group.decay)
        # y follows from the new z and x without x being known.
        torch._foreach_lerp_(group.weights, memory["z"], self.newest)
        torch._foreach_add_(group.weights, moves, alpha=lr * (beta1 * (1 - self.newest) - 1))
        torch._foreach_add_(memory["z"], moves, alpha=-lr)

    def used(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {
                name: torch.lerp(weight, kept.read(), 1 - 1 / self.train.beta1)
                for group in self.groups
                for name, weight, kept in zip(group.names, group.weights, group.memory["z"], strict=True)
            }
