"""The Transformer classifier: blocks over a sequence, pooling to one vector, a head for the classes."""

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

PADDING = -1  # the id that pads short texts to the longest of their batch


class Encoder(nn.Module):
    """Blocks over a sequence of features (bidirectional or causal), pooling and head.

    Parameters have the same names as in GPT, so that a classifier can start from the weights of a language model.

    Args:
        positions: the longest sequence.
        outputs: the number of classes, K.
    """

    def __init__(self, model: Model, positions: int, outputs: int) -> None:
        super().__init__()
        self.pooling = POOLINGS[model.pooling](model)
        self.knobs = model
        length = positions + isinstance(self.pooling, FirstPooling)
        self.position = POSITIONS[model.position](model.model_copy(update={"context_length": length}))
        self.dropout = Dropout(model.dropout, model.dropout_schedule, "embedding")
        self.blocks = nn.ModuleList(AttentionBlock(model, layer, model.causal is True) for layer in range(model.depth))
        self.final_norm = final_norm(model)
        self.head = nn.Linear(model.width, outputs, bias=model.bias)

    def init_weights(self, generator: torch.Generator) -> None:
        """Initialize all parameters, those of a subclass too."""
        adds_up = RESIDUALS[self.knobs.residual].branches_add_up
        initialise(self.named_parameters(), self.knobs, generator, branches_add_up=adds_up)

    def classes(
        self, x: Float[Tensor, "B T D"], attention_mask: Bool[Tensor, "B T"] | None, dropout_state: DropoutState | None
    ) -> Float[Tensor, "B K"]:
        """Logits of each class.

        Args:
            attention_mask: True where a position is not padding; None: everywhere.
        """
        if isinstance(self.pooling, FirstPooling):
            x = torch.cat((self.pooling.start.to(x.dtype).expand(len(x), 1, -1), x), dim=1)
            if attention_mask is not None:
                attention_mask = torch.cat((attention_mask.new_ones(len(x), 1), attention_mask), dim=1)
        mask = x.new_ones(x.shape[:2], dtype=torch.bool) if attention_mask is None else attention_mask
        return self.logits(self.pooling(self.features(x, attention_mask, dropout_state), mask))

    def features(
        self, x: Float[Tensor, "B T D"], attention_mask: Bool[Tensor, "B T"] | None, dropout_state: DropoutState | None
    ) -> Float[Tensor, "B T D"]:
        """The normalized output of the last block at each position."""
        x = self.dropout(self.position.embed(x, 0), dropout_state)
        for block in self.blocks:
            x = block(x, self.position, dropout_state, None, attention_mask)
        return self.final_norm(x)

    def logits(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """The head, applied to the vector of each example."""
        return self.head(scaled_for_head(features, self.knobs))


class Classifier(Encoder):
    """A classifier of texts: ids [B, T] in (PADDING after the end of a text), logits [B, K] out.

    Source: Devlin et al., "BERT", 2019 (bidirectional); Radford et al., "Improving Language Understanding by
    Generative Pre-Training", 2018 (causal).
    """

    def __init__(self, model: Model, vocabulary: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__(model, model.context_length, outputs)
        self.embedding = nn.Embedding(vocabulary, model.width)
        self.mixer = MIXERS[model.embedding_mixer](model, vocabulary)
        self.init_weights(generator)

    def forward(self, ids: Int[Tensor, "B T"], dropout_state: DropoutState | None = None) -> Float[Tensor, "B K"]:
        valid = ids.clamp(min=0)  # padding looks up id 0, which the mask hides
        return self.classes(self.mixer(valid, self.embedding(valid)), ids != PADDING, dropout_state)
