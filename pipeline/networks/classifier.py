"""The classifier: the Transformer's blocks over a sequence, made into one vector, of which a head reads the class."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.networks.dropout import Dropout, DropoutState
from pipeline.networks.inits import initialise, scaled_for_head
from pipeline.networks.mixers import MIXERS
from pipeline.networks.pooling import POOLINGS, FirstPooling
from pipeline.networks.positions import POSITIONS
from pipeline.networks.residuals import RESIDUALS
from pipeline.networks.transformer import AttentionBlock, final_norm
from pipeline.params.model import Model

PADDING = -1  # an id that is none: what fills a short text up to the longest of its batch


class Encoder(nn.Module):
    """Blocks over a sequence of features, looking to both sides or back only, and what makes one vector of them.

    Its parts have the names that they have in GPT, so that one can begin with the weights of the other.

    Args:
        positions: how long a sequence may be.
        outputs: how many classes there are.
    """

    def __init__(self, model: Model, positions: int, outputs: int) -> None:
        super().__init__()
        self.pooling = POOLINGS[model.pooling](model)
        self.knobs = model
        places = positions + isinstance(self.pooling, FirstPooling)
        self.position = POSITIONS[model.position](model.model_copy(update={"context_length": places}))
        self.dropout = Dropout(model.dropout, model.dropout_schedule, "embedding")
        self.blocks = nn.ModuleList(AttentionBlock(model, layer, model.causal is True) for layer in range(model.depth))
        self.final_norm = final_norm(model)
        self.head = nn.Linear(model.width, outputs, bias=model.bias)

    def draw(self, generator: torch.Generator) -> None:
        """Draw all weights, those of a subclass too."""
        adds_up = RESIDUALS[self.knobs.residual].branches_add_up
        initialise(self.named_parameters(), self.knobs, generator, branches_add_up=adds_up)

    def classes(
        self, x: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"] | None, noise: DropoutState | None
    ) -> Float[Tensor, "B K"]:
        """Logits of each class.

        Args:
            real: which places are no padding; None: all of them.
        """
        if isinstance(self.pooling, FirstPooling):
            x = torch.cat((self.pooling.start.to(x.dtype).expand(len(x), 1, -1), x), dim=1)
            real = None if real is None else torch.cat((real.new_ones(len(x), 1), real), dim=1)
        counted = x.new_ones(x.shape[:2], dtype=torch.bool) if real is None else real
        return self.logits(self.pooling(self.features(x, real, noise), counted))

    def features(
        self, x: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"] | None, noise: DropoutState | None
    ) -> Float[Tensor, "B T D"]:
        """What the last block leaves at each place, normed."""
        x = self.dropout(self.position.embed(x, 0), noise)
        for block in self.blocks:
            x = block(x, self.position, noise, None, real)
        return self.final_norm(x)

    def logits(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """What the head makes of the vector of an example."""
        return self.head(scaled_for_head(features, self.knobs))


class Classifier(Encoder):
    """Of which class is a text? Ids in (PADDING where a text has ended), logits of each class out.

    Source: Devlin et al., "BERT", 2019 (looking to both sides); Radford et al., "Improving Language Understanding by
    Generative Pre-Training", 2018 (looking back only).
    """

    def __init__(self, model: Model, vocabulary: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__(model, model.context_length, outputs)
        self.embedding = nn.Embedding(vocabulary, model.width)
        self.mixer = MIXERS[model.embedding_mixer](model, vocabulary)
        self.draw(generator)

    def forward(self, ids: Int[Tensor, "B T"], noise: DropoutState | None = None) -> Float[Tensor, "B K"]:
        some = ids.clamp(min=0)  # what is looked up in place of padding is seen by nobody
        return self.classes(self.mixer(some, self.embedding(some)), ids != PADDING, noise)
