"""The Transformer: embeddings, a stack of blocks, a head. Every knob of params.yaml's `model` section is a table entry here."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.networks.activations import ACTIVATIONS
from pipeline.networks.attention import ATTENTIONS, Cache
from pipeline.networks.dropout import Dropout, Noise
from pipeline.networks.inits import initialise, width_ratio
from pipeline.networks.mixers import MIXERS
from pipeline.networks.norms import NORMS
from pipeline.networks.positions import POSITIONS, Position
from pipeline.networks.residuals import RESIDUALS
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
        self.norms = nn.ModuleList(NORMS[model.norm](model.width, model.bias) for _ in range(2))
        self.attention = ATTENTIONS[model.attention](model, layer)
        self.feed_forward = FeedForward(model)
        self.residual = RESIDUALS[model.residual](branches=2)
        self.dropouts = nn.ModuleList(
            Dropout(model.dropout, model.dropout_schedule, f"{layer} {branch}") for branch in ("attention", "feed_forward")
        )

    def forward(
        self, x: Float[Tensor, "B T D"], position: Position, noise: Noise | None, cache: Cache | None
    ) -> Float[Tensor, "B T D"]:
        def attend(y: Tensor) -> Tensor:
            return self.dropouts[0](self.attention(y, position, cache), noise)

        def feed(y: Tensor) -> Tensor:
            return self.dropouts[1](self.feed_forward(y), noise)

        return self.residual(x, zip(self.norms, (attend, feed), strict=True))


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
        self.mixer = MIXERS[model.mixer](model.width)
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
        embedded = self.embedding(ids)
        x = self.mixer(embedded, cache.before if cache else torch.zeros_like(embedded[:, :1]))
        x = self.dropout(self.position.embed(x, start), noise)
        for block in self.blocks:
            x = block(x, self.position, noise, cache)
        if cache:
            cache.length, cache.before = start + ids.shape[1], embedded[:, -1:]
        return self.final_norm(x)

    def logits(self, features: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """What the head makes of some features; apart, so that a loss may take them in pieces."""
        if (ratio := width_ratio(self.knobs)) != 1:
            features = features / ratio
        return self.head(features)

    def new_cache(self, batch: int) -> Cache:
        """An empty cache for a batch of sequences, with room for the whole context."""
        weight = self.embedding.weight
        shape = (batch, self.knobs.heads, self.knobs.length, self.knobs.width // self.knobs.heads)
        room = [torch.zeros(shape, device=weight.device, dtype=weight.dtype) for _ in range(2 * len(self.blocks))]
        return Cache(room[::2], room[1::2], before=weight.new_zeros(batch, 1, self.knobs.width))
