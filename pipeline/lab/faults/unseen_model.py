"""Unseen faults in the network: a convolution padded on both sides, wide tied weights, a temperature in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from torch import Tensor

from pipeline.lab.faults.base import Training, wrap_method
from pipeline.networks.dropout import DropoutState

TEMPERATURE = 0.6


def pads_both_sides(training: Training) -> None:
    """The convolution over embeddings is padded on both sides ("same"): its 3 taps read the token before, itself, and the next.

    The causal one reads the three tokens before; what it adds two positions later is what the padded one adds here.
    """

    def wrap(forward: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def centred(ids: Tensor, x: Tensor) -> Tensor:
            longer = F.pad(x, (0, 0, 0, 2))
            return x + (forward(F.pad(ids, (0, 2)), longer) - longer)[:, 2:]

        return centred

    wrap_method(training.network.mixer, "forward", wrap)


def ties_to_a_wide_embedding(training: Training) -> None:
    """The head is the embedding, which is drawn with a deviation of 1, as torch does; of a head that is far too much."""
    with torch.no_grad():
        training.network.embedding.weight.normal_(generator=torch.Generator().manual_seed(0))


def samples_in_evaluation(training: Training) -> None:
    """Outside of training the network divides its logits by the temperature of sampling, also where its loss is measured."""

    def wrap(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def sharpened(ids: Tensor, dropout_state: DropoutState | None = None, cache: Any = None) -> Tensor:
            logits = forward(ids, dropout_state, cache)
            return logits / TEMPERATURE if dropout_state is None else logits

        return sharpened

    wrap_method(training.network, "forward", wrap)
