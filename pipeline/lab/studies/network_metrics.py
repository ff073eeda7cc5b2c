"""What a network is seen to do in the middle of a training: numbers of the probes, and what a study alone asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.artifacts.paths import tokenizer_of
from pipeline.engine.checkpoint import Progress
from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.trained import TrainedModel
from pipeline.params.errors import UserError
from pipeline.params.stages import Probe
from pipeline.probes.attention.induction import repeated
from pipeline.probes.passes.forward import forward
from pipeline.probes.summary import NUMBERS, summary
from pipeline.probes.table import PROBES
from pipeline.tasks.base import Task
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.table import load

EXAMPLES = 4096  # of a split, spread evenly, on which what is right is counted
TOGETHER = 512  # of them at a time
QUESTIONS = 512  # that are asked of what answers
ITERATIONS = 20  # of the search for the sharpest direction, where params.yaml says none


def numbers_of(
    progress: Progress, task: Task, tokens: Path, runtime: Runtime, probe: Probe, wanted: tuple[str, ...]
) -> dict[str, float]:
    """What is wanted of the network, by name: of NUMBERS of the probes, or of READERS here."""
    with progress.optimizer.eval_weights():
        reads = load(saved) if (saved := tokenizer_of(tokens)).exists() else None  # who looks at images reads nothing
        iterations = probe.sharpness_iterations or ITERATIONS
        subject = TrainedModel(progress.model, task, reads, runtime, progress.step, probe.sequences, "", iterations)
        own = {name: READERS[name](subject) for name in wanted if name in READERS}
        needed = {NUMBERS[name][0] for name in wanted if name in NUMBERS and name not in own}
        readings = {name: reading for name in needed if (reading := PROBES[name].read(subject)) is not None}
        return {name: value for name, value in summary(readings).items() if name in wanted} | own


def accuracy_on(split: str) -> Callable[[TrainedModel], float]:
    """The share of the targets of a split, over examples spread evenly, that the network tells right as it is used."""

    @torch.no_grad()
    def accuracy(subject: TrainedModel) -> float:
        size, right, count = subject.task.size(split), 0, 0
        rows = np.unique(np.linspace(0, size - 1, min(size, EXAMPLES)).astype(np.int64))
        for some in np.array_split(rows, -(-len(rows) // TOGETHER)):
            with subject.runtime.autocast():
                part = subject.task.loss(subject.model, subject.runtime.batch_to_device(subject.task.batch(split, some)))
            assert part.correct is not None, "a task counts what it got right wherever it is not training"
            right, count = right + int(part.correct), count + int(part.count)
        return right / count

    return accuracy


@torch.no_grad()
def exact_answers(subject: TrainedModel) -> float:
    """The share of held-out questions that are answered as the text answers them, to the last token.

    A question is a document up to its = (012+934=), its answer the rest of it; each token of an answer is the likeliest after
    the question and the answer's tokens before it.

    Source: Lee et al., "Teaching Arithmetic to Small Transformers", 2023 (exact match).
    """
    questions = held_out_questions(subject)
    right = 0
    for asked, answers in questions:
        said = asked
        for _ in range(answers.shape[1]):
            with subject.runtime.autocast():
                said = torch.cat([said, subject.model(said)[:, -1:].argmax(dim=-1)], dim=1)
        right += int((said[:, asked.shape[1] :] == answers).all(dim=1).sum())
    return right / sum(len(answers) for _, answers in questions) if questions else math.nan


def held_out_questions(subject: TrainedModel) -> list[tuple[Int[Tensor, "N Q"], Int[Tensor, "N A"]]]:
    """Questions and answers of the validation split, spread evenly; those of equal lengths together.

    Raises:
        UserError: its documents are none.
    """
    task, tokenizer = subject.task, subject.tokenizer
    assert isinstance(task, LanguageModelling), "questions are asked of language models alone"
    if tokenizer.end is None or not tokenizer.drop_unknown("="):
        raise UserError("measure: exact_answers wants documents with an =, such as those of prepare.dataset addition")
    documents = np.split(ids := task.ids("validation"), np.flatnonzero(ids == tokenizer.end) + 1)[:-1]
    [equals] = tokenizer.encode("=")
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for at in np.unique(np.linspace(0, len(documents) - 1, min(len(documents), QUESTIONS)).astype(np.int64)):
        asked = int(np.argmax(documents[at] == equals)) + 1
        found.setdefault((asked, len(documents[at])), []).append(documents[at].astype(np.int64))
    rows = [(asked, torch.from_numpy(np.stack(some)).to(subject.runtime.device)) for (asked, _), some in found.items()]
    return [(whole[:, :asked], whole[:, asked:]) for asked, whole in rows]


@torch.no_grad()
def repeat_loss(subject: TrainedModel) -> float:
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
def token_spread(subject: TrainedModel) -> float:
    """How far the features of different tokens, after the last block, are from their mean: its root mean square over theirs.

    Near 1 where tokens differ in most of what they are; 0 where all have become one, whose differences the rounding makes. (Of
    those an effective rank says nothing: rounding has as many directions as there are.)

    Source: Dong et al., "Attention is not all you need: pure attention loses rank doubly exponentially with depth", 2021 (its
    residual, the distance from the nearest matrix of equal rows, relative).
    """
    tokens = forward(subject).streams[-1].flatten(0, 1).double()
    return float((tokens - tokens.mean(dim=0)).norm() / tokens.norm())


READERS: dict[str, Callable[[TrainedModel], float]] = {
    "training_accuracy": accuracy_on("train"),
    "test_accuracy": accuracy_on("test"),
    "exact_answers": exact_answers,
    "repeat_loss": repeat_loss,
    "token_spread": token_spread,
}
