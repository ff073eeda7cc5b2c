"""What does a model write by itself? Some texts at once, a token of each at a time."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.inference.trained import Subject, once
from pipeline.networks.transformer import GPT

TEXTS = 16
TOKENS = 128  # of each, and no more than the context holds
TEMPERATURE = 0.8  # as in metrics/samples.md
SEED = 0


@once
def written(subject: Subject) -> Int[Tensor, "B T"] | None:
    """Ids that the model writes, from a generator of its own; None where it writes no text or what it says are no numbers.

    Each text begins as a document does, or, where the text that it learned from is one document, with a held-out token; that
    first token is left out. It goes on over the end of a document.
    """
    model, end = subject.model, subject.tokenizer.end
    if not isinstance(model, GPT):
        return None
    if end is None:
        heads = subject.batch.inputs[:, :1]
        unread = heads.repeat(-(-TEXTS // len(heads)), 1)[:TEXTS]
    else:
        unread = torch.full((TEXTS, 1), end, device=subject.runtime.device)
    generator, cache, threads = torch.Generator().manual_seed(SEED), model.new_cache(TEXTS), torch.get_num_threads()
    tokens = list[Tensor]()
    torch.set_num_threads(1)  # a token of each is too little work for two
    try:
        for _ in range(min(TOKENS, subject.batch.inputs.shape[1])):
            with torch.inference_mode(), subject.runtime.autocast():
                logits = model(unread, cache=cache)[:, -1].float().cpu()
            if not bool(logits.isfinite().all()):
                return None
            # The maximum of logits plus Gumbel noise falls on each token with its probability (see evaluation/samples.py).
            waiting = torch.empty_like(logits).exponential_(generator=generator)
            tokens.append((logits / TEMPERATURE - waiting.log_()).argmax(dim=-1, keepdim=True))
            unread = tokens[-1].to(subject.runtime.device)
    finally:
        torch.set_num_threads(threads)
    return torch.cat(tokens, dim=1)
