"""The Transformer: embeddings, a stack of blocks, a head. Every knob of params.yaml's `model` section is a table entry here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS, Attention, KVCache
from pipeline.networks.dropout import Dropout, DropoutState, StochasticDepth
from pipeline.networks.image_norms import IMAGE_NORMS, with_state
from pipeline.networks.inits import initialise, scaled_for_head
from pipeline.networks.mixers import MIXERS
from pipeline.networks.norms import NORMS
from pipeline.networks.positions import POSITIONS, Position
from pipeline.networks.residuals import BRANCHES, RESIDUALS, Branch
from pipeline.params.model import Model


class FeedForward(nn.Module):
    """Two matrices with an activation between them, each position by itself."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[model.activation]
        hidden = round(model.mlp_ratio * model.width)
        self.up = nn.Linear(model.width, self.activation.inputs * hidden, bias=model.bias)
        self.down = nn.Linear(hidden, model.width, bias=model.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down(self.activation.function(self.up(x)))


class Block(nn.Module):
    """A layer that gathers from other positions, then feed-forward, each a branch off the residual stream.

    Args:
        gathers: what the layer that gathers is called; `gather` is that layer.
    """

    def __init__(self, model: Model, layer: int, gathers: str, gather: nn.Module) -> None:
        super().__init__()
        residual = RESIDUALS[model.residual]
        self.norms = nn.ModuleList(norm_for(model) for _ in range(residual.norms))
        self.add_module(gathers, gather)
        self.feed_forward = FeedForward(model)
        self.residual = residual(model)
        self.dropouts, self.layer_dropouts = nn.ModuleList(), nn.ModuleList()
        for number, branch in enumerate((gathers, "feed_forward"), start=1):
            site, depth = f"{layer} {branch}", (BRANCHES * layer + number) / (BRANCHES * model.depth)
            self.dropouts.append(Dropout(model.dropout, model.dropout_schedule, site))
            self.layer_dropouts.append(StochasticDepth(model.stochastic_depth * depth, model.dropout_schedule, f"{site} layer"))

    def forward(self, *inputs: Any) -> Tensor:
        """The stream behind this block."""
        raise NotImplementedError

    def through(
        self, x: Float[Tensor, "B T D"], gather: Callable[[Tensor], Tensor], noise: DropoutState | None
    ) -> Float[Tensor, "B T D"]:
        """The stream behind both branches."""
        norms = [with_state(norm, noise) for norm in self.norms]
        branches = (Branch(gather, self._kept(0, noise)), Branch(self.feed_forward, self._kept(1, noise)))
        return self.residual(x, norms, branches)

    def _kept(self, branch: int, noise: DropoutState | None) -> Callable[[Tensor], Tensor]:
        """What the dropouts of a branch let through of what it adds."""
        return lambda y: self.layer_dropouts[branch](self.dropouts[branch](y, noise), noise)


class AttentionBlock(Block):
    """Attention, then feed-forward."""

    attention: Attention

    def __init__(self, model: Model, layer: int, causal: bool = True) -> None:
        super().__init__(model, layer, "attention", ATTENTIONS[model.attention](model, layer, causal))

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        position: Position,
        noise: DropoutState | None,
        cache: KVCache | None = None,
        real: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        return self.through(x, lambda y: self.attention(y, position, cache, real), noise)


def final_norm(model: Model) -> nn.Module:
    """The norm between the last block and the head, where the kind of residual leaves one to do."""
    return norm_for(model) if RESIDUALS[model.residual].final_norm else NORMS["none"](model.width, model.bias)


def norm_for(model: Model) -> nn.Module:
    """A norm of the kind that the knob names."""
    return {**NORMS, **IMAGE_NORMS}[model.norm](model.width, model.bias)


class GPT(nn.Module):
    """A causal language model: ids in, logits for the id that follows each out.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.

    Args:
        model: the knobs.
        vocabulary: how many different ids there are.
        generator: draws the weights.
    """

    def __init__(self, model: Model, vocabulary: int, generator: torch.Generator) -> None:
        super().__init__()
        self.knobs = model
        self.embedding = nn.Embedding(vocabulary, model.width)
        self.mixer = MIXERS[model.embedding_mixer](model, vocabulary)
        self.position = POSITIONS[model.position](model)
        self.dropout = Dropout(model.dropout, model.dropout_schedule, "embedding")
        self.blocks = nn.ModuleList(AttentionBlock(model, layer) for layer in range(model.depth))
        self.final_norm = final_norm(model)
        self.head = nn.Linear(model.width, vocabulary, bias=False)
        if model.tie_embeddings:
            self.head.weight = self.embedding.weight
        initialise(self.named_parameters(), model, generator, branches_add_up=RESIDUALS[model.residual].branches_add_up)

    def forward(
        self, ids: Int[Tensor, "B T"], noise: DropoutState | None = None, cache: KVCache | None = None
    ) -> Float[Tensor, "B T V"]:
        """Logits. With `noise` as in training, without it as in use; with `cache` the ids go on where it ends."""
        return self.logits(self.features(ids, noise, cache))

    def features(
        self, ids: Int[Tensor, "B T"], noise: DropoutState | None = None, cache: KVCache | None = None
    ) -> Float[Tensor, "B T D"]:
        """What the last block leaves, normed: all that the head reads."""
        start = cache.length if cache else 0
        assert start + ids.shape[1] <= self.knobs.context_length, "more ids than the context holds"
        x = self.dropout(self.position.embed(self._mixed(ids, cache), start), noise)
        for block in self.blocks:
            x = block(x, self.position, noise, cache)
        if cache:
            cache.length = start + ids.shape[1]
        return self.final_norm(x)

    def _mixed(self, ids: Int[Tensor, "B T"], cache: KVCache | None) -> Float[Tensor, "B T D"]:
        """The embeddings, mixed; after a cache with those that the mixer looks back at, which are cut off again."""
        if not cache:
            return self.mixer(ids, self.embedding(ids))
        stretch = torch.cat((cache.before, ids), dim=1)
        cache.before = stretch[:, max(0, stretch.shape[1] - self.mixer.reach) :]
        return self.mixer(stretch, self.embedding(stretch))[:, -ids.shape[1] :]

    def logits(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """What the head makes of some features; apart, so that a loss may take them in pieces."""
        return self.head(scaled_for_head(features, self.knobs))

    def new_cache(self, batch: int) -> KVCache:
        """An empty cache for a batch of sequences, with room for the whole context."""
        weight = self.embedding.weight
        knobs = self.knobs
        shape = (batch, knobs.kv_heads or knobs.heads, knobs.context_length, knobs.width // knobs.heads)
        room = [torch.zeros(shape, device=weight.device, dtype=weight.dtype) for _ in range(2 * len(self.blocks))]
        return KVCache(room[::2], room[1::2], before=torch.empty(batch, 0, dtype=torch.long, device=weight.device))
