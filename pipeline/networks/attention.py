"""Attention: how a position gathers what it needs from those before it.

An entry says which of the past a position may look at and how it weighs it; the projections, the heads and the
cache are common to all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.networks.inits import width_ratio
from pipeline.networks.positions import Position
from pipeline.params import Model


@dataclass
class Cache:
    """What the layers computed for the tokens so far, so that the next one costs one position and not all.

    keys, values: [B, H, capacity, d] for each layer; only the first `length` places are filled.
    before: the embedding of the last token so far.
    """

    keys: list[Float[Tensor, "B H C d"]]
    values: list[Float[Tensor, "B H C d"]]
    before: Float[Tensor, "B 1 D"]
    length: int = 0

    def extend(
        self, layer: int, k: Float[Tensor, "B H T d"], v: Float[Tensor, "B H T d"]
    ) -> tuple[Float[Tensor, "B H S d"], Float[Tensor, "B H S d"]]:
        """Keep a layer's new keys and values; all of them so far."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Attention(nn.Module):
    """Causal softmax attention over the whole context.

    Source: Vaswani et al., "Attention Is All You Need", 2017.
    """

    parts = 3  # queries, keys, values

    def __init__(self, model: Model, layer: int) -> None:
        super().__init__()
        self.heads, self.layer, self.window = model.heads, layer, model.window
        self.scale = (model.width // model.heads * width_ratio(model)) ** -0.5
        self.project = nn.Linear(model.width, self.parts * model.width, bias=model.bias)
        self.output = nn.Linear(model.width, model.width, bias=model.bias)

    def forward(self, x: Float[Tensor, "B T D"], position: Position, cache: Cache | None) -> Float[Tensor, "B T D"]:
        q, k, v = self._queries_keys_values(x, position, cache.length if cache else 0)
        if cache:
            k, v = cache.extend(self.layer, k, v)
        return self.output(self.mix(q, k, v).transpose(1, 2).flatten(2))

    def _queries_keys_values(
        self, x: Float[Tensor, "B T D"], position: Position, start: int
    ) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B H T d"], Float[Tensor, "B H T d"]]:
        batch, length, width = x.shape
        # Queries and keys of all heads are turned together: half the kernels.
        together = self.project(x).view(batch, length, 3 * self.heads, width // self.heads)
        qk, v = together.split((2 * self.heads, self.heads), dim=2)
        q, k = position.turn(qk, start).transpose(1, 2).split(self.heads, dim=1)
        return q, k, v.transpose(1, 2)

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
        """Which keys each query may look at; the last query stands at the last key."""
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        return torch.arange(keys, device=device) <= place

    def mix(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], v: Float[Tensor, "B H S d"]
    ) -> Float[Tensor, "B H T d"]:
        """The values, weighed by how well their keys answer each query."""
        if q.dtype == torch.bfloat16 and q.device.type == "cpu":
            # torch's CPU kernel for bfloat16 is five times slower than these three (measured with torch 2.13).
            return self.weights(q, k) @ v
        if q.shape[2] == 1 and self.sees_all(k.shape[2]):
            return F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        if q.shape[2] == k.shape[2] and self.sees_all(k.shape[2]):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        visible = self.visible(q.shape[2], k.shape[2], q.device)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=self.scale)

    def sees_all(self, keys: int) -> bool:
        """Whether a position looks back at all of so many keys, so that the causal kernel will do."""
        return True

    def weights(self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"]) -> Float[Tensor, "B H T S"]:
        """The attention probabilities, written out: what `mix` computes without ever holding them."""
        hidden = ~self.visible(q.shape[2], k.shape[2], q.device)
        mask = q.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
        # The product, its scale and the mask are one kernel; one by one they would pass over the scores four times.
        scores = torch.baddbmm(mask, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=self.scale)
        return scores.softmax(dim=-1).unflatten(0, q.shape[:2])

    def maps(self, x: Float[Tensor, "B T D"], position: Position) -> Float[Tensor, "B H T T"]:
        """What each position looks at, for an input of this layer."""
        q, k, _ = self._queries_keys_values(x, position, start=0)
        return self.weights(q, k)


class WindowAttention(Attention):
    """Attention that looks back at the last `window` tokens only, itself among them.

    Source: Beltagy et al., "Longformer: The Long-Document Transformer", 2020.
    """

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "T S"]:
        place = torch.arange(keys - queries, keys, device=device)[:, None]
        return super().visible(queries, keys, device) & (torch.arange(keys, device=device) > place - self.window)

    def sees_all(self, keys: int) -> bool:
        return keys <= self.window


class AverageAttention(Attention):
    """The plain mean of all values so far: mixing without looking, the control for what attention's choice is worth.

    Source: Zhang et al., "Accelerating Neural Transformer via an Average Attention Network", 2018.
    """

    parts = 1  # values alone

    def _queries_keys_values(
        self, x: Float[Tensor, "B T D"], position: Position, start: int
    ) -> tuple[Float[Tensor, "B H T d"], Float[Tensor, "B H T d"], Float[Tensor, "B H T d"]]:
        v = self.project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return v, v, v  # the cache wants keys; nobody reads them

    def mix(
        self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"], v: Float[Tensor, "B H S d"]
    ) -> Float[Tensor, "B H T d"]:
        return self.weights(q, k) @ v

    def weights(self, q: Float[Tensor, "B H T d"], k: Float[Tensor, "B H S d"]) -> Float[Tensor, "B H T S"]:
        visible = self.visible(q.shape[2], k.shape[2], q.device).to(q.dtype)
        return (visible / visible.sum(dim=-1, keepdim=True)).expand(*q.shape[:2], -1, -1)


ATTENTIONS: dict[str, type[Attention]] = {
    "full": Attention,
    "window": WindowAttention,
    "average": AverageAttention,
}
