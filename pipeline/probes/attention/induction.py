"""Which heads find what came before? Scores on random tokens that are written twice, where nothing else can tell."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.inference.trained import Subject, once
from pipeline.probes.passes.forward_backward import Forward, head_names, run
from pipeline.readings import Axis, Reading, column

EXAMPLES = 16
SEED = 0


def previous_token(subject: Subject) -> Reading | None:
    """What each head gives to the token just before, mean over the queries of random tokens; 0 .. 1.

    On random tokens, so that it is the place and not the content that is looked at. A head that looks at all alike has
    ln T / T or so (.04 of 128 tokens).

    Healthy: in a network of two blocks or more that learned text, some head of an early block above .4 or so. With a mixer
    (smear, convolution) no head is needed for it, and often none is found.

    Distrust: with alibi or a narrow window every head looks near by, whatever it learned.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """
    if not subject.writes:
        return None
    scores = []
    for look in _passed(subject)[1].looks:
        parts = [maps.diagonal(offset=-1, dim1=-2, dim2=-1) for maps in look.maps()]
        scores += torch.cat(parts).cpu().double().mean(dim=(0, 2)).tolist()
    return column(
        "previous_token",
        Axis("head", head_names(subject)),
        scores,
        subject.step,
        quantity="probability of the token before",
        says="How much each head (layer.head) looks at the token just before, on random tokens. Healthy: often one early head"
        " that does little else, the first half of copying; with a mixer none is needed.",
        about="attention",
        span=(0, 1),
    )


def induction(subject: Subject) -> Reading | None:
    """What each head gives, from a token of a second copy, to the one that followed it in the first; mean over these; 0 .. 1.

    Each example is a block of different random tokens, written over and over; blocks are of different lengths, so that no
    fixed distance will do. It is asked for on the second copy. No such reading of contexts of fewer than 8 tokens.

    Healthy: where text repeats itself, some head of the second block or later above .4 (.73 and .85 were seen, in two layers on
    repeated symbols; at most .12 in one layer), rising at once during training as the loss takes a step down.

    Distrust: it is a pattern of attention, and no proof that the head copies. With a mixer one block is enough. What a narrow
    window cannot reach is 0.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """
    if not subject.writes or subject.batch.inputs.shape[1] < 8:
        return None
    lengths, trace = _passed(subject)
    scores = []
    for look in trace.looks:
        found, first = [], 0
        for maps in look.maps():
            for example, size in zip(maps, lengths[first:], strict=False):
                queries = torch.arange(size, 2 * size - 1)
                found.append(example[:, queries, queries - size + 1].cpu().double())
            first += len(maps)
        scores += torch.cat(found, dim=-1).mean(dim=-1).tolist()
    return column(
        "induction",
        Axis("head", head_names(subject)),
        scores,
        subject.step,
        quantity="probability of what followed the first copy",
        says="How much each head (layer.head) looks, from a repeated random token, at what followed its first copy. Healthy:"
        " where text repeats itself, a head that rises above 0.4 in mid-training; flat near 0 means that nothing is copied.",
        about="attention",
        span=(0, 1),
    )


@once
def _passed(subject: Subject) -> tuple[list[int], Forward]:
    """(length of the block of each example, the pass over them)."""
    lengths, ids = repeated(subject.tokenizer.vocabulary, subject.tokenizer.end, subject.batch.inputs.shape[1])
    return lengths, run(subject, ids.to(subject.runtime.device))


def repeated(vocabulary: int, end: int | None, length: int) -> tuple[list[int], Int[Tensor, "B T"]]:
    """(lengths, ids): in each example a block of random tokens, all different, again and again. From a generator of its own."""
    generator = torch.Generator().manual_seed(SEED)
    words = vocabulary - (end is not None)  # the end of a document is the last id
    longest = min(length // 2, words)
    shortest = max(1, longest // 2)
    lengths = torch.randint(shortest, longest + 1, (EXAMPLES,), generator=generator).tolist()
    blocks = [torch.randperm(words, generator=generator)[:size] for size in lengths]
    return lengths, torch.stack([block.repeat(-(-length // len(block)))[:length] for block in blocks])
