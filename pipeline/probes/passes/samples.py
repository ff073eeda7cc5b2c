"""A few short texts sampled from the model, which the probes of samples share."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.inference.generate import generate_batch
from pipeline.inference.trained import TrainedModel, cached

TEXTS = 16
TOKENS = 128  # of each, and no more than the context holds
TEMPERATURE = 0.8  # as in metrics/samples.md
SEED = 0


@cached
def sampled_ids(trained: TrainedModel) -> Int[Tensor, "B T"] | None:
    """Ids of 16 sampled texts; None where the model is not a language model or its logits are not finite.

    Each text begins as a document does, or, where the training text is one document, with a token of the validation split;
    that first token is left out. A text goes on beyond the end of a document.
    """
    end = trained.tokenizer.end
    if end is None:
        first = trained.batch.inputs[:, :1]
        start = first.repeat(-(-TEXTS // len(first)), 1)[:TEXTS]
    else:
        start = torch.full((TEXTS, 1), end, device=trained.runtime.device)
    tokens, generator = min(TOKENS, trained.batch.inputs.shape[1]), torch.Generator().manual_seed(SEED)
    return generate_batch(trained, start, tokens=tokens, temperature=TEMPERATURE, generator=generator)
