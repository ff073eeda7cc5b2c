"""Faults in the network: its mask, attention scale, initial weights, activations and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.lab.faults.base import Training, wrap_method
from pipeline.networks.dropout import DropoutState


def forgets_the_mask(training: Training) -> None:
    """Every position attends to all others."""
    _replace_mask(training, lambda queries, keys, device: torch.ones(queries, keys, dtype=torch.bool, device=device))


def inverts_the_mask(training: Training) -> None:
    """Every position attends to itself and to later ones (`triu` instead of `tril`)."""

    def later(queries: int, keys: int, device: torch.device) -> Tensor:
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        return torch.arange(keys, device=device) >= place

    _replace_mask(training, later)


def _replace_mask(training: Training, visible: Callable[[int, int, torch.device], Tensor]) -> None:
    for attention in training.attentions:
        attention.kernel = "eager"  # the kernel of torch has only the causal mask
        wrap_method(attention, "visible", lambda original: visible)


def multiplies_scores(training: Training) -> None:
    """Scores are multiplied by the square root of the head width instead of divided by it."""
    for attention in training.attentions:
        attention.scale = 1 / attention.scale


def draws_large_weights(training: Training) -> None:
    """All matrices are initialized with ten times the standard deviation."""
    with torch.no_grad():
        for weight in training.network.parameters():
            if weight.ndim >= 2:
                weight.mul_(10)


def kills_units(training: Training) -> None:
    """Nine tenths of the ReLU units get a bias so low that no input activates them."""
    with torch.no_grad():
        for block in training.blocks:
            bias = block.feed_forward.up.bias
            bias[: 9 * len(bias) // 10] = -100.0


def saturates_units(training: Training) -> None:
    """The inputs of the sigmoids are thirty times as large as they should be."""
    with torch.no_grad():
        for block in training.blocks:
            block.feed_forward.up.weight.mul_(30)


def drops_in_use(training: Training) -> None:
    """Dropout stays active in evaluation: model.eval() is missing."""
    calls = [0]

    def wrap(features: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def thinned(ids: Tensor, dropout_state: DropoutState | None = None, cache: Any = None) -> Tensor:
            calls[0] += 1
            return features(ids, dropout_state or DropoutState(0, calls[0], 1.0, slice(None), len(ids)), cache)

        return thinned

    wrap_method(training.network, "features", wrap)
