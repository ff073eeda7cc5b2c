"""The networks of texts a second time: plain functions of weights by name, in float64, written to be read.

Nothing here is shared with pipeline/networks, so that a mistake there is not made here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pipeline.params.model import Model

Weights = Mapping[str, Tensor]
NORM_EPSILON = 1e-5
KNOWN_MIXERS = ("none", "smear", "convolution")
OUTPUTS_ADD_UP = ("pre", "post", "parallel", "parallel_norms")  # kinds of residual whose branches an init may start at 0


def is_known(model: Model, *, mixed: bool) -> bool:
    """Whether the parts of a network with these knobs are written out here, with `mixed` its embedding mixer too."""
    return (model.embedding_mixer in KNOWN_MIXERS or not mixed) and model.norm in ("layer", "layer_plain", "rms", "dyt", "none")


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    """x Wᵀ + b; without a b where there is none."""
    y = x @ weights[f"{name}.weight"].mT
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def norm(weights: Weights, name: str, x: Tensor, model: Model) -> Tensor:
    """The norm of the knob model.norm over the last axis."""
    match model.norm:
        case "none":
            return x
        case "dyt":
            x = torch.tanh(weights[f"{name}.scale"] * x)
        case "rms":
            x = x / (x.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt()
        case _:
            centred = x - x.mean(-1, keepdim=True)
            x = centred / (centred.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt()
    if model.norm != "layer_plain":
        x = x * weights[f"{name}.weight"]
    return x + weights[f"{name}.bias"] if f"{name}.bias" in weights else x


def activated(h: Tensor, model: Model) -> Tensor:
    """The activation of the knob model.activation."""
    if model.activation in GATES:
        gate, value = h.chunk(2, dim=-1)
        return FUNCTIONS[GATES[model.activation]](gate) * value
    return FUNCTIONS[model.activation](h)


def rotated(x: Tensor, model: Model) -> Tensor:
    """Vectors [B, N, T, d], each pair of their first r features turned by position · base^(−2i/r), r = rotary_share · d."""
    r = round(model.rotary_share * x.shape[-1])
    speed = model.rotary_base ** (-2 * torch.arange(r // 2, dtype=x.dtype) / r)
    angle = torch.arange(x.shape[2], dtype=x.dtype)[:, None] * speed
    even, odd = x[..., 0:r:2], x[..., 1:r:2]
    turned = (even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos())
    return torch.cat((torch.stack(turned, dim=-1).flatten(-2), x[..., r:]), dim=-1)


def attention(
    weights: Weights,
    name: str,
    x: Tensor,
    model: Model,
    *,
    causal: bool,
    real: Tensor | None = None,
    sharper: float = 1.0,
    inverted: bool = False,
) -> Tensor:
    """Attention over [B, T, D].

    Args:
        real: [B, T], False where a token is padding.
        sharper: a factor on the scores; 1 in what the knobs describe.
        inverted: look at later positions instead of earlier ones, a mistake that is common enough to be named.
    """
    batch, length, _ = x.shape
    d, heads = model.width // model.heads, model.heads
    kv = model.kv_heads or heads
    place = torch.arange(length)
    visible = place[None, :] <= place[:, None] if causal else torch.ones(length, length, dtype=torch.bool)
    visible = visible.T if inverted else visible
    if model.attention == "window":
        visible = visible & ((place[None, :] - place[:, None]).abs() < model.window)
    if real is not None:
        visible = visible & (real[:, None, None, :] | torch.eye(length, dtype=torch.bool))
    projected = linear(weights, f"{name}.project", x).view(batch, length, -1, d).transpose(1, 2)
    if model.attention == "average":
        shares = visible.to(x.dtype)
        mixed = (shares / shares.sum(-1, keepdim=True)) @ projected
        return linear(weights, f"{name}.output", mixed.transpose(1, 2).reshape(batch, length, -1))
    q, k, v = projected[:, :heads], projected[:, heads : heads + kv], projected[:, heads + kv :]
    if model.qk_norm:
        q, k = (part / (part.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt() for part in (q, k))
    if model.position == "rotary":
        q, k = rotated(q, model), rotated(k, model)
    k, v = (part.repeat_interleave(heads // kv, dim=1) for part in (k, v))
    wider = model.width / model.base_width if model.init == "mup" else 1.0
    scores = sharper * (q @ k.mT) / math.sqrt(d * wider)
    if model.attention_softcap:
        scores = model.attention_softcap * torch.tanh(scores / model.attention_softcap)
    if model.position == "alibi":
        distance = (place[None, :] - place[:, None]).abs()
        scores = scores - torch.tensor(_slopes(heads), dtype=x.dtype)[:, None, None] * distance
    shares = scores.masked_fill(~visible, -math.inf).softmax(-1)
    return linear(weights, f"{name}.output", (shares @ v).transpose(1, 2).reshape(batch, length, -1))


def _slopes(heads: int) -> list[float]:
    """ALiBi's: 2^(−8/n), 2^(−16/n) …; for n that is no power of 2, those between are taken from twice as fine a sequence."""
    n = 2 ** (heads.bit_length() - 1)
    return [2.0 ** (-8 * i / n) for i in range(1, n + 1)] + [2.0 ** (-4 * i / n) for i in range(1, 2 * (heads - n), 2)]


def feed_forward(weights: Weights, name: str, x: Tensor, model: Model) -> Tensor:
    """down(activation(up(x)))."""
    return linear(weights, f"{name}.down", activated(linear(weights, f"{name}.up", x), model))


def block(weights: Weights, layer: int, x: Tensor, model: Model, *, causal: bool, real: Tensor | None = None) -> Tensor:
    """The stream [B, T, D] after a block, with the residual connections of the knob model.residual."""
    name = f"blocks.{layer}"

    def normed(number: int, y: Tensor) -> Tensor:
        return norm(weights, f"{name}.norms.{number}", y, model)

    layers: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda y: attention(weights, f"{name}.attention", y, model, causal=causal, real=real),
        lambda y: feed_forward(weights, f"{name}.feed_forward", y, model),
    )
    if model.residual == "parallel":
        y = normed(0, x)
        return x + layers[0](y) + layers[1](y)
    if model.residual == "parallel_norms":
        return x + layers[0](normed(0, x)) + layers[1](normed(1, x))
    for number, one in enumerate(layers):
        match model.residual:
            case "post":
                x = normed(number, x + one(x))
            case "sandwich":
                x = x + normed(2 * number + 1, one(normed(2 * number, x)))
            case "rezero":
                x = x + weights[f"{name}.residual.scale"][number] * one(normed(number, x))
            case "layerscale":
                x = x + weights[f"{name}.residual.gains.{number}"] * one(normed(number, x))
            case "depth_scaled":
                x = x + one(normed(number, x)) / math.sqrt(2 * model.depth)
            case "none":
                x = one(normed(number, x))
            case _:
                x = x + one(normed(number, x))
    return x


def embedded(weights: Weights, ids: Tensor, model: Model) -> Tensor:
    """What the first block reads: embeddings, what the mixer adds, positions."""
    x = weights["embedding.weight"][ids.clamp(min=0)]
    before = [torch.cat((torch.zeros_like(x[:, :back]), x[:, : x.shape[1] - back]), dim=1) for back in (1, 2, 3)]
    if model.embedding_mixer == "smear":
        x = x + weights["mixer.share"] * before[0]
    if model.embedding_mixer == "convolution":
        x = x + sum(weights[f"mixer.shares.{number}"] * earlier for number, earlier in enumerate(before))
    if model.position == "learned":
        x = x + weights["position.weight"][: x.shape[1]]
    if model.position == "sinusoidal":
        feature = torch.arange(model.width)
        speed = 10_000.0 ** (-(feature - feature % 2).to(x.dtype) / (model.width + model.width % 2))
        angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * speed
        x = x + torch.where(feature % 2 == 0, angle.sin(), angle.cos())
    return x


def output(weights: Weights, features: Tensor, model: Model) -> Tensor:
    """Logits of the normalized features."""
    wider = model.width / model.base_width if model.init == "mup" else 1.0
    name = "head" if "head.weight" in weights else "embedding"
    return linear(weights, name, features / wider)


def final(weights: Weights, x: Tensor, model: Model) -> Tensor:
    """The norm before the head; post-norm blocks have had theirs."""
    return x if model.residual == "post" else norm(weights, "final_norm", x, model)


def logits(weights: Weights, ids: Tensor, model: Model) -> Tensor:
    """Logits [B, T, V] of a language model for ids [B, T], in evaluation."""
    x = embedded(weights, ids, model)
    for layer in range(model.depth):
        x = block(weights, layer, x, model, causal=True)
    return output(weights, final(weights, x, model), model)


def _erf_gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": _erf_gelu,
    "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: x.clamp(min=0),
    "relu2": lambda x: x.clamp(min=0) ** 2,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
    "tanh": torch.tanh,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "snake": lambda x: x + torch.sin(x) ** 2,
    "identity": lambda x: x,
}

GATES = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu"}
