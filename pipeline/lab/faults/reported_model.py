"""Faults in the network: a stream cut off from its gradient, a second softmax, heads without a transpose.

Three of the ten faults of the frozen test of 2026-12-01; see reported_data.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pipeline.lab.faults.base import Training, wrap_method


def detaches_the_stream(training: Training) -> None:
    """The input of the last block is detached: nothing before it has a gradient."""

    def cut(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return inputs[0].detach(), *inputs[1:]

    training.blocks[-1].register_forward_pre_hook(cut)


def normalizes_outputs_twice(training: Training) -> None:
    """The network ends in a softmax, and the loss takes its probabilities for logits."""

    def wrap(logits: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda features: logits(features).softmax(dim=-1)

    wrap_method(training.network, "logits", wrap)


def views_heads_as_positions(training: Training) -> None:
    """Queries, keys and values are split into heads by `view(B, H, T, d)`, without the transpose that belongs to it.

    A head then holds all features of T / H neighbouring tokens, and a later head those of later tokens.
    """

    def wrap(project: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
        def viewed(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
            return tuple(part.transpose(1, 2).contiguous().view(part.shape) for part in project(*args, **kwargs))

        return viewed

    for attention in training.attentions:
        wrap_method(attention, "_queries_keys_values", wrap)
