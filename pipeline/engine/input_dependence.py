"""Input-dependence checks of a classifier, by gradients and by changed inputs.

The class of an example should depend on every part of that example, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.networks.classifier import PADDING, Classifier
from pipeline.networks.transformer import GPT

EXTRA_PADDING = 4  # positions of padding that are added
MIDDLE, OTHERS = 1, [0, 2]  # examples of the batch: the one that is checked, and the others


def classifier_dependence(network: nn.Module, weights: dict[str, Tensor], inputs: Tensor, length: int) -> dict[str, float]:
    """The numbers `present`, `across_batch`, for texts `padding_difference`, and `future` if the network is causal.

    Their meaning: engine/sanity.py. The network runs in evaluation mode: batch norm uses its running statistics.

    Args:
        weights: replacements for parameters that are all zero.
        inputs: three examples.
        length: the longest text that the network reads, tokens.
    """
    images = inputs.is_floating_point()
    differentiable = inputs.clone().requires_grad_() if images else inputs
    with recorded_embeddings(network) as embeddings, _pooling_inputs(network) as features:
        logits = functional_call(network, weights, (differentiable,))
    read = differentiable if images else embeddings[0]
    gradient = _gradient(logits[MIDDLE], read)
    other = inputs.clone()
    other[OTHERS] = -other[OTHERS] if images else _other_tokens(other[OTHERS], network)
    with torch.no_grad():
        changed = (functional_call(network, weights, (other,)) - logits)[MIDDLE].abs()
    found = {
        "across_batch": float(torch.maximum(gradient[OTHERS].abs().max(), changed.max())),
        "present": float(gradient[MIDDLE].abs().max()),
        "largest_logit": float(logits.detach().abs().max()),
    }
    if isinstance(network, Classifier):
        found |= _padding_difference(network, weights, inputs, logits, length)
        if network.knobs.causal is True:
            found |= {"future": _future_gradient(features[0], embeddings[0], inputs)}
    return found


def _padding_difference(
    network: Classifier, weights: dict[str, Tensor], ids: Tensor, logits: Tensor, length: int
) -> dict[str, float]:
    """How much logits change when texts get more padding; nothing if the context has no room for it."""
    extra = min(EXTRA_PADDING, length - ids.shape[1])
    if extra < 1:
        return {}
    with torch.no_grad():
        wider = functional_call(network, weights, (F.pad(ids, (0, extra), value=PADDING),))
    return {"padding_difference": float((wider - logits.detach()).abs().max())}


def _future_gradient(features: Tensor, read: Tensor, ids: Tensor) -> float:
    """The largest |gradient| of the features at the middle of the middle text, before pooling, by a later token."""
    own = features.shape[1] - read.shape[1]  # positions that pooling puts before the text (`first`)
    middle = (int((ids[MIDDLE] != PADDING).sum()) - 1) // 2
    later = _gradient(features[MIDDLE, own + middle], read)[MIDDLE, middle + 1 :]
    return float(later.abs().max()) if later.numel() else 0.0


def _gradient(outputs: Tensor, inputs: Tensor) -> Tensor:
    found = torch.autograd.grad(outputs.square().sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True)
    return found[0]


def _other_tokens(ids: Tensor, network: nn.Module) -> Tensor:
    """Different tokens; padding stays padding."""
    assert isinstance(network, Classifier)
    return torch.where(ids == PADDING, ids, (ids + 1) % network.embedding.num_embeddings)


@contextmanager
def recorded_embeddings(network: nn.Module) -> Iterator[list[Tensor]]:
    """Records the embeddings that a network looks up in this context, as leaves for gradients; none for images."""
    recorded: list[Tensor] = []

    def record(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        recorded.append(output.detach().requires_grad_())
        return recorded[-1]

    hook = network.embedding.register_forward_hook(record) if isinstance(network, GPT | Classifier) else None
    try:
        yield recorded
    finally:
        if hook:
            hook.remove()


@contextmanager
def _pooling_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """Records the features that pooling reads in this context."""
    recorded: list[Tensor] = []

    def record(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        recorded.append(arguments[0])

    hook = network.pooling.register_forward_pre_hook(record) if isinstance(network, Classifier) else None
    try:
        yield recorded
    finally:
        if hook:
            hook.remove()
