"""Sanity checks of a network before its first step: numbers that common bugs change, measured in well under a second.

They are measured in float32, whatever the precision of the run, and leave the network, its gradients and all generators
as they were. A network that fails them is trained all the same: its result may be what the experiment is about.
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

COST = 1e10  # floating-point operations for the initial loss at most: a tenth of a second on one core
EXAMPLES = 256  # of classification, that suffice for the initial loss
TOKENS = 1024  # that suffice for it: its error is the standard deviation of the logits (about 0.2) / sqrt(TOKENS)
LONGEST = 64  # tokens of a sequence for it
SEQUENCES, LENGTH = 3, 8  # of the batch for gradients and the cache

TOO_FAR = 1.0  # nats above uniform that the spread of the logits may cost; all of our inits stay well below
UNEXPLAINED = 0.3  # nats between the loss and what the spread of the logits explains: broken (healthy: below 0.03)
CHANCE = 4.0  # standard deviations of chance that are allowed on top
ROUNDING = 1e-4  # relative to the largest logit: by which float32 results may differ when summed in another order


def numbers_at_start(network: nn.Module, task: Task, *, drawn: bool = True) -> dict[str, float]:
    """The numbers of a network before its first step, without those that are not finite or do not apply to it.

    loss: nats per target, on a batch of the training split.
    uniform: ln V, the loss of uniform guessing.
    logit_variance: of the logits of a prediction, over the vocabulary; the mean over predictions.
    start_excess: loss - ln V - logit_variance / 2, which for random logits is 0 up to chance. Healthy: magnitude below 0.03;
        broken: above 0.3, beyond chance. Left out for pretrained weights.
    start_chance: its standard deviation by chance: sqrt(logit_variance / distinct targets of the batch); for classes
        sqrt(logit_variance · Σ shares²), which is the same if all are equally frequent, and larger if one dominates.
    future: the largest |gradient| of a prediction by a later input, or its change when later inputs change; exactly 0.
    across_batch: the same by other examples of the batch; exactly 0.
    present: the same by inputs that it may read, above 0: otherwise the two zeros would mean nothing.
    largest_logit, cache_difference: the largest |logit|, and the largest |difference| between logits of the whole context at
        once and logits with a KV cache in pieces; below 1e-4 of the largest logit.
    padding_difference: of text classifiers, the change of logits when the texts get more padding; the same bound.

    A classifier has `future` only if it is causal (`model.causal`), and its `across_batch` is measured in evaluation mode:
    while training, `model.norm: batch` mixes the examples of a batch by design.

    From `future` on, random numbers replace weights that are all zero, since these would hide every dependence.

    Source: Karpathy, "A Recipe for Training Neural Networks", 2019 (verify the loss at the start; use backprop to chart
    dependencies).

    Args:
        drawn: the weights were drawn at random, not loaded.
    """
    with unmodified_blocks(network):
        numbers = _loss_at_start(network, task)
        if not drawn:
            del numbers["start_excess"], numbers["start_chance"]
        if isinstance(network, GPT) or is_classification(task):
            inputs = _examples(network, task, SEQUENCES, min(task.length, LENGTH)).inputs
            weights = _replacements(network)
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
    quarter = batch.inputs[: -(-len(batch.inputs) // 4)]  # which suffices: the variance hardly differs between tokens
    logits = network(quarter).float()
    uniform, variance = math.log(logits.shape[-1]), float(logits.var(dim=-1, correction=0).mean())
    found = {"loss": loss, "uniform": uniform, "logit_variance": variance, "start_excess": loss - uniform - variance / 2}
    return found | {"start_chance": math.sqrt(variance * _collision_probability(batch.targets, task))}


def _collision_probability(targets: Int[Tensor, "*N"], task: Task) -> float:
    """The probability that two targets are equal; of tokens, as if all that occur were equally frequent."""
    _, counts = targets.unique(return_counts=True)
    if not is_classification(task):
        return 1 / len(counts)
    shares = counts / counts.sum()
    return float(shares.square().sum())


def is_classification(task: Task) -> bool:
    """Whether a target is the class of a whole example."""
    return isinstance(task, Classification | Vision)


def _examples(network: nn.Module, task: Task, count: int, length: int) -> Batch:
    """Examples spread evenly over the training split, on the device of the network."""
    size = task.size("train")
    batch = task.batch("train", np.arange(count) * size // count, length)
    return batch.to(next(network.parameters()).device)


# ------------------------------------------------------------------------------------------------------- input dependence


def _dependencies(network: GPT, weights: dict[str, Tensor], ids: Int[Tensor, "B T"]) -> dict[str, float]:
    """The inputs that the prediction in the middle of the middle example depends on: by gradient, and by changed inputs."""
    middle = (ids.shape[1] - 1) // 2
    with recorded_embeddings(network) as inputs:
        logits = functional_call(network, weights, (ids,))
    [gradient] = torch.autograd.grad(logits[1, middle].square().sum(), inputs, allow_unused=True, materialize_grads=True)
    future, across = gradient[1, middle + 1 :].abs(), gradient[[0, 2]].abs()
    other = ids.clone()
    other[1, middle + 1 :] = (other[1, middle + 1 :] + 1) % logits.shape[-1]
    with torch.no_grad():
        changed = (functional_call(network, weights, (other,)) - logits).abs()
    return {
        "future": float(torch.maximum(future.max(), changed[1, : middle + 1].max())),
        "across_batch": float(torch.maximum(across.max(), changed[[0, 2]].max())),
        "present": float(gradient[1, : middle + 1].abs().max()),
    }


def _replacements(network: nn.Module) -> dict[str, Tensor]:
    """Random weights in place of those that are all zero, so that every path passes a signal on."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.empty(weight.shape).normal_(std=weight.shape[-1] ** -0.5, generator=generator).to(weight.device)
        for name, weight in network.named_parameters()
        if not weight.any()
    }


# -------------------------------------------------------------------------------------------------------------- the cache


@torch.no_grad()
def _cache_difference(network: GPT, weights: dict[str, Tensor], ids: Int[Tensor, "B T"]) -> dict[str, float]:
    """The whole context at once, and in pieces with a cache: half of it, one token as in generation, the rest."""
    full = functional_call(network, weights, (ids,))
    cache, half = network.new_cache(len(ids)), ids.shape[1] // 2
    pieces = [piece for piece in ids.tensor_split((half, half + 1), dim=1) if piece.shape[1]]
    logits = [functional_call(network, weights, (piece,), {"cache": cache}) for piece in pieces]
    difference = float((torch.cat(logits, dim=1) - full).abs().max())
    return {"cache_difference": difference, "largest_logit": float(full.abs().max())}


# ---------------------------------------------------------------------------------------------------------------- in words


def formatted(numbers: Mapping[str, float]) -> list[str]:
    """One line for a network without problems, or one for each problem."""
    found = problems(numbers)
    if found:
        return [f"not sound: {problem}" for problem in found]
    parts = [f"loss at the start {numbers['loss']:.3f} (uniform {numbers['uniform']:.3f})"]
    parts += ["causal"] if "future" in numbers else []
    parts += ["no leak over the batch"] if "across_batch" in numbers else []
    parts += ["padding changes nothing"] if "padding_difference" in numbers else []
    parts += ["cached decoding equals the full forward pass"] if "cache_difference" in numbers else []
    return [f"sound: {', '.join(parts)}"]


def problems(numbers: Mapping[str, float]) -> list[str]:
    """The problems of a network, each in a sentence that says where to look."""
    if "loss" not in numbers:
        return ["the loss at the start is not a number; look at model.init, and for a norm that divides by zero"]
    return [*_loss_problems(numbers), *_dependence_problems(numbers)]


def _loss_problems(numbers: Mapping[str, float]) -> Iterator[str]:
    if "start_excess" not in numbers:
        return
    excess, chance, variance = numbers["start_excess"], CHANCE * numbers["start_chance"], numbers["logit_variance"]
    start = f"loss at the start {numbers['loss']:.3f}, uniform {numbers['uniform']:.3f}"
    if variance / 2 > TOO_FAR:
        yield f"{start}: the logits are too large (variance {variance:.3g}); look at model.init and at the last norm"
    elif excess > UNEXPLAINED + chance:
        yield f"{start}: more than the spread of the logits (variance {variance:.3g}) explains; look at the targets"
    elif excess < -UNEXPLAINED - chance:
        yield f"{start}: better than uniform before training; check whether targets are among the inputs"


def _dependence_problems(numbers: Mapping[str, float]) -> Iterator[str]:
    future, across, difference = (numbers.get(name, 0.0) for name in ("future", "across_batch", "cache_difference"))
    if future > 0:
        yield f"a prediction depends on later inputs ({future:.2g}); look at the causal mask"
    if across > 0:
        yield f"an example depends on others of its batch ({across:.2g}); look for an operation over the batch axis"
    if numbers.get("present") == 0:
        yield "a prediction does not depend on its inputs; look for a layer whose output is constant"
    padding = numbers.get("padding_difference", 0.0)
    if padding > ROUNDING * max(1.0, numbers.get("largest_logit", 0.0)):
        yield f"padding changes the logits of a text by {padding:.2g}; look at the padding mask and at pooling"
    if difference > ROUNDING * max(1.0, numbers.get("largest_logit", 0.0)):
        yield f"cached decoding differs from the full forward pass by {difference:.2g}; look at the cache and at positions"
