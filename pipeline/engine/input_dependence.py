"""What does the class of an example hang on? Asked of a fresh network, by gradients and by what changes it."""

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

MORE = 4  # places of padding that are added
MIDDLE, OTHERS = 1, [0, 2]  # examples of the batch that is looked at


def classifier_dependence(network: nn.Module, weights: dict[str, Tensor], inputs: Tensor, length: int) -> dict[str, float]:
    """present, across_batch, of texts padding_difference, and future where they are read from left to right.

    Args:
        weights: stand-ins for those that are all zero.
        inputs: three examples, as the network is used: a batch norm by its running means.
        length: how long a text may be.
    """
    images = inputs.is_floating_point()
    seen = inputs.clone().requires_grad_() if images else inputs
    with recorded_embeddings(network) as looked_up, _pooling_inputs(network) as features:
        logits = functional_call(network, weights, (seen,))
    read = seen if images else looked_up[0]
    slope = _gradient(logits[MIDDLE], read)
    other = inputs.clone()
    other[OTHERS] = -other[OTHERS] if images else _other_tokens(other[OTHERS], network)
    with torch.no_grad():
        changed = (functional_call(network, weights, (other,)) - logits)[MIDDLE].abs()
    found = {
        "across_batch": float(torch.maximum(slope[OTHERS].abs().max(), changed.max())),
        "present": float(slope[MIDDLE].abs().max()),
        "largest_logit": float(logits.detach().abs().max()),
    }
    if isinstance(network, Classifier):
        found |= _padding_difference(network, weights, inputs, logits, length)
        if network.knobs.causal is True:
            found |= {"future": _future_gradient(features[0], looked_up[0], inputs)}
    return found


def _padding_difference(
    network: Classifier, weights: dict[str, Tensor], ids: Tensor, logits: Tensor, length: int
) -> dict[str, float]:
    """How far classes change when texts are filled up further; nothing where there is no room for that."""
    more = min(MORE, length - ids.shape[1])
    if more < 1:
        return {}
    with torch.no_grad():
        wider = functional_call(network, weights, (F.pad(ids, (0, more), value=PADDING),))
    return {"padding_difference": float((wider - logits.detach()).abs().max())}


def _future_gradient(features: Tensor, read: Tensor, ids: Tensor) -> float:
    """The largest |gradient| of what stands in the middle of the middle text, before the pooling, to a later token."""
    own = features.shape[1] - read.shape[1]  # a place of the pooling's own stands before all others
    middle = (int((ids[MIDDLE] != PADDING).sum()) - 1) // 2
    later = _gradient(features[MIDDLE, own + middle], read)[MIDDLE, middle + 1 :]
    return float(later.abs().max()) if later.numel() else 0.0


def _gradient(outputs: Tensor, inputs: Tensor) -> Tensor:
    found = torch.autograd.grad(outputs.square().sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True)
    return found[0]


def _other_tokens(ids: Tensor, network: nn.Module) -> Tensor:
    """Other tokens; what is padding stays."""
    assert isinstance(network, Classifier)
    return torch.where(ids == PADDING, ids, (ids + 1) % network.embedding.num_embeddings)


@contextmanager
def recorded_embeddings(network: nn.Module) -> Iterator[list[Tensor]]:
    """The embeddings that a network looks up meanwhile, to be differentiated by; none of images."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    hook = network.embedding.register_forward_hook(keep) if isinstance(network, GPT | Classifier) else None
    try:
        yield seen
    finally:
        if hook:
            hook.remove()


@contextmanager
def _pooling_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """What the pooling reads meanwhile."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(given[0])

    hook = network.pooling.register_forward_pre_hook(keep) if isinstance(network, Classifier) else None
    try:
        yield seen
    finally:
        if hook:
            hook.remove()
