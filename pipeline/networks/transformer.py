"""The Transformer: embeddings, a stack of blocks, a head. Knobs of the section `model` choose its parts from tables."""

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
    """The MLP of a block: down(activation(up(x))), at each position separately."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[model.activation]
        hidden = round(model.mlp_ratio * model.width)
        self.up = nn.Linear(model.width, self.activation.inputs * hidden, bias=model.bias)
        self.down = nn.Linear(hidden, model.width, bias=model.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down(self.activation.function(self.up(x)))


class Block(nn.Module):
    """A token mixer (attention or convolution), then feed-forward, each a branch off the residual stream.

    Args:
        layer: the index of the block.
        mixer_name: the attribute under which the token mixer is registered.
        token_mixer: the layer that mixes positions, [B, T, D] -> [B, T, D].
    """

    def __init__(self, model: Model, layer: int, mixer_name: str, token_mixer: nn.Module) -> None:
        super().__init__()
        residual = RESIDUALS[model.residual]
        self.norms = nn.ModuleList(norm_for(model) for _ in range(residual.norms))
        self.add_module(mixer_name, token_mixer)
        self.feed_forward = FeedForward(model)
        self.residual = residual(model)
        self.dropouts, self.stochastic_depths = nn.ModuleList(), nn.ModuleList()
        for number, branch in enumerate((mixer_name, "feed_forward"), start=1):
            site, depth = f"{layer} {branch}", (BRANCHES * layer + number) / (BRANCHES * model.depth)
            self.dropouts.append(Dropout(model.dropout, model.dropout_schedule, site))
            self.stochastic_depths.append(
                StochasticDepth(model.stochastic_depth * depth, model.dropout_schedule, f"{site} layer")
            )

    def forward(self, *inputs: Any) -> Tensor:
        """The residual stream after this block."""
        raise NotImplementedError

    def add_branches(
        self, x: Float[Tensor, "B T D"], token_mixer: Callable[[Tensor], Tensor], dropout_state: DropoutState | None
    ) -> Float[Tensor, "B T D"]:
        """The residual stream after both branches."""
        norms = [with_state(norm, dropout_state) for norm in self.norms]
        branches = (
            Branch(token_mixer, self._dropouts(0, dropout_state)),
            Branch(self.feed_forward, self._dropouts(1, dropout_state)),
        )
        return self.residual(x, norms, branches)

    def _dropouts(self, branch: int, dropout_state: DropoutState | None) -> Callable[[Tensor], Tensor]:
        """Dropout and stochastic depth of the output of a branch."""
        return lambda y: self.stochastic_depths[branch](self.dropouts[branch](y, dropout_state), dropout_state)


class AttentionBlock(Block):
    """Attention, then feed-forward."""

    attention: Attention

    def __init__(self, model: Model, layer: int, causal: bool = True) -> None:
        super().__init__(model, layer, "attention", ATTENTIONS[model.attention](model, layer, causal))

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        position: Position,
        dropout_state: DropoutState | None,
        cache: KVCache | None = None,
        attention_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        return self.add_branches(x, lambda y: self.attention(y, position, cache, attention_mask), dropout_state)


def final_norm(model: Model) -> nn.Module:
    """The norm between the last block and the head, if the kind of residual needs one."""
    return norm_for(model) if RESIDUALS[model.residual].final_norm else NORMS["none"](model.width, model.bias)


def norm_for(model: Model) -> nn.Module:
    """A norm of the kind that the knob `norm` names."""
    return {**NORMS, **IMAGE_NORMS}[model.norm](model.width, model.bias)


class GPT(nn.Module):
    """A causal language model: ids [B, T] in, logits [B, T, V] of the next id at each position out.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.

    Args:
        model: the knobs.
        vocabulary: the number of ids, V.
        generator: for the initial weights.
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
        self, ids: Int[Tensor, "B T"], dropout_state: DropoutState | None = None, cache: KVCache | None = None
    ) -> Float[Tensor, "B T V"]:
        """Logits, in training mode with a `dropout_state`, else in evaluation mode; with `cache`, ids continue its context."""
        return self.logits(self.features(ids, dropout_state, cache))

    def features(
        self, ids: Int[Tensor, "B T"], dropout_state: DropoutState | None = None, cache: KVCache | None = None
    ) -> Float[Tensor, "B T D"]:
        """The normalized output of the last block, which the head reads."""
        start = cache.length if cache else 0
        assert start + ids.shape[1] <= self.knobs.context_length, "more ids than the context holds"
        x = self.dropout(self.position.embed(self._mixed(ids, cache), start), dropout_state)
        for block in self.blocks:
            x = block(x, self.position, dropout_state, cache)
        if cache:
            cache.length = start + ids.shape[1]
        return self.final_norm(x)

    def _mixed(self, ids: Int[Tensor, "B T"], cache: KVCache | None) -> Float[Tensor, "B T D"]:
        """Embeddings after the embedding mixer; with a cache, computed with the last ids before them, then cut off."""
        if not cache:
            return self.mixer(ids, self.embedding(ids))
        window = torch.cat((cache.recent_ids, ids), dim=1)
        cache.recent_ids = window[:, max(0, window.shape[1] - self.mixer.reach) :]
        return self.mixer(window, self.embedding(window))[:, -ids.shape[1] :]

    def logits(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """The head alone, so that a loss can compute logits in chunks."""
        return self.head(scaled_for_head(features, self.knobs))

    def new_cache(self, batch: int) -> KVCache:
        """An empty KV cache for a batch of sequences, with capacity for the whole context."""
        weight = self.embedding.weight
        knobs = self.knobs
        shape = (batch, knobs.kv_heads or knobs.heads, knobs.context_length, knobs.width // knobs.heads)
        buffers = [torch.zeros(shape, device=weight.device, dtype=weight.dtype) for _ in range(2 * len(self.blocks))]
        return KVCache(buffers[::2], buffers[1::2], recent_ids=torch.empty(batch, 0, dtype=torch.long, device=weight.device))
