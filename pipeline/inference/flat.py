"""One more token of one text in plain numpy: what the modules compute, without the time that calling them takes.

For one token a small network does some dozen products of a matrix and a vector, each of a few microseconds. Three quarters of
the time of the modules are calls. What stands here shares their weights and their cache, so a text may change between the two
at any token; tests hold them to each other, for every entry of every table. What is not covered is left to the modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from scipy.special import erf
from torch import Tensor, nn

from pipeline.engine.runtime.runtime import Runtime
from pipeline.networks.activations import Activation, relu2
from pipeline.networks.attention import Attention, KVCache
from pipeline.networks.inits import width_ratio
from pipeline.networks.mixers import Mixer
from pipeline.networks.norms import EPSILON, LayerNorm, NoNorm, PlainLayerNorm, RMSNorm
from pipeline.networks.positions import LearnedPosition, Position, RotaryPosition, SinusoidalPosition
from pipeline.networks.residuals import Residual
from pipeline.networks.transformer import GPT, AttentionBlock, FeedForward

Vector = npt.NDArray[np.float32]
Layer = Callable[[Vector], Vector]
HALF = np.float32(0.5)


class FlatBlock(NamedTuple):
    """A block: its layers, and what attention needs between them."""

    norms: tuple[Layer, Layer]
    project: Layer
    output: Layer
    up: Layer
    activation: Layer
    down: Layer


class FlatGPT:
    """A GPT that continues one text token by token.

    Args:
        model: one that `covers` says yes to.
    """

    def __init__(self, model: GPT) -> None:
        self.model, knobs = model, model.knobs
        self.heads, self.kv_heads = knobs.heads, knobs.kv_heads or knobs.heads
        self.qk_norm, self.softcap = knobs.qk_norm, knobs.attention_softcap
        blocks = _blocks(model)
        self.scale = np.float32(blocks[0].attention.scale)
        self.blocks = [_block(block) for block in blocks]
        self.final_norm, self.ratio = _norm(model.final_norm), np.float32(width_ratio(knobs))
        self.head = _linear(model.head)
        self.embedding = _array(model.embedding.weight) if type(model.mixer) is Mixer else None
        position = model.position
        self.added = _array(position.weight if isinstance(position, LearnedPosition) else getattr(position, "waves", None))
        self.rotations = _array(getattr(position, "rotations", None))
        self._seen: KVCache | None = None
        self._memory: tuple[list[Vector], list[Vector]] = [], []

    def logits(self, token: int, cache: KVCache) -> Vector:
        """The logits after one more token, which is added to the cache; there is room for it."""
        at = cache.length
        x = self._embedded(token, cache)
        if self.added is not None:
            x = x + self.added[at]
        for block, keys, values in zip(self.blocks, *self._arrays(cache), strict=True):
            x = x + block.output(self._attended(block.project(block.norms[0](x)), at, keys, values))
            x = x + block.down(block.activation(block.up(block.norms[1](x))))
        cache.length = at + 1
        x = self.final_norm(x)
        return self.head(x / self.ratio if self.ratio != 1 else x)

    def _embedded(self, token: int, cache: KVCache) -> Vector:
        """The embedding of a token; the mixers, which look back at those before it, are left to their module."""
        if self.embedding is not None:
            return self.embedding[token]
        with torch.inference_mode():
            return self.model._mixed(torch.tensor([[token]]), cache)[0, 0].numpy()

    def _arrays(self, cache: KVCache) -> tuple[list[Vector], list[Vector]]:
        """The memory of a cache: the keys [K, C, d] of each layer, and the values."""
        if cache is not self._seen:
            self._seen = cache
            self._memory = [keys[0].numpy() for keys in cache.keys], [values[0].numpy() for values in cache.values]
        return self._memory

    def _attended(self, projected: Vector, at: int, keys: Vector, values: Vector) -> Vector:
        """The values at all positions so far, weighted by the attention of the newest.

        Args:
            projected: its queries, keys and values, one after another.
            at: its position.
            keys, values: [K, C, d], filled up to it; its own are added.
        """
        vectors = projected.reshape(self.heads + 2 * self.kv_heads, -1)
        turned, v = vectors[: self.heads + self.kv_heads], vectors[self.heads + self.kv_heads :]
        if self.qk_norm:
            turned = turned / np.sqrt(np.square(turned).mean(axis=1, keepdims=True) + np.float32(EPSILON))
        if self.rotations is not None:
            turned = (turned.view(np.complex64) * self.rotations[at]).view(np.float32)
        keys[:, at], values[:, at] = turned[self.heads :], v
        q = turned[: self.heads].reshape(self.kv_heads, -1, turned.shape[1]) * self.scale  # neighbouring heads share keys
        scores = q @ keys[:, : at + 1].transpose(0, 2, 1)
        if self.softcap:
            scores = np.tanh(scores / np.float32(self.softcap)) * np.float32(self.softcap)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        attended: Vector = (weights @ values[:, : at + 1]) / weights.sum(axis=2, keepdims=True)
        return attended.reshape(-1)


def covers(model: nn.Module, runtime: Runtime) -> bool:
    """Whether every part of a network is one that is written out here, and none was changed from outside."""
    if type(model) is not GPT or runtime.device.type != "cpu" or runtime.precision != "float32":
        return False
    if type(model.position) not in POSITIONS or any(weight.dtype != torch.float32 for weight in model.parameters()):
        return False
    if any("forward" in vars(part) or part._forward_hooks or part._forward_pre_hooks for part in model.modules()):
        return False
    blocks = _blocks(model)
    norms = [model.final_norm, *(norm for block in blocks for norm in block.norms)]
    return all(type(norm) in NORMS for norm in norms) and all(
        type(block.residual) is Residual and type(block.attention) is Attention and type(block.feed_forward) is FeedForward
        for block in blocks
    )


def _blocks(model: GPT) -> list[AttentionBlock]:
    """The blocks of a model, each of them one of attention."""
    return [block for block in model.blocks if isinstance(block, AttentionBlock)]


def _block(block: AttentionBlock) -> FlatBlock:
    attention, feed_forward = block.attention, block.feed_forward
    first, second = map(_norm, block.norms)
    linear = map(_linear, (attention.project, attention.output, feed_forward.up, feed_forward.down))
    project, output, up, down = linear
    return FlatBlock((first, second), project, output, up, _activation(feed_forward.activation), down)


def _linear(layer: nn.Linear) -> Layer:
    weight, bias = _array(layer.weight), _array(layer.bias)
    if bias is None:
        return weight.dot
    return lambda x: weight.dot(x) + bias


def _activation(activation: Activation) -> Layer:
    """The function in numpy if it stands here, else that of the modules."""
    return ACTIVATIONS.get(activation.function) or (lambda x: activation.function(torch.from_numpy(x)).numpy())


def _gelu(x: Vector) -> Vector:
    return x * (HALF + HALF * erf(x * HALF**HALF))


def _norm(norm: nn.Module) -> Layer:
    return NORMS[type(norm)](norm)


def _layer_norm(norm: Any) -> Layer:
    weight, bias = _array(getattr(norm, "weight", None)), _array(getattr(norm, "bias", None))

    def normed(x: Vector) -> Vector:
        centred = x - np.add.reduce(x) / np.float32(len(x))
        centred *= 1 / np.sqrt(centred.dot(centred) / np.float32(len(x)) + np.float32(EPSILON))
        if weight is not None:
            centred *= weight
        if bias is not None:
            centred += bias
        return centred

    return normed


def _rms_norm(norm: Any) -> Layer:
    weight = _array(norm.weight)
    return lambda x: x * (1 / np.sqrt(x.dot(x) / np.float32(len(x)) + np.float32(EPSILON))) * weight


def _array(tensor: Tensor | None) -> Any:
    """The memory of a tensor as an array; None for none."""
    return None if tensor is None else tensor.detach().numpy()


POSITIONS = (Position, LearnedPosition, SinusoidalPosition, RotaryPosition)

NORMS: dict[type[nn.Module], Callable[[Any], Layer]] = {
    PlainLayerNorm: _layer_norm,
    LayerNorm: _layer_norm,
    RMSNorm: _rms_norm,
    NoNorm: lambda norm: lambda x: x,
}

ACTIVATIONS: dict[Callable[..., Any], Layer] = {
    F.gelu: _gelu,
    F.relu: lambda x: np.maximum(x, 0),
    relu2: lambda x: np.square(np.maximum(x, 0)),
}
