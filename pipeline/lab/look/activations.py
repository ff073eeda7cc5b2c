"""Every intermediate activation of a forward pass, by name, with statistics of its values."""

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
        axes: a letter for each dimension: B examples, T tokens, D width, H heads, d features per head, V vocabulary, …
        mean, rms, low, high: of its values (of scores: of the unmasked ones); rms is the root mean square.
        not_finite: how many of its values are NaN, or infinite and not masked.
        zeros: share of its values that are exactly 0.
        saturated, dead: shares after the activation function of the MLP, computed at the tokens of the prompt as the readings
            `saturation` and `dead_units` do; None elsewhere, and for functions that cannot saturate.
        by_token: root mean square at each token.
        picture: tokens down and features across (heads side by side); of each patch the value of largest magnitude.
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
    not_finite: int
    zeros: float
    saturated: float | None
    dead: float | None
    by_token: list[float]
    picture: np.ndarray


@dataclass(frozen=True)
class PassRecord:
    """All activations, attention maps and predictions of a language model on some ids.

    Attributes:
        activations: in the order of execution, each part before the parts inside it.
        maps: attention probabilities [layer, head, query, key].
        lens: predictions of the head from the residual stream, by layer ("embedding", "block 1", …) and position.
        predictions: of the network at each position.
        normed: whether there is a final norm before the head; the lens applies it too.
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
        """The vocabulary size."""
        return self.activations[-1].shape[-1]

    @property
    def loss(self) -> float | None:
        """Mean loss of the prompt's tokens from the second on, nats per token; None for a single token."""
        losses = [prediction.actual.surprise for prediction in self.predictions if prediction.actual]
        return sum(losses) / len(losses) if losses else None

    def within(self, name: str) -> list[Activation]:
        """The activations made inside a part ("": the network itself)."""
        return [one for one in self.activations if one.within == name]


def record_pass(model: GPT, ids: list[int], runtime: Runtime) -> PassRecord:
    """Run a network on some ids, without dropout, and record everything. The network stays as it was.

    Args:
        ids: at least one, and at most model.context_length.
    """
    with torch.no_grad(), runtime.autocast():
        return record_of(model, ids, trace(model, torch.tensor([ids], device=runtime.device)))


def record_of(model: GPT, ids: list[int], trace_: Trace) -> PassRecord:
    """The record of a traced forward pass."""
    return PassRecord(
        ids=ids,
        activations=[_activation(model, call) for call in trace_.calls],
        maps=np.stack([weights[0].float().cpu().numpy() for weights in trace_.maps]),
        lens=lens(model, trace_.streams, ids),
        predictions=predictions(trace_["head"].output[0], ids),
        normed=any(call.name == "final_norm" for call in trace_.calls),
        parameters=sum(weight.numel() for weight in model.parameters()),
    )


def _activation(model: GPT, call: Call) -> Activation:
    values = call.output[0].cpu().double()
    masked = torch.isneginf(values) if call.kind == "scores" else torch.zeros_like(values, dtype=torch.bool)
    finite = values[torch.isfinite(values)]
    is_saturated, is_dead = _saturated_and_dead(model, call)
    return Activation(
        **{field: getattr(call, field) for field in ("name", "kind", "within", "inputs", "parameters", "detail")},
        axes=_axes(call),
        shape=tuple(call.output.shape),
        dtype=str(call.output.dtype).removeprefix("torch."),
        mean=_number(finite.mean()),
        rms=_number(finite.square().mean().sqrt()),
        low=_number(finite.min()) if len(finite) else math.nan,
        high=_number(finite.max()) if len(finite) else math.nan,
        not_finite=int((~torch.isfinite(values) & ~masked).sum()),
        zeros=float((values == 0).double().mean()),
        saturated=is_saturated,
        dead=is_dead,
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
    finite = torch.isfinite(flat)
    squares = torch.where(finite, flat, 0.0).square().sum(dim=1) / finite.sum(dim=1).clamp(min=1)
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


def _saturated_and_dead(model: GPT, call: Call) -> tuple[float | None, float | None]:
    """(share saturated, share dead) after an activation function."""
    owner: Any = model.get_submodule(call.within)
    if not (isinstance(owner, FeedForward) and call.name.endswith(".activation")):
        return None, None
    hidden, saturates = call.output.float().cpu(), len(ends(owner.activation)) > 1
    return saturated(hidden, owner.activation) if saturates else None, dead(hidden, owner.activation)
