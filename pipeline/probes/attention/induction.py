"""Induction and previous-token scores of heads, on repeated random tokens."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.inference.trained import TrainedModel, cached
from pipeline.probes.passes.forward import AttentionInput, Forward, run
from pipeline.probes.passes.frames import per_head
from pipeline.readings import Reading

EXAMPLES = 16
SEED = 0


def previous_token(trained: TrainedModel) -> Reading | None:
    """The probability that each head gives to the token just before, mean over the queries of random tokens; 0 .. 1.

    On random tokens, so that the position is what is attended to and not the content. A head that attends evenly has about
    ln T / T (.04 for 128 tokens).

    Healthy: in a network of two blocks or more that learned text, some head of an early block above .4 or so. With an
    embedding mixer (smear, convolution) no head is needed for it, and often there is none.

    Distrust: with alibi or a narrow window every head attends to near tokens, whatever it learned.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """
    if not trained.is_language_model:
        return None

    def of_previous(attention: AttentionInput) -> list[float]:
        parts = [maps.diagonal(offset=-1, dim1=-2, dim2=-1) for maps in attention.maps()]
        means: list[float] = torch.cat(parts).cpu().double().mean(dim=(0, 2)).tolist()
        return means

    return per_head(
        trained,
        "previous_token",
        of_previous,
        _pass_over_repeats(trained)[1],
        quantity="probability of the previous token",
        says="How much each head (layer.head) attends to the token just before, on random tokens. Healthy: often one early head"
        " that does little else, the first half of an induction circuit; with an embedding mixer none is needed.",
        span=(0, 1),
    )


def induction(trained: TrainedModel) -> Reading | None:
    """The probability that each head gives, from a token of the second copy, to the token after its first copy; mean; 0 .. 1.

    Each example is a block of different random tokens, repeated over and over; blocks have different lengths, so that no
    fixed distance works. It is read on the second copy. No such reading of contexts of fewer than 8 tokens.

    Healthy: where text repeats itself, some head of the second block or later above .4 (.73 and .85 were seen, in two layers on
    repeated symbols; at most .12 in one layer), rising suddenly during training as the loss takes a step down.

    Distrust: it is an attention pattern, which does not prove that the head copies. With an embedding mixer one block is
    enough. What a narrow window cannot reach is 0.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """
    if not trained.is_language_model or trained.batch.inputs.shape[1] < 8:
        return None
    lengths, trace = _pass_over_repeats(trained)

    def of_next_of_first_copy(attention: AttentionInput) -> list[float]:
        found, first = [], 0
        for maps in attention.maps():
            for example, size in zip(maps, lengths[first:], strict=False):
                queries = torch.arange(size, 2 * size - 1)
                found.append(example[:, queries, queries - size + 1].cpu().double())
            first += len(maps)
        means: list[float] = torch.cat(found, dim=-1).mean(dim=-1).tolist()
        return means

    return per_head(
        trained,
        "induction",
        of_next_of_first_copy,
        trace,
        quantity="probability of the token after the first copy",
        says="How much each head (layer.head) attends, from a repeated random token, to the token after its first copy."
        " Healthy: where text repeats itself, a head that rises above 0.4 in mid-training; flat near 0, nothing is copied.",
        span=(0, 1),
    )


@cached
def _pass_over_repeats(trained: TrainedModel) -> tuple[list[int], Forward]:
    """(length of the block of each example, the forward pass over them)."""
    lengths, ids = repeated(trained.tokenizer.vocabulary, trained.tokenizer.end, trained.batch.inputs.shape[1])
    return lengths, run(trained, ids.to(trained.runtime.device))


def repeated(vocabulary: int, end: int | None, length: int) -> tuple[list[int], Int[Tensor, "B T"]]:
    """(lengths, ids): in each example a block of different random tokens, repeated. It has a random generator of its own."""
    generator = torch.Generator().manual_seed(SEED)
    words = vocabulary - (end is not None)  # the end of a document is the last id
    longest = min(length // 2, words)
    shortest = max(1, longest // 2)
    lengths = torch.randint(shortest, longest + 1, (EXAMPLES,), generator=generator).tolist()
    blocks = [torch.randperm(words, generator=generator)[:size] for size in lengths]
    return lengths, torch.stack([block.repeat(-(-length // len(block)))[:length] for block in blocks])
