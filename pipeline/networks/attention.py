"""Attention: full, windowed or averaging; with grouped keys and values, QK norm, softcap and a KV cache.

An entry of the table defines which positions a query may attend to and how it weighs them; projections, heads and cache are
the same for all. Attention is causal in language models, bidirectional in classifiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.networks.inits import width_ratio
from pipeline.networks.norms import EPSILON
from pipeline.networks.positions import Position
from pipeline.params.model import Model

Kernel = Literal["auto", "sdpa", "eager"]
"""The attention implementation: torch's fused kernel, or plain matrix products; `auto` chooses the faster as a rule."""


@dataclass
class KVCache:
    """Keys and values of the tokens so far, so that the next token costs one position, not all.

    Attributes:
        keys, values: for each layer [B, K, C, d]: K heads, capacity C, of which the first `length` positions are filled.
        recent_ids: the last ids so far, as many as the embedding mixer looks back at.
        length: tokens so far.
    """

    keys: list[Float[Tensor, "B K C d"]]
    values: list[Float[Tensor, "B K C d"]]
    recent_ids: Int[Tensor, "B R"]
    length: int = 0

    def extend(
        self, layer: int, k: Float[Tensor, "B K T d"], v: Float[Tensor, "B K T d"]
    ) -> tuple[Float[Tensor, "B K S d"], Float[Tensor, "B K S d"]]:
        """Append a layer's new keys and values; returns all of them so far."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Attention(nn.Module):
    """Multi-head softmax attention: softmax(q kᵀ · scale + bias) v, over the whole context or over earlier positions.

    In shapes: B batch, T queries, S keys, D width, H query heads, K key-value heads, d = D / H.

    Source: Vaswani et al., "Attention Is All You Need", 2017. Of its knobs: Ainslie et al., "GQA: Training Generalized
    Multi-Query Transformer Models from Multi-Head Checkpoints", 2023 (kv_heads); Henry et al., "Query-Key Normalization for
    Transformers", 2020 (qk_norm); Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024
    (attention_softcap).
    """

    kernel: Kernel = "auto"

    def __init__(self, model: Model, layer: int, causal: bool = True) -> None:
        super().__init__()
        self.causal = causal
        self.heads, self.kv_heads = model.heads, model.kv_heads or model.heads
        self.layer, self.window, self.qk_norm, self.softcap = layer, model.window, model.qk_norm, model.attention_softcap
        self.scale = (model.width // model.heads * width_ratio(model)) ** -0.5
        self.project = nn.Linear(model.width, self.projections() * (model.width // model.heads), bias=model.bias)
        self.output = nn.Linear(model.width, model.width, bias=model.bias)

    def projections(self) -> int:
        """The number of vectors that `project` computes per position: queries, keys and values of all heads."""
        return self.heads + 2 * self.kv_heads

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        position: Position,
        cache: KVCache | None,
        attention_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The attention output; with `attention_mask` (True where a token is not padding), padding is not attended to."""
        q, k, v = self._queries_keys_values(x, position, cache.length if cache else 0)
        if cache:
            k, v = cache.extend(self.layer, k, v)
        bias = _with_padding_hidden(position.bias(q.shape[2], k.shape[2]), attention_mask, q)
        return self.output(self.attend(q, self._repeat_kv(k), self._repeat_kv(v), bias).transpose(1, 2).flatten(2))

    def _queries_keys_values(
        self, x: Float[Tensor, "B T D"], position: Position, start: int
    ) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B K T d"], Float[Tensor, "B K T d"]]:
        # Queries and keys of all heads are rotated together, in half as many kernels.
        projected = self.project(x).unflatten(-1, (self.projections(), -1))
        qk, v = projected.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
        if self.qk_norm:
            qk = F.rms_norm(qk, qk.shape[-1:], eps=EPSILON)
        q, k = position.rotate(qk, start).transpose(1, 2).split((self.heads, self.kv_heads), dim=1)
        return q, k, v.transpose(1, 2)

    def _repeat_kv(self, x: Float[Tensor, "B K S d"]) -> Float[Tensor, "B H S d"]:
        """Keys or values repeated for every query head: neighbouring heads share one."""
        return x if self.kv_heads == self.heads else x.repeat_interleave(self.heads // self.kv_heads, dim=1)

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
        """Which keys each query may attend to; the last query is at the position of the last key."""
        if not self.causal:
            return torch.ones(queries, keys, dtype=torch.bool, device=device)
        position = torch.arange(keys - queries, keys, device=device)[:, None]
        return torch.arange(keys, device=device) <= position

    def attend(
        self,
        q: Float[Tensor, "B H T d"],
        k: Float[Tensor, "B H S d"],
        v: Float[Tensor, "B H S d"],
        bias: Float[Tensor, "... T S"] | None = None,
    ) -> Float[Tensor, "B H T d"]:
        """The values, weighted by the attention probabilities of each query."""
        if self.uses_eager(q):
            return self.weights(q, k, bias) @ v
        queries, keys = q.shape[2], k.shape[2]
        if bias is None and queries in (1, keys) and self.sees_every_key(keys):
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and queries == keys, scale=self.scale)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self._mask(q, keys, bias), scale=self.scale)

    def uses_eager(self, q: Tensor) -> bool:
        """Whether the probabilities are computed explicitly, instead of by torch's fused kernel."""
        if self.softcap:  # which torch's kernels do not support
            return True
        if self.kernel == "auto":  # torch's bfloat16 kernel on CPU is five times slower than plain products (torch 2.13)
            return q.dtype == torch.bfloat16 and q.device.type == "cpu"
        return self.kernel == "eager"

    def sees_every_key(self, keys: int) -> bool:
        """Whether the last of so many positions sees all of them, so that torch's causal kernel can be used."""
        return True

    def _mask(self, q: Float[Tensor, "B H T d"], keys: int, bias: Float[Tensor, "... T S"] | None) -> Float[Tensor, "... T S"]:
        """What is added to the scores: the bias, and -inf where a query may not attend."""
        hidden = ~self.visible(q.shape[2], keys, q.device)
        added = q.new_zeros(hidden.shape) if bias is None else bias.to(q.dtype)
        return added.masked_fill(hidden, -torch.inf)

    def weights(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], bias: Float[Tensor, "... T S"] | None = None
    ) -> Float[Tensor, "B H T S"]:
        """The attention probabilities, which the fused kernel never stores."""
        return self.masked_scores(q, k, bias).softmax(dim=-1)

    def masked_scores(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], bias: Float[Tensor, "... T S"] | None = None
    ) -> Float[Tensor, "B H T S"]:
        """The logits of the softmax: q kᵀ · scale, with softcap and bias, and -inf where a query may not attend."""
        mask = self._mask(q, k.shape[2], bias)
        if self.softcap:
            return (q @ k.mT * (self.scale / self.softcap)).tanh() * self.softcap + mask
        if bias is not None:
            mask = mask.expand(*q.shape[:2], -1, -1).flatten(0, 1)
        # Product, scale and mask in one kernel; separately they would pass over the scores four times.
        return torch.baddbmm(mask, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=self.scale).unflatten(0, q.shape[:2])

    def maps(
        self, x: Float[Tensor, "B T D"], position: Position, attention_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B H T T"]:
        """The attention probabilities for an input of this layer."""
        q, k, _ = self._queries_keys_values(x, position, start=0)
        return self.weights(
            q, self._repeat_kv(k), _with_padding_hidden(position.bias(x.shape[1], x.shape[1]), attention_mask, q)
        )

    def scores(self, x: Float[Tensor, "B T D"], position: Position) -> Float[Tensor, "B H T T"] | None:
        """q kᵀ · scale, before bias, softcap and mask; None if the layer has no keys."""
        q, k, _ = self._queries_keys_values(x, position, start=0)
        return q @ self._repeat_kv(k).mT * self.scale


class WindowAttention(Attention):
    """Sliding-window attention: to the last `window` tokens, itself included; if not causal, to as many on the right too.

    Source: Beltagy et al., "Longformer: The Long-Document Transformer", 2020.
    """

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
        position = torch.arange(keys - queries, keys, device=device)[:, None]
        near = (torch.arange(keys, device=device) - position).abs() < self.window
        return super().visible(queries, keys, device) & near

    def sees_every_key(self, keys: int) -> bool:
        return keys <= self.window


class AverageAttention(Attention):
    """The plain mean of all visible values: a control for what the choice of positions by content is worth.

    Source: Zhang et al., "Accelerating Neural Transformer via an Average Attention Network", 2018.
    """

    def projections(self) -> int:
        return self.heads  # values only

    def _queries_keys_values(
        self, x: Float[Tensor, "B T D"], position: Position, start: int
    ) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B H T d"], Float[Tensor, "B H T d"]]:
        v = self.project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return v, v, v  # the cache needs keys; they are not used

    def attend(
        self,
        q: Float[Tensor, "B H T d"],
        k: Float[Tensor, "B H S d"],
        v: Float[Tensor, "B H S d"],
        bias: Float[Tensor, "... T S"] | None = None,
    ) -> Float[Tensor, "B H T d"]:
        return self.weights(q, k, bias) @ v

    def weights(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], bias: Float[Tensor, "... T S"] | None = None
    ) -> Float[Tensor, "B H T S"]:
        visible = self.visible(q.shape[2], k.shape[2], q.device)
        if bias is not None:  # only its mask applies here
            visible = visible & ~bias.isneginf()
        visible = visible.to(q.dtype)
        return (visible / visible.sum(dim=-1, keepdim=True)).expand(*q.shape[:2], -1, -1)

    def scores(self, x: Float[Tensor, "B T D"], position: Position) -> None:
        return None


def _with_padding_hidden(
    bias: Float[Tensor, "H T S"] | None, attention_mask: Bool[Tensor, "B S"] | None, q: Float[Tensor, "B H T d"]
) -> Float[Tensor, "... T S"] | None:
    """A bias that masks padding too. A padding position attends to itself, since a softmax needs one visible key."""
    if attention_mask is None:
        return bias
    itself = torch.eye(attention_mask.shape[1], dtype=torch.bool, device=attention_mask.device)
    visible = attention_mask[:, None, None, :] | itself
    added = q.new_zeros(visible.shape) if bias is None else bias.to(q.dtype)
    return added.masked_fill(~visible, -torch.inf)


def set_attention_kernel(network: nn.Module, kernel: Kernel) -> None:
    """Set the kernel of every attention layer of a network."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.kernel = kernel


ATTENTIONS: dict[str, type[Attention]] = {
    "full": Attention,
    "window": WindowAttention,
    "average": AverageAttention,
}

# Entries that must not learn to copy (tests/test_learning.py), and why.
CONTROL_ATTENTIONS: dict[str, str] = {
    "average": "it weights all tokens equally, so it cannot pick out the one that followed an earlier copy",
}
