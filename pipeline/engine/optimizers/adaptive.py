"""Element-wise optimizers: SGD with momentum, Lion, AdamW, Adam and schedule-free AdamW."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.engine.optimizers.base import Group, GroupedOptimizer, LrMultipliers, Named, decay_weights, zeros_for
from pipeline.params.training import Train


class SGD(GroupedOptimizer):
    """Gradient descent with momentum: v <- momentum * v + g, w <- w - lr * v.

    With `nesterov`, w <- w - lr * (g + momentum * v).

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013.
    """

    update_kind: ClassVar = "gradient"
    quantizable: ClassVar = {"velocity": True}

    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"velocity": zeros_for(weight)}

    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        velocity, momentum = state["velocity"], self.train.momentum
        decay_weights(group, lr)
        torch._foreach_mul_(velocity, momentum)
        torch._foreach_add_(velocity, gradients)
        ahead = torch._foreach_add(gradients, velocity, alpha=momentum) if self.train.nesterov else velocity
        torch._foreach_add_(group.weights, ahead, alpha=-lr)


class Lion(GroupedOptimizer):
    """The sign of an averaged gradient: every weight moves by exactly the learning rate.

    c = beta1 * m + (1 - beta1) * g, w <- w - lr * sign(c), then m <- beta2 * m + (1 - beta2) * g. Found by a search over
    programs. Use about a tenth of the learning rate of AdamW, and ten times the weight decay.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
    """

    quantizable: ClassVar = {"mean": True}

    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"mean": zeros_for(weight)}

    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        decay_weights(group, lr)
        directions = torch._foreach_lerp(state["mean"], gradients, 1 - self.train.beta1)
        torch._foreach_sign_(directions)
        torch._foreach_add_(group.weights, directions, alpha=-lr)
        torch._foreach_lerp_(state["mean"], gradients, 1 - self.train.beta2)


class AdamW(GroupedOptimizer):
    """Mean gradient over root mean square gradient, weight by weight, with decoupled weight decay.

    m and v are moving averages of g and g² (beta1, beta2), both corrected for their start at 0:
    w <- (1 - lr * weight_decay) w - lr * m / (sqrt(v) + epsilon).

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2017.
    """

    quantizable: ClassVar = {"mean": True, "square": False}
    kernel: ClassVar[Any] = staticmethod(torch._fused_adamw_)  # what torch.optim.AdamW(fused=True) calls

    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        steps = torch.zeros((), device=weight.device)
        return {"mean": zeros_for(weight), "square": zeros_for(weight), "steps": steps}

    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        torch._foreach_add_(state["steps"], 1.0)
        self.kernel(  # one call for the whole group
            group.weights,
            gradients,
            state["mean"],
            state["square"],
            [],
            state["steps"],
            lr=lr,
            beta1=self.train.beta1,
            beta2=self.train.beta2,
            weight_decay=group.weight_decay,
            eps=self.train.epsilon,
            amsgrad=False,
            maximize=False,
        )


class Adam(AdamW):
    """AdamW with L2 regularization in place of decoupled weight decay: g + weight_decay * w takes the place of g.

    The decay so enters both averages, and a weight with large gradients is decayed less. Without decay Adam and AdamW are
    the same.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2014.
    """

    kernel: ClassVar[Any] = staticmethod(torch._fused_adam_)


class ScheduleFree(GroupedOptimizer):
    """AdamW with an average of the weights in place of a decaying learning rate: use it with schedule `constant`.

    Gradients are taken at y = (1 - beta1) z + beta1 x, where z is the sequence that follows them and x the average of z,
    which is what evaluation uses. The network holds y while it is trained; x is computed when needed. Each z has in x the
    weight of the squared highest learning rate so far, so that warmup counts little.

    Source: Defazio et al., "The Road Less Scheduled", 2024, and the authors' package schedulefree 1.4.
    """

    quantizable: ClassVar = {"square": False}

    def __init__(self, parameters: Named, train: Train, lr_multipliers: LrMultipliers) -> None:
        super().__init__(parameters, train, lr_multipliers)
        self.scalars = {kind: torch.zeros((), dtype=torch.float64) for kind in ("steps", "highest_lr", "total")}
        self.newest_weight = 0.0

    def init_state(self, name: str, weight: nn.Parameter) -> dict[str, Tensor]:
        return {"z": weight.detach().clone(), "square": zeros_for(weight)}

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | self.scalars

    def step(self, lr: float) -> None:
        steps, highest, total = self.scalars.values()
        steps += 1
        highest.clamp_(min=lr)
        total += highest**2
        self.newest_weight = float(highest**2 / total) if total else 0.0  # the weight of the new z in the average
        super().step(lr)

    def update_group(self, group: Group, gradients: list[Tensor], state: dict[str, list[Tensor]], lr: float) -> None:
        beta1, beta2, square = self.train.beta1, self.train.beta2, state["square"]
        torch._foreach_mul_(square, beta2)
        torch._foreach_addcmul_(square, gradients, gradients, 1 - beta2)
        sizes = torch._foreach_div(square, 1 - beta2 ** float(self.scalars["steps"]))
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, self.train.epsilon)
        moves = torch._foreach_div(gradients, sizes)
        if group.weight_decay:
            torch._foreach_add_(moves, group.weights, alpha=group.weight_decay)
        # The new y, computed from y and z alone: x is not stored.
        torch._foreach_lerp_(group.weights, state["z"], self.newest_weight)
        torch._foreach_add_(group.weights, moves, alpha=lr * (beta1 * (1 - self.newest_weight) - 1))
        torch._foreach_add_(state["z"], moves, alpha=-lr)

    def averaged_weights(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {
                name: torch.lerp(weight, z.read(), 1 - 1 / self.train.beta1)
                for group in self.groups
                for name, weight, z in zip(group.names, group.weights, group.state["z"], strict=True)
            }
