"""Attention: how a position gathers what it needs from the others.

An entry says which of them a position may look at and how it weighs them; the projections, the heads and the cache are common
to all. A language model's looks back only (`causal`), a classifier's to both sides.
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
"""What computes attention: torch's own kernel or three written out; `auto` knows which is the faster where nobody measured."""


@dataclass
class KVCache:
    """What the layers computed for the tokens so far, so that the next one costs one position and not all.

    keys, values: [B, K, capacity, d] for each layer, K heads of them; only the first `length` places are filled.
    before: the last ids so far, as many as the mixer looks back at.
    """

    keys: list[Float[Tensor, "B K C d"]]
    values: list[Float[Tensor, "B K C d"]]
    before: Int[Tensor, "B R"]
    length: int = 0

    def extend(
        self, layer: int, k: Float[Tensor, "B K T d"], v: Float[Tensor, "B K T d"]
    ) -> tuple[Float[Tensor, "B K S d"], Float[Tensor, "B K S d"]]:
        """Keep a layer's new keys and values; all of them so far."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Attention(nn.Module):
    """Softmax attention over the whole context, or over what lies before.

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
        self.layer, self.window, self.qk_norm, self.cap = layer, model.window, model.qk_norm, model.attention_softcap
        self.scale = (model.width // model.heads * width_ratio(model)) ** -0.5
        self.project = nn.Linear(model.width, self.projections() * (model.width // model.heads), bias=model.bias)
        self.output = nn.Linear(model.width, model.width, bias=model.bias)

    def projections(self) -> int:
        """How many vectors a position is turned into: queries, keys and values of all heads."""
        return self.heads + 2 * self.kv_heads

    def forward(
        self, x: Float[Tensor, "B T D"], position: Position, cache: KVCache | None, real: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T D"]:
        """What each position gathers; with `real`, from those places alone that are no padding."""
        q, k, v = self._queries_keys_values(x, position, cache.length if cache else 0)
        if cache:
            k, v = cache.extend(self.layer, k, v)
        bias = _with_padding_hidden(position.bias(q.shape[2], k.shape[2]), real, q)
        return self.output(self.mix(q, self._shared(k), self._shared(v), bias).transpose(1, 2).flatten(2))

    def _queries_keys_values(
        self, x: Float[Tensor, "B T D"], position: Position, start: int
    ) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B K T d"], Float[Tensor, "B K T d"]]:
        # Queries and keys of all heads are turned together: half the kernels.
        together = self.project(x).unflatten(-1, (self.projections(), -1))
        qk, v = together.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
        if self.qk_norm:
            qk = F.rms_norm(qk, qk.shape[-1:], eps=EPSILON)
        q, k = position.turn(qk, start).transpose(1, 2).split((self.heads, self.kv_heads), dim=1)
        return q, k, v.transpose(1, 2)

    def _shared(self, x: Float[Tensor, "B K S d"]) -> Float[Tensor, "B H S d"]:
        """Keys or values for every head of queries: neighbours share one."""
        return x if self.kv_heads == self.heads else x.repeat_interleave(self.heads // self.kv_heads, dim=1)

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
        """Which keys each query may look at; the last query stands at the last key."""
        if not self.causal:
            return torch.ones(queries, keys, dtype=torch.bool, device=device)
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        return torch.arange(keys, device=device) <= place

    def mix(
        self,
        q: Float[Tensor, "B H T d"],
        k: Float[Tensor, "B H S d"],
        v: Float[Tensor, "B H S d"],
        bias: Float[Tensor, "... T S"] | None = None,
    ) -> Float[Tensor, "B H T d"]:
        """The values, weighed by how well their keys answer each query."""
        if self.writes_out(q):
            return self.weights(q, k, bias) @ v
        queries, keys = q.shape[2], k.shape[2]
        if bias is None and queries in (1, keys) and self.sees_all(keys):
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and queries == keys, scale=self.scale)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self._mask(q, keys, bias), scale=self.scale)

    def writes_out(self, q: Tensor) -> bool:
        """Whether the probabilities are held, or left to torch's kernel."""
        if self.cap:  # which none of torch's kernels has
            return True
        if self.kernel == "auto":  # torch's CPU kernel for bfloat16 is five times slower than what is written out (torch 2.13)
            return q.dtype == torch.bfloat16 and q.device.type == "cpu"
        return self.kernel == "eager"

    def sees_all(self, keys: int) -> bool:
        """Whether a position looks back at all of so many keys, so that the causal kernel will do."""
        return True

    def _mask(self, q: Float[Tensor, "B H T d"], keys: int, bias: Float[Tensor, "... T S"] | None) -> Float[Tensor, "... T S"]:
        """What is added to scores: the bias, and -inf where a query may not look."""
        hidden = ~self.visible(q.shape[2], keys, q.device)
        added = q.new_zeros(hidden.shape) if bias is None else bias.to(q.dtype)
        return added.masked_fill(hidden, -torch.inf)

    def weights(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], bias: Float[Tensor, "... T S"] | None = None
    ) -> Float[Tensor, "B H T S"]:
        """The attention probabilities, written out: what `mix` computes without ever holding them."""
        return self.masked_scores(q, k, bias).softmax(dim=-1)

    def masked_scores(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], bias: Float[Tensor, "... T S"] | None = None
    ) -> Float[Tensor, "B H T S"]:
        """How well each key answers each query, of which the softmax is taken; -inf where a query may not look."""
        mask = self._mask(q, k.shape[2], bias)
        if self.cap:
            return (q @ k.mT * (self.scale / self.cap)).tanh() * self.cap + mask
        if bias is not None:
            mask = mask.expand(*q.shape[:2], -1, -1).flatten(0, 1)
        # The product, its scale and the mask are one kernel; one by one they would pass over the scores four times.
        return torch.baddbmm(mask, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=self.scale).unflatten(0, q.shape[:2])

    def maps(
        self, x: Float[Tensor, "B T D"], position: Position, real: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B H T T"]:
        """What each position looks at, for an input of this layer."""
        q, k, _ = self._queries_keys_values(x, position, start=0)
        return self.weights(q, self._shared(k), _with_padding_hidden(position.bias(x.shape[1], x.shape[1]), real, q))

    def scores(self, x: Float[Tensor, "B T D"], position: Position) -> Float[Tensor, "B H T T"] | None:
        """How well each key answers each query, before anything is added, bent or hidden; None where no key is asked."""
        q, k, _ = self._queries_keys_values(x, position, start=0)
        return q @ self._shared(k).mT * self.scale


class WindowAttention(Attention):
    """Attention to the last `window` tokens only, itself among them; where it is not causal, to as many on the other side too.

    Source: Beltagy et al., "Longformer: The Long-Document Transformer", 2020.
    """

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        near = (torch.arange(keys, device=device) - place).abs() < self.window
        return super().visible(queries, keys, device) & near

    def sees_all(self, keys: int) -> bool:
        return keys <= self.window


class AverageAttention(Attention):
    """The plain mean of all values in sight: mixing without looking, the control for what attention's choice is worth.

    Source: Zhang et al., "Accelerating Neural Transformer via an Average Attention Network", 2018.
    """

    def projections(self) -> int:
        return self.heads  # values alone

    def _queries_keys_values(
        self, x: Float[Tensor, "B T D"], position: Position, start: int
    ) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B H T d"], Float[Tensor, "B H T d"]]:
        v = self.project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return v, v, v  # the cache wants keys; nobody reads them

    def mix(
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
        if bias is not None:  # of which only what it hides counts here
            visible = visible & ~bias.isneginf()
        visible = visible.to(q.dtype)
        return (visible / visible.sum(dim=-1, keepdim=True)).expand(*q.shape[:2], -1, -1)

    def scores(self, x: Float[Tensor, "B T D"], position: Position) -> None:
        return None


def _with_padding_hidden(
    bias: Float[Tensor, "H T S"] | None, real: Bool[Tensor, "B S"] | None, q: Float[Tensor, "B H T d"]
) -> Float[Tensor, "... T S"] | None:
    """A bias that hides padding too. A place that is padding itself sees itself, for it must see something."""
    if real is None:
        return bias
    seen = real[:, None, None, :] | torch.eye(real.shape[1], dtype=torch.bool, device=real.device)
    added = q.new_zeros(seen.shape) if bias is None else bias.to(q.dtype)
    return added.masked_fill(~seen, -torch.inf)


def set_attention_kernel(network: nn.Module, kernel: Kernel) -> None:
    """Let every attention of a network compute by this kernel."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.kernel = kernel


ATTENTIONS: dict[str, type[Attention]] = {
    "full": Attention,
    "window": WindowAttention,
    "average": AverageAttention,
}

# Who must not learn to copy (tests/test_learning.py), and why.
CONTROL_ATTENTIONS: dict[str, str] = {
    "average": "it weighs all tokens alike, so that it cannot pick out the one that followed an earlier copy",
}
