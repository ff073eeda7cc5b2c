"""Checks of the network: each of its parts against a plain one, with the part's own inputs; its modes; its initial weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.conformance import plain_network as plain
from pipeline.networks.attention import Attention
from pipeline.networks.dropout import DropoutState
from pipeline.networks.transformer import GPT, AttentionBlock, FeedForward
from pipeline.params.model import Model
from pipeline.params.training import Train

Numbers = dict[str, float]

NO_RESIDUAL = {"residual": "none"}
MOVED = 0.1  # of its size, by which a weight is moved at random, so that every path of the network passes something on
SMALL = 1e-4  # of the whole gradient, below which that of one weight counts as rounding
SAME = 1e-3  # relative difference below which an output is that of a known mistake
CHANCE = 5.0  # standard deviations by which the spread of initial weights may differ from the knob's
SHARPER = (1.0, 0.5)  # powers of the head width by which scores are commonly wrong


def relative(found: Tensor, wanted: Tensor, least: float = 1e-12) -> float:
    """‖found − wanted‖ / ‖wanted‖, by a norm of at least `least`; infinite where it is not a number."""
    if found.shape != wanted.shape:
        return math.inf
    difference = float((found.double() - wanted.double()).norm()) / max(float(wanted.double().norm()), least)
    return difference if math.isfinite(difference) else math.inf


@contextlib.contextmanager
def moved_weights(network: nn.Module) -> Iterator[None]:
    """A block in which all weights are a little off, the same way each time; afterwards they are what they were."""
    kept = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    move(network)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(kept[name])


@torch.no_grad()
def move(network: nn.Module) -> None:
    """Move all weights that are trained a little, so that none is 0 and no gain is 1; small matrices to unit size."""
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        if not weight.requires_grad:
            continue
        size = float(weight.square().mean().sqrt())
        unit = weight.shape[-1] ** -0.5 if weight.ndim > 1 else 1.0
        # What is far below unit size is brought up to it, since attention and activations with small inputs are nearly linear.
        std = MOVED * max(size, unit) if weight.ndim < 2 or size > unit / 2 else unit
        noise = torch.empty(weight.shape).normal_(std=std, generator=generator)
        weight.add_(noise.to(weight))


# ------------------------------------------------------------------------------------------------------------------ parts


def parts(network: nn.Module, inputs: Tensor, model: Model) -> Numbers:
    """The largest relative difference of each kind of part from the plain one, over the layers.

    attention, feed_forward, norm: of the output, given the input that the part had.
    residual: of a block's output given its input, where its parts are right.
    embedding, output: of the first block's input; of the logits given the last features.
    unmasked, inverted, attention_scale, norm_missing, residual_missing, probabilities: where a part that is wrong does what a
        common mistake would do, 1 (for the scale: a power of the head width).
    structure: 1 where a weight that the knobs call for is missing, or one is there that they do not call for.
    """
    with torch.no_grad():
        calls = _recorded(network, inputs, model.residual == "post")
    weights = {name: weight.detach().double().cpu() for name, weight in network.named_parameters()}
    found: Numbers = {"structure": float(("head.weight" in weights) == model.tie_embeddings)}
    try:
        with torch.no_grad():
            for kind, difference in _differences(network, inputs, calls, weights, model):
                found[kind] = max(found.get(kind, 0.0), difference)
    except (KeyError, IndexError):
        found["structure"] = 1.0
    if any(found.get(kind, 0.0) > 1e-3 for kind in ("attention", "feed_forward", "norm")):
        found.pop("residual", None)  # which is then no fault of its own
    return found


def _differences(
    network: nn.Module, inputs: Tensor, calls: dict[str, Any], weights: plain.Weights, model: Model
) -> Iterator[tuple[str, float]]:
    modules = dict(network.named_modules())
    causal = isinstance(network, GPT) or model.causal is True
    for name, (given, out) in calls.items():
        x, module = given[0].double().cpu(), modules[name]
        if isinstance(module, Attention):
            mask = given[3] if len(given) > 3 else None
            wanted = plain.attention(weights, name, x, model, causal=causal, real=mask)
            yield "attention", relative(out, wanted)
            if relative(out, wanted) > SAME:
                yield from _known_mistakes(weights, name, x, out, model, causal, mask)
        elif isinstance(module, FeedForward):
            yield "feed_forward", relative(out, plain.feed_forward(weights, name, x, model))
        elif isinstance(module, AttentionBlock):
            mask = given[4] if len(given) > 4 else None
            layer = int(name.split(".")[1])
            off = relative(out, plain.block(weights, layer, x, model, causal=causal, real=mask))
            yield "residual", off
            if off > SAME and model.residual == "pre":
                without = plain.block(weights, layer, x, model.model_copy(update=NO_RESIDUAL), causal=causal, real=mask)
                yield "residual_missing", float(relative(out, without) < SAME)
        else:
            off = relative(out, plain.norm(weights, name, x, model))
            yield "norm", off
            yield "norm_missing", float(off > SAME and relative(out, x) < SAME)
    if isinstance(network, GPT):
        stream = calls["blocks.0"][0][0]
        yield "embedding", relative(stream, plain.embedded(weights, inputs.cpu(), model))
        features = calls[f"blocks.{model.depth - 1}"][1].double().cpu()
        logits = network(inputs).double().cpu()
        off = relative(logits, plain.output(weights, plain.final(weights, features, model), model))
        yield "output", off
        sums = logits.sum(-1)
        yield "probabilities", float(off > SAME and bool((logits >= 0).all()) and relative(sums, torch.ones_like(sums)) < SAME)


def _known_mistakes(
    weights: plain.Weights, name: str, x: Tensor, out: Tensor, model: Model, causal: bool, mask: Tensor | None
) -> Iterator[tuple[str, float]]:
    """The common mistake that an attention layer's output is exactly that of, if it is one."""

    def is_that_of(**mistake: Any) -> bool:
        given = {"causal": causal, "real": mask, **mistake}
        return relative(out, plain.attention(weights, name, x, model, **given)) < SAME

    for power in SHARPER:
        if is_that_of(sharper=(model.width // model.heads) ** power):
            yield "attention_scale", power
    if causal:
        yield "unmasked", float(is_that_of(causal=False))
        yield "inverted", float(is_that_of(inverted=True))


def _recorded(network: nn.Module, inputs: Tensor, post: bool) -> dict[str, tuple[tuple[Any, ...], Tensor]]:
    """(arguments, output) of each part that is compared, by its name, in one pass in evaluation.

    Args:
        post: blocks end with a norm, so that there is none after the last.
    """
    calls: dict[str, tuple[tuple[Any, ...], Tensor]] = {}
    hooks = []
    for name, module in network.named_modules():
        is_norm = (name == "final_norm" and not post) or (".norms." in name and name.count(".") == 3)
        if isinstance(module, Attention | FeedForward | AttentionBlock) or is_norm:

            def record(module: nn.Module, given: tuple[Any, ...], out: Tensor, name: str = name) -> None:
                calls[name] = (given, out)

            hooks.append(module.register_forward_hook(record))
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


# ------------------------------------------------------------------------------------------------------ whole network


def backward(network: nn.Module, inputs: Tensor, targets: Tensor, model: Model) -> Numbers:
    """The largest relative difference of a weight's gradient from that of the plain network, whose graph is its own.

    forward: the same of the logits.
    """
    weights = {name: weight.detach().double().cpu().requires_grad_() for name, weight in network.named_parameters()}
    wanted = plain.logits(weights, inputs.cpu(), model)
    found = network(inputs)
    numbers = {"forward": relative(found.detach(), wanted.detach())}
    if numbers["forward"] > 1e-2:
        return numbers  # the gradients then differ for the same reason
    names = [name for name, weight in network.named_parameters() if weight.requires_grad]
    own = [weight for weight in network.parameters() if weight.requires_grad]
    picked = targets.clamp(min=0)

    def loss(logits: Tensor) -> Tensor:
        return (logits.logsumexp(-1) - logits.gather(-1, picked[..., None]).squeeze(-1)).mean()

    second = torch.autograd.grad(loss(wanted), [weights[name] for name in names], allow_unused=True, materialize_grads=True)
    first = torch.autograd.grad(loss(found.double()), own, allow_unused=True, materialize_grads=True)
    size = math.sqrt(sum(float(gradient.square().sum()) for gradient in second))
    return numbers | {"backward": max(relative(a, b, SMALL * size) for a, b in zip(first, second, strict=True))}


@torch.no_grad()
def modes(network: nn.Module, inputs: Tensor, model: Model, train: Train, seed: int) -> Numbers:
    """How the network's answer depends on what it should not depend on.

    repeatable: the change of its logits from one pass in evaluation to the next; exactly 0.
    mode: their change in training mode, where nothing is random; exactly 0.
    thinned: 1 where it changes though features are to be dropped, else 0.
    """
    first = network(inputs)
    numbers = {"repeatable": relative(network(inputs), first)}
    at = 0.75 if model.dropout_schedule in ("late", "ramp") else 0.25
    trained = network(inputs, DropoutState(seed, round(at * train.steps), at, slice(0, len(inputs)), len(inputs)))
    if model.norm == "batch":
        return numbers
    if model.dropout or model.stochastic_depth:
        return numbers | {"thinned": float(relative(trained, first) > 1e-6)}
    return numbers | {"mode": relative(trained, first)}


# ------------------------------------------------------------------------------------------------------- initial weights


def initial_spread(network: nn.Module, model: Model) -> Numbers:
    """initial_spread: the largest |ln(spread of a weight / that of the knob model.init)| beyond chance; 0 where all are.

    large: how many times too large the weights are, over those that differ (1: none does).
    """
    worst, large = 0.0, 1.0
    adds_up = model.residual in plain.OUTPUTS_ADD_UP
    for name, weight in network.named_parameters():
        wanted = _spread(name, weight, model, adds_up)
        if wanted is None:
            continue
        found = float(weight.detach().double().square().mean().sqrt())
        if not wanted or not found:
            off = 0.0 if found == wanted else math.inf
        else:
            off = max(abs(math.log(found / wanted)) - CHANCE / math.sqrt(2 * weight.numel()), 0.0)
            large = max(large, found / wanted) if off else large
        worst = max(worst, off)
    return {"initial_spread": min(worst, 99.0), "initial_size": large}


def _spread(name: str, weight: Tensor, model: Model, adds_up: bool) -> float | None:
    """The root mean square that an initial weight should have; None where it has no rule here."""
    last = name.split(".")[-2:]
    if last[-1] == "bias":
        return 0.0
    if name.startswith("mixer."):
        return 0.0
    if last[-1] == "scale" or weight.ndim < 2:
        return 1.0 if "norm" in name and last[-1] == "weight" else None
    narrow = weight.shape[1] ** -0.5
    branch = last[0] in ("output", "down") and adds_up
    embedding = name.split(".")[0] in ("embedding", "position", "pooling")
    head = name.startswith("head.")
    match model.init:
        case "gpt2":
            return 0.02 / math.sqrt(2 * model.depth) if branch else 0.02
        case "zero_output" if branch or head:
            return 0.0
        case "orthogonal" if not embedding:
            return 1.0 / math.sqrt(max(weight.shape))
        case "mup":
            return None
    if embedding:
        return 0.02 if model.tie_embeddings and name == "embedding.weight" else 1.0
    return narrow
