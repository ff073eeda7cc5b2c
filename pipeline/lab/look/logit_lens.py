"""What does a network say, and how does its answer form from layer to layer?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.networks.transformer import GPT

TOP = 10  # tokens that are listed, from the likeliest on


@dataclass(frozen=True)
class Choice:
    """A token as a network judges it.

    Attributes:
        rank: 1 for the likeliest.
        surprise: -ln probability, nats.
    """

    token: int
    probability: float
    logit: float
    rank: int
    surprise: float


@dataclass(frozen=True)
class Prediction:
    """What is said of the token to come.

    Attributes:
        entropy: of the probabilities, nats: 0 is certain, ln V knows nothing.
        top: the likeliest tokens.
        follows: the token that really comes next in the text; None at its end.
    """

    entropy: float
    top: tuple[Choice, ...]
    follows: Choice | None


def predictions(logits: Float[Tensor, "T V"], ids: Sequence[int]) -> list[Prediction]:
    """What some logits say at each position of a text."""
    logits = logits.cpu().double()
    surprise = -logits.log_softmax(dim=-1)
    # A probability of 0 adds nothing, though its surprise is infinite; what is no number stays none.
    parts = torch.where(surprise.isposinf(), 0.0, (-surprise).exp() * surprise)
    order = logits.sort(dim=-1, descending=True, stable=True).indices  # of equals the lower id first, on every machine
    told = torch.tensor([*ids[1:], ids[0]])[:, None]  # the last is a stand-in: nothing follows
    ranks = (order == told.to(order.device)).int().argmax(dim=-1).tolist()

    return [
        Prediction(
            entropy=float(parts[position].sum()),
            top=tuple(
                _choice(logits, surprise, position, token, rank)
                for rank, token in enumerate(order[position, :TOP].tolist(), start=1)
            ),
            follows=_choice(logits, surprise, position, ids[position + 1], ranks[position] + 1)
            if position + 1 < len(ids)
            else None,
        )
        for position in range(len(ids))
    ]


def _choice(logits: Tensor, surprise: Tensor, position: int, token: int, rank: int) -> Choice:
    less = float(surprise[position, token])
    return Choice(token, math.exp(-less), float(logits[position, token]), rank, less)


def lens(model: GPT, streams: Sequence[Float[Tensor, "1 T D"]], ids: Sequence[int]) -> dict[str, list[Prediction]]:
    """What the head would say, through the final norm where there is one, if the stream ended after each layer.

    The last layer's is what the network says itself. Early layers speak another dialect than the head: what shows there is
    what is already decided, and what does not show need not be missing.

    Args:
        streams: what enters the first block, and what leaves each.

    Source: nostalgebraist, "interpreting GPT: the logit lens", 2020.
    """
    after = ["embedding", *(f"block {number}" for number in range(1, len(streams)))]
    return {
        name: predictions(model.logits(model.final_norm(stream))[0], ids) for name, stream in zip(after, streams, strict=True)
    }
