"""A forward pass, taken apart: every intermediate activation by name, with what can be said of its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.engine.runtime.runtime import Runtime
from pipeline.lab.look.logit_lens import Prediction, lens, predictions
from pipeline.lab.look.trace import Call, Trace, trace
from pipeline.networks.transformer import GPT, FeedForward
from pipeline.probes.signal.dead_units import dead
from pipeline.probes.signal.saturation import ends, saturated

ROWS, COLUMNS = 64, 128  # of a picture at most


@dataclass(frozen=True)
class Activation:
    """A tensor of a forward pass.

    Attributes:
        name, kind, within, inputs, parameters, detail: of the part that made it, as in `trace.Call`.
        axes: a letter for each dimension: B examples, T tokens, D width, H heads, d features of one, V vocabulary, …
        mean, rms, low, high: of its numbers (of scores: those that are not masked); rms is the root of the mean square.
        broken: how many of its numbers are none (NaN, or infinite where nothing is masked).
        zeros: share of its numbers that are exactly 0.
        saturated, dead: behind the feed-forward part's activation, as the readings `saturation` and `dead_units` have it, at
            the tokens of the prompt; None elsewhere, and of what cannot saturate.
        by_token: root mean square at each token.
        picture: tokens down and features across (heads side by side), of each patch the number that is largest in size.
    """

    name: str
    kind: str
    within: str
    inputs: tuple[str, ...]
    parameters: int
    detail: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    mean: float
    rms: float
    low: float
    high: float
    broken: int
    zeros: float
    saturated: float | None
    dead: float | None
    by_token: list[float]
    picture: np.ndarray


@dataclass(frozen=True)
class Dissection:
    """What a network makes of some ids, in all its parts.

    Attributes:
        activations: in the order in which they came about, each part before what ran in it.
        maps: attention probabilities [layer, head, query, key].
        lens: what the head would say of the stream, by layer ("embedding", "block 1", …) and position.
        predictions: what the network says at each position.
        normed: whether a norm stands before the head, through which the lens looks as well.
    """

    ids: list[int]
    activations: list[Activation]
    maps: np.ndarray
    lens: dict[str, list[Prediction]]
    predictions: list[Prediction]
    normed: bool
    parameters: int

    @property
    def vocabulary(self) -> int:
        """How many different tokens there are."""
        return self.activations[-1].shape[-1]

    @property
    def loss(self) -> float | None:
        """Mean surprise of the tokens that follow one another, nats; None for a single token."""
        told = [prediction.follows.surprise for prediction in self.predictions if prediction.follows]
        return sum(told) / len(told) if told else None

    def within(self, name: str) -> list[Activation]:
        """What came about within a part ("": the network itself)."""
        return [one for one in self.activations if one.within == name]


def dissect(model: GPT, ids: list[int], runtime: Runtime) -> Dissection:
    """Run a network on some ids, as it is used: no dropout. It stays as it was.

    Args:
        ids: at least one, and at most model.context_length.
    """
    with torch.no_grad(), runtime.autocast():
        return dissected(model, ids, trace(model, torch.tensor([ids], device=runtime.device)))


def dissected(model: GPT, ids: list[int], seen: Trace) -> Dissection:
    """What can be said of a pass of a network over some ids."""
    return Dissection(
        ids=ids,
        activations=[_activation(model, call) for call in seen.calls],
        maps=np.stack([weights[0].float().cpu().numpy() for weights in seen.maps]),
        lens=lens(model, seen.streams, ids),
        predictions=predictions(seen["head"].output[0], ids),
        normed=any(call.name == "final_norm" for call in seen.calls),
        parameters=sum(weight.numel() for weight in model.parameters()),
    )


def _activation(model: GPT, call: Call) -> Activation:
    values = call.output[0].cpu().double()
    masked = torch.isneginf(values) if call.kind == "scores" else torch.zeros_like(values, dtype=torch.bool)
    there = values[torch.isfinite(values)]
    at_an_end, at_rest = _resting(model, call)
    return Activation(
        **{field: getattr(call, field) for field in ("name", "kind", "within", "inputs", "parameters", "detail")},
        axes=_axes(call),
        shape=tuple(call.output.shape),
        dtype=str(call.output.dtype).removeprefix("torch."),
        mean=_number(there.mean()),
        rms=_number(there.square().mean().sqrt()),
        low=_number(there.min()) if len(there) else math.nan,
        high=_number(there.max()) if len(there) else math.nan,
        broken=int((~torch.isfinite(values) & ~masked).sum()),
        zeros=float((values == 0).double().mean()),
        saturated=at_an_end,
        dead=at_rest,
        by_token=_by_token(values),
        picture=_picture(values),
    )


def _number(value: Tensor) -> float:
    return float(value)


def _axes(call: Call) -> str:
    """The letters of a tensor's dimensions."""
    part = call.name.rpartition(".")[2]
    if call.output.ndim == 4:
        return "B H T T" if part in ("scores", "weights") else "B K T d" if part in ("k", "v") else "B H T d"
    return f"B T {_LAST.get(part, 'D')}"


_LAST = {"project": "P", "up": "U", "activation": "F", "head": "V", "probabilities": "V"}


def _tokens_first(values: Tensor) -> Float[Tensor, "T F"]:
    """Heads side by side."""
    return values if values.ndim == 2 else values.transpose(0, 1).flatten(1)


def _by_token(values: Tensor) -> list[float]:
    flat = _tokens_first(values).clone()
    there = torch.isfinite(flat)
    squares = torch.where(there, flat, 0.0).square().sum(dim=1) / there.sum(dim=1).clamp(min=1)
    return [float(size) for size in squares.sqrt()]


def _picture(values: Tensor) -> np.ndarray:
    flat: np.ndarray = _tokens_first(values).numpy()
    flat = np.where(np.isfinite(flat), flat, np.nan)
    for axis, most in ((0, ROWS), (1, COLUMNS)):
        if flat.shape[axis] > most:
            starts = np.linspace(0, flat.shape[axis], most, endpoint=False).astype(np.int64)
            high, low = (pick.reduceat(flat, starts, axis=axis) for pick in (np.fmax, np.fmin))
            flat = np.where(high >= -low, high, low)
    return flat.astype(np.float32)


def _resting(model: GPT, call: Call) -> tuple[float | None, float | None]:
    """(what is saturated, what is dead) behind an activation."""
    owner: Any = model.get_submodule(call.within)
    if not (isinstance(owner, FeedForward) and call.name.endswith(".activation")):
        return None, None
    hidden, saturates = call.output.float().cpu(), len(ends(owner.activation)) > 1
    return saturated(hidden, owner.activation) if saturates else None, dead(hidden, owner.activation)
