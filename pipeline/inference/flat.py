"""One more token of each of some texts in plain numpy: what the modules compute, without the time that calling them takes.

For one token a small network does some dozen products of a matrix and a vector, each of a few microseconds. Three quarters of
the time of the modules are calls. For many texts it is their memory that takes the time: every key and value so far is read
for each token, and keys that stand feature by feature are read faster. What stands here shares the weights and the cache of
the modules, so texts may change between the two at any token; tests hold them to each other, for every entry of every table.
What is not covered is left to the modules.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
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

Array = npt.NDArray[np.float32]
Layer = Callable[[Array], Array]
"""Maps vectors [B, D], one of a text each, to vectors [B, E]."""
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
    """A GPT that continues texts token by token.

    Args:
        model: one that `covers` says yes to.
    """

    def __init__(self, model: GPT) -> None:
        self.model, knobs = model, model.knobs
        self.heads, self.kv_heads = knobs.heads, knobs.kv_heads or knobs.heads
        self.size = knobs.width // knobs.heads  # of a head
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
        self.turned = 2 * self.rotations.shape[-1] if self.rotations is not None else 0  # features of a head that are rotated
        self._memory: Memory | None = None

    def logits(self, tokens: npt.NDArray[np.int64], cache: KVCache) -> Array:
        """The logits [B, V] after one more token [B] of each text, which is added to the cache; there is room for it."""
        at, memory = cache.length, self._memory_of(cache)
        x = self._embedded(tokens, cache)
        if self.added is not None:
            x = x + self.added[at]
        for block, layer in zip(self.blocks, memory.layers, strict=True):
            x = x + block.output(self._attended(block.project(block.norms[0](x)), at, layer))
            x += block.down(block.activation(block.up(block.norms[1](x))))
        cache.length = memory.length = at + 1
        x = self.final_norm(x)
        return self.head(x / self.ratio if self.ratio != 1 else x)

    def _embedded(self, tokens: npt.NDArray[np.int64], cache: KVCache) -> Array:
        """The embeddings [B, D] of tokens; the mixers, which look back at those before them, are left to their module."""
        if self.embedding is not None:
            return self.embedding[tokens]
        with torch.inference_mode():
            return self.model._mixed(torch.from_numpy(tokens)[:, None], cache)[:, 0].numpy()

    def _memory_of(self, cache: KVCache) -> Memory:
        """The memory of a cache; it is read anew where the modules have added to it."""
        if self._memory is None or self._memory.cache is not cache or self._memory.length != cache.length:
            self._memory = Memory(cache)
        return self._memory

    def _attended(self, projected: Array, at: int, layer: LayerMemory) -> Array:
        """The values at all positions so far, weighted by the attention of the newest.

        Args:
            projected: its queries, keys and values [B, (H + 2K) d], one after another.
            at: its position.
            layer: filled up to it; its own keys and values are added.
        """
        texts = len(projected)
        vectors = projected.reshape(texts, -1, self.size)
        turned, v = vectors[:, : self.heads + self.kv_heads], vectors[:, self.heads + self.kv_heads :]
        if self.qk_norm:
            turned = turned / np.sqrt(np.square(turned).mean(axis=2, keepdims=True) + np.float32(EPSILON))
        if self.rotations is not None:
            turned = self._rotated(turned, at)
        k = turned[:, self.heads :]
        layer.keys[..., at], layer.cached_keys[:, :, at], layer.values[:, :, at] = k, k, v
        q = (turned[:, : self.heads] * self.scale).reshape(texts, self.kv_heads, -1, self.size)  # neighbouring heads share keys
        scores = q @ layer.keys[..., : at + 1]
        if self.softcap:
            scores = np.tanh(scores / np.float32(self.softcap)) * np.float32(self.softcap)
        scores -= np.maximum.reduce(scores, axis=3, keepdims=True)
        weights = np.exp(scores, out=scores)
        attended: Array = weights @ layer.values[:, :, : at + 1]
        attended /= np.add.reduce(weights, axis=3, keepdims=True)
        return attended.reshape(texts, -1)

    def _rotated(self, vectors: Array, at: int) -> Array:
        """Vectors [B, N, d], one of a head each, rotated by their position."""
        if self.turned < vectors.shape[2]:
            first, rest = np.split(vectors, [self.turned], axis=2)
            return np.concatenate((self._rotated(np.ascontiguousarray(first), at), rest), axis=2)
        return (vectors.view(np.complex64) * self.rotations[at]).view(np.float32)


class LayerMemory(NamedTuple):
    """What one layer attends to.

    Attributes:
        keys: [B, K, d, C], feature by feature: the products of a query then run along the positions.
        cached_keys, values: [B, K, C, d], the memory of the modules' cache.
    """

    keys: Array
    cached_keys: Array
    values: Array


class Memory:
    """The keys and values of a cache, up to its length."""

    def __init__(self, cache: KVCache) -> None:
        self.cache, self.length, self.layers = cache, cache.length, list[LayerMemory]()
        for cached_keys, values in zip(cache.keys, cache.values, strict=True):
            texts, heads, capacity, size = cached_keys.shape
            keys = np.zeros((texts, heads, size, capacity), dtype=np.float32)
            keys[..., : self.length] = cached_keys[:, :, : self.length].mT.numpy()
            self.layers.append(LayerMemory(keys, cached_keys.numpy(), values.numpy()))


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
    columns = weight.T
    if bias is None:
        return lambda x: x.dot(columns)
    return lambda x: x.dot(columns) + bias


def _activation(activation: Activation) -> Layer:
    """The function in numpy if it stands here, else that of the modules."""
    return ACTIVATIONS.get(activation.function) or (lambda x: activation.function(torch.from_numpy(x)).numpy())


@functools.cache
def _erf() -> Callable[[Array], Array]:
    from scipy.special import erf  # a third of a second to import, which other activations need not wait for

    return erf


def _gelu(x: Array) -> Array:
    if len(x) > 1:  # scipy's erf takes less time to call, but ten times as much for each number
        return F.gelu(torch.from_numpy(x)).numpy()
    erf = _erf()
    return x * (HALF + HALF * erf(x * HALF**HALF))


def _norm(norm: nn.Module) -> Layer:
    return NORMS[type(norm)](norm)


def _layer_norm(norm: Any) -> Layer:
    weight, bias = _array(getattr(norm, "weight", None)), _array(getattr(norm, "bias", None))

    def normed(x: Array) -> Array:
        centred = x - _mean(x)
        centred *= _over_root_mean_square(centred)
        if weight is not None:
            centred *= weight
        if bias is not None:
            centred += bias
        return centred

    return normed


def _rms_norm(norm: Any) -> Layer:
    weight = _array(norm.weight)
    return lambda x: x * _over_root_mean_square(x) * weight


def _mean(x: Array) -> Any:
    """The mean of each vector, [B, 1]; of one text a number, which is much sooner taken from the others."""
    shares = _equal_shares(x.shape[1])
    return x[0].dot(shares) if len(x) == 1 else x.dot(shares)[:, None]


@functools.cache
def _equal_shares(count: int) -> Array:
    return np.full(count, 1 / count, dtype=np.float32)


def _over_root_mean_square(x: Array) -> Any:
    """1 / the root mean square of each vector, as its mean."""
    squares = x[0].dot(x[0]) if len(x) == 1 else np.vecdot(x, x)[:, None]
    return 1 / np.sqrt(squares / np.float32(x.shape[1]) + np.float32(EPSILON))


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
