"""Faults: the ways in which trainings are spoilt, each of which can be put into a training of this process.

Where knobs can do it, knobs do it. The rest are mistakes that people make in code; here they are made in the objects of one
training (its task, network, optimizer, scaler), so that the house itself holds no switch for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.engine.checkpoint import Progress
from pipeline.engine.runtime.runtime import Scaler
from pipeline.networks.attention import Attention
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT, Block
from pipeline.params.load import with_knobs
from pipeline.params.parse import parse
from pipeline.params.schema import Params
from pipeline.tasks.base import IGNORED, Batch, Loss
from pipeline.tasks.lm import LanguageModelling


@dataclass
class Training:
    """A training before its first step, with all that a mistake can be made in."""

    params: Params
    progress: Progress
    task: LanguageModelling

    @property
    def network(self) -> GPT:
        assert isinstance(self.progress.model, GPT)
        return self.progress.model

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self.network.blocks if isinstance(block, Block)]

    @property
    def attentions(self) -> list[Attention]:
        return [module for module in self.network.modules() if isinstance(module, Attention)]


Break = Callable[[Training], None]


def nothing(training: Training) -> None:
    """Knobs alone do it."""


@dataclass(frozen=True)
class Fault:
    """A way to make a healthy training sick.

    Attributes:
        says: what is done.
        cause: the entry of CAUSES that the doctor should name.
        knobs: what is set, by name ("train.lr").
        factors: what is multiplied.
        break_it: what is spoilt in the training, after it was begun with those knobs.
    """

    says: str
    cause: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    break_it: Break = nothing

    def turned(self, params: Params) -> Params:
        """The knobs of a healthy training, turned as the fault wants them."""
        sections = params.model_dump()
        scaled = {}
        for name, factor in self.factors.items():
            section, _, knob = name.partition(".")
            scaled[name] = sections[section][knob] * factor
        return parse(Params, with_knobs(sections, {**self.knobs, **scaled}))


def instead(thing: object, method: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a method of one object, not of its class, by what `wrap` makes of it."""
    setattr(thing, method, wrap(getattr(thing, method)))


# -------------------------------------------------------------------------------------------------------- in the training


def keeps_gradients(training: Training) -> None:
    """Gradients are added to those of all steps before: optimizer.zero_grad() is missing."""
    before: dict[nn.Parameter, Tensor] = {}

    def wrap(unscale: Callable[[nn.Module], bool]) -> Callable[[nn.Module], bool]:
        def unscale_the_sum(model: nn.Module) -> bool:
            for weight in model.parameters():
                if weight.grad is not None:
                    weight.grad += before.get(weight, 0.0)
                    before[weight] = weight.grad.clone()
            return unscale(model)

        return unscale_the_sum

    instead(training.progress.scaler, "unscale", wrap)


def freezes_a_block(training: Training) -> None:
    """The middle block's weights were not given to the optimizer."""
    frozen = list(training.blocks[len(training.blocks) // 2].parameters())

    def wrap(step: Callable[[float], None]) -> Callable[[float], None]:
        def step_without(lr: float) -> None:
            before = [weight.detach().clone() for weight in frozen]
            step(lr)
            with torch.no_grad():
                for weight, kept in zip(frozen, before, strict=True):
                    weight.copy_(kept)

        return step_without

    instead(training.progress.optimizer, "step", wrap)


def averages_means(training: Training) -> None:
    """Examples are of unequal length, and a step takes the mean of the means of its micro-batches.

    In the first quarter of each batch, which is a micro-batch, only the first few targets of an example count.
    """
    short, parts, task = max(training.task.length // 16, 1), training.params.train.accumulation_steps, training.task
    counts = [0]

    def shortened(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def some_targets(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            if split == "train":
                whole.targets[: len(rows) // parts, short:] = IGNORED
                counts[0] = whole.count
            return whole

        return some_targets

    def unweighed(loss: Callable[..., Loss]) -> Callable[..., Loss]:
        def mean_of_means(model: nn.Module, batch: Batch, dropout_state: DropoutState | None = None) -> Loss:
            part = loss(model, batch, dropout_state)
            if dropout_state is None:
                return part
            return Loss(part.total / part.count * counts[0] / parts, part.count, part.correct)  # the loop divides by the count

        return mean_of_means

    instead(task, "batch", shortened)
    instead(task, "loss", unweighed)


class NoScaler(Scaler):
    """No loss scaling: gradients are as small as the mean over a batch makes them, here over one of half a million tokens.

    The batches of a small trial would hide the fault, so that the loss is made smaller before backward, and the gradients are
    made larger by as much after it, when what float16 cannot hold has become 0.
    """

    LARGE = 2**19  # tokens

    def __init__(self, tokens: int) -> None:
        super().__init__(enabled=False)
        self.scale = tokens / self.LARGE

    def unscale(self, model: nn.Module) -> bool:
        torch._foreach_mul_([weight.grad for weight in model.parameters() if weight.grad is not None], 1 / self.scale)
        return True


def drops_the_scaler(training: Training) -> None:
    """float16 gradients are computed of the loss as it is, so that small ones become 0."""
    training.progress.scaler = NoScaler(training.params.train.batch_size * training.task.length)


# -------------------------------------------------------------------------------------------------------------- in the data


def targets_its_inputs(training: Training) -> None:
    """The targets are not shifted: each is the token that stands there already."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def unshifted(*of: Any, **which: Any) -> Batch:
            inputs = batch(*of, **which).inputs
            return Batch(inputs, inputs.clone())

        return unshifted

    instead(training.task, "batch", wrap)


def shuffles_targets(training: Training) -> None:
    """Inputs and targets were shuffled apart: each target is that of some other place of the batch."""

    def wrap(batch: Callable[..., Batch]) -> Callable[..., Batch]:
        def apart(split: str, rows: np.ndarray, length: int | None = None) -> Batch:
            whole = batch(split, rows, length)
            order = np.random.default_rng([len(rows), int(rows[0])]).permutation(whole.targets.numel())
            return Batch(whole.inputs, whole.targets.flatten()[torch.from_numpy(order)].view_as(whole.targets))

        return apart

    instead(training.task, "batch", wrap)


def validates_on_training_text(training: Training) -> None:
    """The validation split is a piece of the training split."""
    held_out = training.task.ids("validation")
    training.task._opened["validation"] = training.task.ids("train")[: len(held_out)]


# ----------------------------------------------------------------------------------------------------------- in the network


def forgets_the_mask(training: Training) -> None:
    """Every position looks at all others."""
    _sees(training, lambda queries, keys, device: torch.ones(queries, keys, dtype=torch.bool, device=device))


def inverts_the_mask(training: Training) -> None:
    """Every position looks at itself and what comes later (`triu` for `tril`)."""

    def later(queries: int, keys: int, device: torch.device) -> Tensor:
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        return torch.arange(keys, device=device) >= place

    _sees(training, later)


def _sees(training: Training, visible: Callable[[int, int, torch.device], Tensor]) -> None:
    for attention in training.attentions:
        attention.kernel = "eager"  # torch's own kernel knows only the causal mask
        instead(attention, "visible", lambda right: visible)


def multiplies_scores(training: Training) -> None:
    """Scores are multiplied by the root of a head's width instead of divided by it."""
    for attention in training.attentions:
        attention.scale = 1 / attention.scale


def draws_large_weights(training: Training) -> None:
    """All matrices are drawn with ten times the standard deviation."""
    with torch.no_grad():
        for weight in training.network.parameters():
            if weight.ndim >= 2:
                weight.mul_(10)


def kills_units(training: Training) -> None:
    """Nine tenths of the ReLUs get a bias that no input overcomes."""
    with torch.no_grad():
        for block in training.blocks:
            bias = block.feed_forward.up.bias
            bias[: 9 * len(bias) // 10] = -100.0


def saturates_units(training: Training) -> None:
    """What enters the sigmoids is thirty times as large as it should be."""
    with torch.no_grad():
        for block in training.blocks:
            block.feed_forward.up.weight.mul_(30)


def drops_in_use(training: Training) -> None:
    """Dropout stays on where the model is only used: model.eval() is missing."""
    calls = [0]

    def wrap(features: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def thinned(ids: Tensor, dropout_state: DropoutState | None = None, cache: Any = None) -> Tensor:
            calls[0] += 1
            return features(ids, dropout_state or DropoutState(0, calls[0], 1.0, slice(None), len(ids)), cache)

        return thinned

    instead(training.network, "features", wrap)


# ---------------------------------------------------------------------------------------------------------------- the table

ADAMW = {"train.optimizer": "adamw", "train.lr": 0.005}  # for faults that only it has

FAULTS: dict[str, Fault] = {
    "rate x30": Fault("the learning rate is thirty times too high", "learning rate too high", factors={"train.lr": 30.0}),
    "rate /100": Fault("the learning rate is a hundred times too low", "learning rate too low", factors={"train.lr": 0.01}),
    "no warm-up": Fault(
        "six post-norm layers, Adam at six times the rate, and no warm-up",
        "no warm-up",
        knobs={
            **ADAMW,
            "train.lr": 0.03,
            "train.warmup_ratio": 0.0,
            "train.schedule": "cosine",
            "model.residual": "post",
            "model.depth": 6,
        },
    ),
    "gradients kept": Fault("gradients are never set to zero", "gradients not zeroed", break_it=keeps_gradients),
    "target is input": Fault("labels are not shifted", "target is the input", break_it=targets_its_inputs),
    "no mask": Fault("the causal mask is missing", "no causal mask", break_it=forgets_the_mask),
    "mask inverted": Fault("the causal mask is upside down", "mask inverted", break_it=inverts_the_mask),
    "scores x width": Fault(
        "scores are multiplied by the root of the width", "attention scale wrong", break_it=multiplies_scores
    ),
    "weights x10": Fault(
        "weights are drawn ten times too large",
        "weights start too large",
        knobs={"model.init": "fan_in"},
        break_it=draws_large_weights,
    ),
    "no residuals": Fault(
        "twelve layers and no residual",
        "no residuals",
        knobs={"model.residual": "none", "model.depth": 12, "model.init": "fan_in"},
    ),
    "frozen block": Fault("the optimizer was not given the middle block", "frozen layer", break_it=freezes_a_block),
    "dead units": Fault(
        "nine tenths of the ReLUs are off",
        "dead units",
        knobs={"model.activation": "relu", "model.bias": True},
        break_it=kills_units,
    ),
    "saturated units": Fault(
        "sigmoids of inputs thirty times too large",
        "saturating activation",
        knobs={"model.activation": "sigmoid"},
        break_it=saturates_units,
    ),
    "dropout in use": Fault(
        "dropout is not switched off in evaluation",
        "dropout left on in use",
        knobs={"model.dropout": 0.2},
        break_it=drops_in_use,
    ),
    "mean of means": Fault(
        "micro-batches of unequal length are averaged as if equal",
        "losses averaged wrongly",
        knobs={"train.accumulation_steps": 4},
        break_it=averages_means,
    ),
    "validation is training": Fault(
        "the validation text is training text", "held-out text is training text", break_it=validates_on_training_text
    ),
    "labels shuffled": Fault("targets belong to other inputs", "labels are shuffled", break_it=shuffles_targets),
    "float16 unscaled": Fault(
        "float16 without a loss scaler",
        "float16 without scaling",
        knobs={"train.precision": "float16", "train.batch_size": 8},
        break_it=drops_the_scaler,
    ),
    "epsilon 1": Fault("Adam's epsilon is 1", "epsilon too large", knobs={**ADAMW, "train.epsilon": 1.0}),
    "decay 10": Fault("a weight decay of 10", "weight decay too strong", knobs={**ADAMW, "train.weight_decay": 10.0}),
}
