"""What a network is seen to do in the middle of a training: numbers of the probes, and the loss on what is repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.artifacts import tokenizer_of
from pipeline.corpus.tokenizers import load
from pipeline.engine.checkpoint import Progress
from pipeline.engine.runtime import Runtime
from pipeline.probes.base import Subject
from pipeline.probes.copying import repeated
from pipeline.probes.numbers import NUMBERS, summary
from pipeline.probes.passes import forward
from pipeline.probes.table import PROBES
from pipeline.tasks.base import Task

SEQUENCES = 16  # of the fixed batch, as params.yaml has it


def numbers_of(progress: Progress, task: Task, tokens: Path, runtime: Runtime, wanted: tuple[str, ...]) -> dict[str, float]:
    """Measures that read the network, by name: of NUMBERS of the probes, or of READERS here."""
    with progress.optimizer.reading():
        tokenizer = load(tokenizer_of(tokens))
        subject = Subject(progress.model, task, tokenizer, runtime, progress.step, SEQUENCES, toy="")
        needed = {NUMBERS[name][0] for name in wanted if name in NUMBERS}
        readings = {name: reading for name in needed if (reading := PROBES[name].read(subject)) is not None}
        own = {name: READERS[name](subject) for name in wanted if name in READERS}
        return {name: value for name, value in summary(readings).items() if name in wanted} | own


@torch.no_grad()
def repeat_loss(subject: Subject) -> float:
    """Nats a token, on the second copies of blocks of random tokens, each block of another length; the first token of a copy is
    left out, which nothing foretells.

    ln V where nothing is copied, 0 where all is.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """
    lengths, ids = repeated(subject.tokenizer.vocabulary, subject.tokenizer.end, subject.batch.inputs.shape[1])
    losses = []
    surprises = -subject.model(ids.to(subject.runtime.device)).float().log_softmax(dim=-1)
    for example, size, said in zip(ids, lengths, surprises, strict=True):
        places = torch.arange(size, 2 * size - 1)  # from the first token of the copy on, the next one is foretold
        losses.append(said[places, example[places + 1].to(said.device)])
    return float(torch.cat(losses).mean())


@torch.no_grad()
def token_spread(subject: Subject) -> float:
    """How far the features of different tokens, after the last block, are from their mean: its root mean square over theirs.

    Near 1 where tokens differ in most of what they are; 0 where all have become one, whose differences the rounding makes. (Of
    those an effective rank says nothing: rounding has as many directions as there are.)

    Source: Dong et al., "Attention is not all you need: pure attention loses rank doubly exponentially with depth", 2021 (its
    residual, the distance from the nearest matrix of equal rows, relative).
    """
    tokens = forward(subject).streams[-1].flatten(0, 1).double()
    return float((tokens - tokens.mean(dim=0)).norm() / tokens.norm())


READERS: dict[str, Callable[[Subject], float]] = {
    "repeat_loss": repeat_loss,
    "token_spread": token_spread,
}
