"""Is the network sound before it learns? Numbers of its very start that bugs of certain kinds turn, in well under a second.

They are taken of the fresh network in float32, whatever precision the run has, and leave it, its gradients and all generators
as they were. A network that is not sound is trained all the same: what comes of it is an outcome, and somebody may want it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.artifacts.writing import rounded
from pipeline.engine.block_execution import unmodified_blocks
from pipeline.engine.input_dependence import classifier_dependence, recorded_embeddings
from pipeline.networks.transformer import GPT
from pipeline.tasks.base import Batch, Task
from pipeline.tasks.classify import Classification
from pipeline.tasks.vision import Vision

COST = 1e10  # floating-point operations that the loss at the start may take: a tenth of a second on one core
EXAMPLES = 256  # with a class each, that are enough for it
TOKENS = 1024  # that are enough for it: its error is the logits' deviation (about .2) over their root
LONGEST = 64  # tokens of a sequence that it is measured on
SEQUENCES, LENGTH = 3, 8  # of the batch on which gradients and the cache are looked at

TOO_FAR = 1.0  # nats above uniform that the spread of the logits may cost; every init of ours begins well within that
UNEXPLAINED = 0.3  # nats between the loss and what the spread of its logits accounts for: broken (healthy: below .03)
CHANCE = 4.0  # standard deviations of chance that are allowed beside that
ROUNDING = 1e-4  # relative to the largest logit: what float32 may differ by when it adds up in another order


def numbers_at_start(network: nn.Module, task: Task, *, drawn: bool = True) -> dict[str, float]:
    """What can be said of a network before its first step. A number that is not finite, or that a network has not, is left out.

    loss: nats a target, on a batch of the training split.
    uniform: ln V, the loss of whoever knows nothing.
    logit_variance: of the logits of a prediction, over the vocabulary; the mean over predictions.
    start_excess: loss - ln V - logit_variance / 2, which is 0 but for chance where logits are drawn at random; healthy below
        .03, broken above .3 in size, beyond chance. Left out where the weights were given.
    start_chance: what chance makes of that, a standard deviation: sqrt(logit_variance / different targets of the batch); of
        classes sqrt(logit_variance · Σ shares²), which is that where all are as frequent, and more where one prevails.
    future: the largest |gradient| of a prediction to a later input, or its change when later inputs are others; exactly 0.
    across_batch: the same between the examples of a batch; exactly 0.
    present: the same of what it may read, above 0: else the two zeros before would say nothing.
    largest_logit, cache_difference: the largest |logit|, and the largest |difference| between those of the whole context at
        once and those with a cache, piece by piece; below 1e-4 of the largest logit.
    padding_difference: of texts with classes: how far logits change when the texts are filled up further; the same bound.

    Of what tells classes, `future` is there where it is read from left to right alone (`model.causal`), and `across_batch`
    is that of the network in use: while training, `model.norm: batch` mixes the examples of a batch by design.

    All from `future` on are taken with random numbers in place of weights that are all zero, behind which nothing could be
    seen.

    Source: Karpathy, "A Recipe for Training Neural Networks", 2019 (verify the loss at the start; use backprop to chart
    dependencies).

    Args:
        drawn: the weights were drawn, not given.
    """
    with unmodified_blocks(network):
        numbers = _loss_at_start(network, task)
        if not drawn:
            del numbers["start_excess"], numbers["start_chance"]
        if isinstance(network, GPT) or is_classification(task):
            inputs = _examples(network, task, SEQUENCES, min(task.length, LENGTH)).inputs
            weights = _stand_ins(network)
            if isinstance(network, GPT):
                numbers |= _dependencies(network, weights, inputs) | _cache_difference(network, weights, inputs)
            else:
                numbers |= classifier_dependence(network, weights, inputs, task.length)
    return {name: rounded(number) for name, number in numbers.items() if math.isfinite(number)}


@torch.no_grad()
def _loss_at_start(network: nn.Module, task: Task) -> dict[str, float]:
    weights = sum(weight.numel() for weight in network.parameters())
    length, most = min(task.length, LONGEST), COST / (2 * weights)
    count = min(EXAMPLES, most / task.length) if is_classification(task) else min(TOKENS, most) // length
    batch = _examples(network, task, max(1, int(count)), length)
    loss = float(task.loss(network, batch).total) / batch.count
    logits = network(batch.inputs[: -(-len(batch.inputs) // 4)]).float()  # it hardly differs from token to token
    uniform, variance = math.log(logits.shape[-1]), float(logits.var(dim=-1, correction=0).mean())
    found = {"loss": loss, "uniform": uniform, "logit_variance": variance, "start_excess": loss - uniform - variance / 2}
    return found | {"start_chance": math.sqrt(variance * _collision_probability(batch.targets, task))}


def _collision_probability(targets: Int[Tensor, "*N"], task: Task) -> float:
    """How likely it is that two targets are the same, where each of a vocabulary counts as often as the others."""
    _, counts = targets.unique(return_counts=True)
    if not is_classification(task):
        return 1 / len(counts)
    shares = counts / counts.sum()
    return float(shares.square().sum())


def is_classification(task: Task) -> bool:
    """Whether a target is the class of a whole example."""
    return isinstance(task, Classification | Vision)


def _examples(network: nn.Module, task: Task, count: int, length: int) -> Batch:
    """Examples spread evenly over the training split, where the network is."""
    size = task.size("train")
    batch = task.batch("train", np.arange(count) * size // count, length)
    return batch.to(next(network.parameters()).device)


# ------------------------------------------------------------------------------------------------------- what hangs on what


def _dependencies(network: GPT, weights: dict[str, Tensor], ids: Int[Tensor, "B T"]) -> dict[str, float]:
    """Which inputs the prediction in the middle of the middle example hangs on: by its gradient, and by what changes it."""
    middle = (ids.shape[1] - 1) // 2
    with recorded_embeddings(network) as inputs:
        logits = functional_call(network, weights, (ids,))
    [slope] = torch.autograd.grad(logits[1, middle].square().sum(), inputs, allow_unused=True, materialize_grads=True)
    future, beside = slope[1, middle + 1 :].abs(), slope[[0, 2]].abs()
    other = ids.clone()
    other[1, middle + 1 :] = (other[1, middle + 1 :] + 1) % logits.shape[-1]
    with torch.no_grad():
        changed = (functional_call(network, weights, (other,)) - logits).abs()
    return {
        "future": float(torch.maximum(future.max(), changed[1, : middle + 1].max())),
        "across_batch": float(torch.maximum(beside.max(), changed[[0, 2]].max())),
        "present": float(slope[1, : middle + 1].abs().max()),
    }


def _stand_ins(network: nn.Module) -> dict[str, Tensor]:
    """Weights to take for those that are all zero, so that every path carries something."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.empty(weight.shape).normal_(std=weight.shape[-1] ** -0.5, generator=generator).to(weight.device)
        for name, weight in network.named_parameters()
        if not weight.any()
    }


# -------------------------------------------------------------------------------------------------------------- the cache


@torch.no_grad()
def _cache_difference(network: GPT, weights: dict[str, Tensor], ids: Int[Tensor, "B T"]) -> dict[str, float]:
    """The whole context at once, and the same in pieces: half of it, one token as when text is written, the rest."""
    full = functional_call(network, weights, (ids,))
    cache, half = network.new_cache(len(ids)), ids.shape[1] // 2
    pieces = [piece for piece in ids.tensor_split((half, half + 1), dim=1) if piece.shape[1]]
    logits = [functional_call(network, weights, (piece,), {"cache": cache}) for piece in pieces]
    difference = float((torch.cat(logits, dim=1) - full).abs().max())
    return {"cache_difference": difference, "largest_logit": float(full.abs().max())}


# ---------------------------------------------------------------------------------------------------------------- in words


def formatted(numbers: Mapping[str, float]) -> list[str]:
    """One line for a sound network, or one for each problem."""
    found = problems(numbers)
    if found:
        return [f"not sound: {problem}" for problem in found]
    parts = [f"loss at the start {numbers['loss']:.3f} (uniform {numbers['uniform']:.3f})"]
    parts += ["causal"] if "future" in numbers else []
    parts += ["no leak over the batch"] if "across_batch" in numbers else []
    parts += ["padding changes nothing"] if "padding_difference" in numbers else []
    parts += ["cached decoding equals the full forward"] if "cache_difference" in numbers else []
    return [f"sound: {', '.join(parts)}"]


def problems(numbers: Mapping[str, float]) -> list[str]:
    """What is wrong with a network, each in a sentence that says where to look."""
    if "loss" not in numbers:
        return ["the loss at the start is not a number; look at model.init, and for a norm that divides by nothing"]
    return [*_loss_problems(numbers), *_dependence_problems(numbers)]


def _loss_problems(numbers: Mapping[str, float]) -> Iterator[str]:
    if "start_excess" not in numbers:
        return
    excess, chance, variance = numbers["start_excess"], CHANCE * numbers["start_chance"], numbers["logit_variance"]
    start = f"loss at the start {numbers['loss']:.3f}, uniform {numbers['uniform']:.3f}"
    if variance / 2 > TOO_FAR:
        yield f"{start}: the logits are too large (variance {variance:.3g}); look at model.init and at the last norm"
    elif excess > UNEXPLAINED + chance:
        yield f"{start}: more than the spread of the logits (variance {variance:.3g}) accounts for; look at the targets"
    elif excess < -UNEXPLAINED - chance:
        yield f"{start}: it knows before it has learned; look whether a target is among its own inputs"


def _dependence_problems(numbers: Mapping[str, float]) -> Iterator[str]:
    future, beside, difference = (numbers.get(name, 0.0) for name in ("future", "across_batch", "cache_difference"))
    if future > 0:
        yield f"a prediction hangs on later inputs ({future:.2g}); look at the causal mask"
    if beside > 0:
        yield f"an example hangs on others of its batch ({beside:.2g}); look for what mixes the batch axis"
    if numbers.get("present") == 0:
        yield "a prediction hangs on nothing that it reads; look for a layer that passes nothing on"
    padding = numbers.get("padding_difference", 0.0)
    if padding > ROUNDING * max(1.0, numbers.get("largest_logit", 0.0)):
        yield f"padding changes what is said of a text by {padding:.2g}; look at the padding mask, and at the pooling"
    if difference > ROUNDING * max(1.0, numbers.get("largest_logit", 0.0)):
        yield f"decoding with a cache differs from the full forward by {difference:.2g}; look at the cache, and at positions"
