"""The Transformer: embeddings, a stack of blocks, a head. Every knob of params.yaml's `model` section is a table entry here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS, Cache
from pipeline.networks.dropout import Dropout, LayerDropout, Noise
from pipeline.networks.inits import initialise, width_ratio
from pipeline.networks.mixers import MIXERS
from pipeline.networks.norms import NORMS
from pipeline.networks.positions import POSITIONS, Position
from pipeline.networks.residuals import BRANCHES, RESIDUALS, Branch
from pipeline.params import Model


class FeedForward(nn.Module):
    """Two matrices with an activation between them, each position by itself."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[model.activation]
        hidden = round(model.expansion * model.width)
        self.up = nn.Linear(model.width, self.activation.inputs * hidden, bias=model.bias)
        self.down = nn.Linear(hidden, model.width, bias=model.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down(self.activation.function(self.up(x)))


class Block(nn.Module):
    """Attention, then feed-forward, each a branch off the residual stream."""

    def __init__(self, model: Model, layer: int) -> None:
        super().__init__()
        residual = RESIDUALS[model.residual]
        self.norms = nn.ModuleList(NORMS[model.norm](model.width, model.bias) for _ in range(residual.norms))
        self.attention = ATTENTIONS[model.attention](model, layer)
        self.feed_forward = FeedForward(model)
        self.residual = residual(model)
        self.dropouts, self.layer_dropouts = nn.ModuleList(), nn.ModuleList()
        for number, branch in enumerate(("attention", "feed_forward"), start=1):
            site, depth = f"{layer} {branch}", (BRANCHES * layer + number) / (BRANCHES * model.depth)
            self.dropouts.append(Dropout(model.dropout, model.dropout_schedule, site))
            self.layer_dropouts.append(LayerDropout(model.layer_dropout * depth, model.dropout_schedule, f"{site} layer"))

    def forward(
        self, x: Float[Tensor, "B T D"], position: Position, noise: Noise | None, cache: Cache | None
    ) -> Float[Tensor, "B T D"]:
        def attend(y: Tensor) -> Tensor:
            return self.attention(y, position, cache)

        def kept(branch: int) -> Callable[[Tensor], Tensor]:
            return lambda y: self.layer_dropouts[branch](self.dropouts[branch](y, noise), noise)

        return self.residual(x, self.norms, (Branch(attend, kept(0)), Branch(self.feed_forward, kept(1))))


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
        self.mixer = MIXERS[model.mixer](model, vocabulary)
        self.position = POSITIONS[model.position](model)
        self.dropout = Dropout(model.dropout, model.dropout_schedule, "embedding")
        self.blocks = nn.ModuleList(Block(model, layer) for layer in range(model.depth))
        final_norm = model.norm if RESIDUALS[model.residual].final_norm else "none"
        self.final_norm = NORMS[final_norm](model.width, model.bias)
        self.head = nn.Linear(model.width, vocabulary, bias=False)
        if model.tied:
            self.head.weight = self.embedding.weight
        initialise(self.named_parameters(), model, generator, branches_add_up=RESIDUALS[model.residual].branches_add_up)

    def forward(
        self, ids: Int[Tensor, "B T"], noise: Noise | None = None, cache: Cache | None = None
    ) -> Float[Tensor, "B T V"]:
        """Logits. With `noise` as in training, without it as in use; with `cache` the ids go on where it ends."""
        return self.logits(self.features(ids, noise, cache))

    def features(
        self, ids: Int[Tensor, "B T"], noise: Noise | None = None, cache: Cache | None = None
    ) -> Float[Tensor, "B T D"]:
        """What the last block leaves, normed: all that the head reads."""
        start = cache.length if cache else 0
        assert start + ids.shape[1] <= self.knobs.length, "more ids than the context holds"
        x = self.dropout(self.position.embed(self._mixed(ids, cache), start), noise)
        for block in self.blocks:
            x = block(x, self.position, noise, cache)
        if cache:
            cache.length = start + ids.shape[1]
        return self.final_norm(x)

    def _mixed(self, ids: Int[Tensor, "B T"], cache: Cache | None) -> Float[Tensor, "B T D"]:
        """The embeddings, mixed; after a cache with those that the mixer looks back at, which are cut off again."""
        if not cache:
            return self.mixer(ids, self.embedding(ids))
        stretch = torch.cat((cache.before, ids), dim=1)
        cache.before = stretch[:, max(0, stretch.shape[1] - self.mixer.reach) :]
        return self.mixer(stretch, self.embedding(stretch))[:, -ids.shape[1] :]

    def logits(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """What the head makes of some features; apart, so that a loss may take them in pieces."""
        if (ratio := width_ratio(self.knobs)) != 1:
            features = features / ratio
        return self.head(features)

    def new_cache(self, batch: int) -> Cache:
        """An empty cache for a batch of sequences, with room for the whole context."""
        weight = self.embedding.weight
        knobs = self.knobs
        shape = (batch, knobs.kv_heads or knobs.heads, knobs.length, knobs.width // knobs.heads)
        room = [torch.zeros(shape, device=weight.device, dtype=weight.dtype) for _ in range(2 * len(self.blocks))]
        return Cache(room[::2], room[1::2], before=torch.empty(batch, 0, dtype=torch.long, device=weight.device))
