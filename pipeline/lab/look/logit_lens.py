"""Next-token predictions at each position, and after each layer by the logit lens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.networks.transformer import GPT

TOP = 10  # tokens listed, the most probable first


@dataclass(frozen=True)
class TokenScore:
    """A token as a prediction of the network scores it.

    Attributes:
        rank: 1 for the most probable.
        surprise: -ln probability, nats.
    """

    token: int
    probability: float
    logit: float
    rank: int
    surprise: float


@dataclass(frozen=True)
class Prediction:
    """A prediction of the next token.

    Attributes:
        entropy: of the probabilities, nats: 0 is certain, ln V is uniform guessing.
        top: the most probable tokens.
        actual: the next token of the text; None at its end.
    """

    entropy: float
    top: tuple[TokenScore, ...]
    actual: TokenScore | None


def predictions(logits: Float[Tensor, "T V"], ids: Sequence[int]) -> list[Prediction]:
    """The predictions of logits at each position of a text."""
    logits = logits.cpu().double()
    surprise = -logits.log_softmax(dim=-1)
    # A probability of 0 adds nothing, though its surprise is infinite; NaN stays NaN.
    parts = torch.where(surprise.isposinf(), 0.0, (-surprise).exp() * surprise)
    order = logits.sort(dim=-1, descending=True, stable=True).indices  # the lower id first among equals, on every machine
    following = torch.tensor([*ids[1:], ids[0]])[:, None]  # the last is a placeholder: no token follows
    ranks = (order == following.to(order.device)).int().argmax(dim=-1).tolist()

    return [
        Prediction(
            entropy=float(parts[position].sum()),
            top=tuple(
                _score(logits, surprise, position, token, rank)
                for rank, token in enumerate(order[position, :TOP].tolist(), start=1)
            ),
            actual=_score(logits, surprise, position, ids[position + 1], ranks[position] + 1)
            if position + 1 < len(ids)
            else None,
        )
        for position in range(len(ids))
    ]


def _score(logits: Tensor, surprise: Tensor, position: int, token: int, rank: int) -> TokenScore:
    less = float(surprise[position, token])
    return TokenScore(token, math.exp(-less), float(logits[position, token]), rank, less)


def lens(model: GPT, streams: Sequence[Float[Tensor, "1 T D"]], ids: Sequence[int]) -> dict[str, list[Prediction]]:
    """The predictions of the head (after the final norm, if there is one) from the residual stream after each layer.

    Those of the last layer are the network's own. Early layers use other directions than the head reads: a token that shows is
    already decided, but one that does not show need not be missing.

    Args:
        streams: the input of the first block, and the output of each.

    Source: nostalgebraist, "interpreting GPT: the logit lens", 2020.
    """
    after = ["embedding", *(f"block {number}" for number in range(1, len(streams)))]
    return {
        name: predictions(model.logits(model.final_norm(stream))[0], ids) for name, stream in zip(after, streams, strict=True)
    }
