"""Metrics of the network during a training: the numbers of the probes, and those that only studies use."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its customary name)
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.artifacts.paths import tokenizer_of
from pipeline.corpus.sources.generated.modular import SYMBOLS
from pipeline.engine.checkpoint import Progress
from pipeline.engine.runtime.runtime import Runtime
from pipeline.inference.trained import TrainedModel
from pipeline.lab.studies.measures.record import FREQUENCIES
from pipeline.networks.transformer import GPT
from pipeline.params.errors import UserError
from pipeline.params.stages import Probe
from pipeline.probes.attention.induction import repeated
from pipeline.probes.passes.forward import forward
from pipeline.probes.summary import NUMBERS, summary
from pipeline.probes.table import PROBES
from pipeline.tasks.base import IGNORED, Task
from pipeline.tasks.lm import LanguageModelling
from pipeline.tokenizers.table import load

EXAMPLES = 4096  # of a split, evenly spaced, for an accuracy
BATCH = 512  # of these at once
QUESTIONS = 512  # for exact_answers
TOKENS = 32_768  # of the validation split, in evenly spaced windows, for a loss on a part of them
ITERATIONS = 20  # of the power iteration for sharpness, where params.yaml sets none


def network_numbers(
    progress: Progress, task: Task, tokens: Path, runtime: Runtime, probe: Probe, names: tuple[str, ...]
) -> dict[str, float]:
    """Metrics of the network, by name.

    Args:
        names: of NUMBERS of the probes, or of NETWORK_METRICS.
    """
    with progress.optimizer.eval_weights():
        tokenizer = load(saved) if (saved := tokenizer_of(tokens)).exists() else None  # None: images
        iterations = probe.sharpness_iterations or ITERATIONS
        subject = TrainedModel(progress.model, task, tokenizer, runtime, progress.step, probe.sequences, "", iterations)
        own = {name: NETWORK_METRICS[name](subject) for name in names if name in NETWORK_METRICS}
        needed = {NUMBERS[name][0] for name in names if name in NUMBERS and name not in own}
        readings = {name: reading for name in needed if (reading := PROBES[name].read(subject)) is not None}
        return {name: value for name, value in summary(readings).items() if name in names} | own


def accuracy_on(split: str) -> Callable[[TrainedModel], float]:
    """The accuracy on evenly spaced examples of a split, of the network in evaluation mode."""

    @torch.no_grad()
    def accuracy(subject: TrainedModel) -> float:
        size, right, count = subject.task.size(split), 0, 0
        rows = np.unique(np.linspace(0, size - 1, min(size, EXAMPLES)).astype(np.int64))
        for some in np.array_split(rows, -(-len(rows) // BATCH)):
            with subject.runtime.autocast():
                part = subject.task.loss(subject.model, subject.runtime.batch_to_device(subject.task.batch(split, some)))
            assert part.correct is not None, "tasks count correct predictions outside training"
            right, count = right + int(part.correct), count + int(part.count)
        return right / count

    return accuracy


@torch.no_grad()
def exact_answers(subject: TrainedModel) -> float:
    """Exact match: the share of held-out questions whose whole answer is right, by greedy decoding.

    A question is a document up to its = (012+934=), the answer is the rest of it.

    Source: Lee et al., "Teaching Arithmetic to Small Transformers", 2023 (exact match).
    """
    questions = held_out_questions(subject)
    right = 0
    for prompts, answers in questions:
        ids = prompts
        for _ in range(answers.shape[1]):
            with subject.runtime.autocast():
                ids = torch.cat([ids, subject.model(ids)[:, -1:].argmax(dim=-1)], dim=1)
        right += int((ids[:, prompts.shape[1] :] == answers).all(dim=1).sum())
    return right / sum(len(answers) for _, answers in questions) if questions else math.nan


def held_out_questions(subject: TrainedModel) -> list[tuple[Int[Tensor, "N Q"], Int[Tensor, "N A"]]]:
    """Questions and answers of the validation split, evenly spaced; those of equal lengths together.

    Raises:
        UserError: its documents are not questions.
    """
    task, tokenizer = subject.task, subject.tokenizer
    assert isinstance(task, LanguageModelling), "grid.py refuses it for other tasks"
    if tokenizer.end is None or not tokenizer.drop_unknown("="):
        raise UserError("measure: exact_answers needs documents with an =; use prepare.dataset addition")
    documents = np.split(ids := task.ids("validation"), np.flatnonzero(ids == tokenizer.end) + 1)[:-1]
    [equals] = tokenizer.encode("=")
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for at in np.unique(np.linspace(0, len(documents) - 1, min(len(documents), QUESTIONS)).astype(np.int64)):
        length = int(np.argmax(documents[at] == equals)) + 1
        found.setdefault((length, len(documents[at])), []).append(documents[at].astype(np.int64))
    rows = [(length, torch.from_numpy(np.stack(some)).to(subject.runtime.device)) for (length, _), some in found.items()]
    return [(whole[:, :length], whole[:, length:]) for length, whole in rows]


@torch.no_grad()
def repeat_loss(subject: TrainedModel) -> float:
    """The loss in nats per token on the second copies of blocks of random tokens, each block of another length.

    The first token of a copy is left out, because it cannot be predicted. ln V if nothing is copied, 0 if everything is.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022.
    """
    lengths, ids = repeated(subject.tokenizer.vocabulary, subject.tokenizer.end, subject.batch.inputs.shape[1])
    losses = []
    surprisals = -subject.model(ids.to(subject.runtime.device)).float().log_softmax(dim=-1)
    for example, size, surprisal in zip(ids, lengths, surprisals, strict=True):
        places = torch.arange(size, 2 * size - 1)  # from the first token of the copy on, the next one can be predicted
        losses.append(surprisal[places, example[places + 1].to(surprisal.device)])
    return float(torch.cat(losses).mean())


@torch.no_grad()
def token_spread(subject: TrainedModel) -> float:
    """The root mean square distance of tokens from their mean after the last block, divided by the root mean square of tokens.

    Near 1 where tokens differ in most of their features; 0 where all have become equal up to rounding. (An effective rank does
    not show that, because rounding errors have full rank.)

    Source: Dong et al., "Attention is not all you need: pure attention loses rank doubly exponentially with depth", 2021 (its
    residual, the distance from the nearest matrix of equal rows, relative).
    """
    tokens = forward(subject).streams[-1].flatten(0, 1).double()
    return float((tokens - tokens.mean(dim=0)).norm() / tokens.norm())


@torch.no_grad()
def loss_beyond(subject: TrainedModel) -> float:
    """What a context longer than any of the training costs, in nats per token: above 0 where positions break, below 0 where
    more context helps.

    With T the context of the training, the tokens at the places T to 2T - 1 of held-out windows of 2T tokens are predicted
    twice: from all of the window before them, and from T / 2 to T - 1 tokens, as in training. The mean difference of losses.

    Source: Press et al., "Train Short, Test Long", 2021 (a context longer than in training); the comparison on equal targets
    is Rally's.
    """
    model, task = subject.model, subject.task
    assert isinstance(model, GPT) and isinstance(task, LanguageModelling), "grid.py refuses it for other tasks"
    length = model.knobs.context_length
    longer = GPT(model.knobs.model_copy(update={"context_length": 2 * length}), task.vocabulary, torch.Generator())
    longer.load_state_dict(model.state_dict())
    ids = _long_windows(task.ids("validation"), 2 * length + 1, subject.sequences).to(subject.runtime.device)
    long = token_losses(longer.to(ids.device), ids)[:, length:]
    half = length // 2
    parts = ((length - half, half), (length, length - half))  # where a window of T begins, and from where it is read
    short = [token_losses(model, ids[:, start : start + length + 1])[:, read:] for start, read in parts]
    return float((long - torch.cat(short, dim=1)).mean())


def token_losses(model: GPT, ids: Int[Tensor, "B T1"]) -> Float[Tensor, "B T"]:
    """The loss of each token but the first, in nats."""
    return F.cross_entropy(model(ids[:, :-1]).float().transpose(1, 2), ids[:, 1:], reduction="none")


def _long_windows(ids: np.ndarray, length: int, count: int) -> Int[Tensor, "B T"]:
    """Windows of a split, evenly spaced.

    Raises:
        UserError: the split is shorter than one of them.
    """
    if len(ids) < length:
        raise UserError(f"measure: loss_beyond needs {length} held-out tokens, and there are {len(ids)}; use more text")
    starts = np.linspace(0, len(ids) - length, count).astype(np.int64)
    return torch.from_numpy(ids[starts[:, None] + np.arange(length)].astype(np.int64))


@torch.no_grad()
def squared_error(subject: TrainedModel) -> float:
    """The mean squared error over the fixed training examples and the classes: what train.loss mse minimizes, while the curves
    hold the cross-entropy.
    """
    batch = subject.training_batch
    logits = subject.model(batch.inputs).float()
    return float((logits - F.one_hot(batch.targets, logits.shape[-1])).square().mean())


@torch.no_grad()
def fourier_share(subject: TrainedModel) -> float:
    """The share of the energy of the numbers' embedding that lies in its 5 strongest frequencies; 0 .. 1.

    The embeddings of the numbers 0 to p - 1 are Fourier transformed over the numbers; the energy of a frequency is the sum of
    its squared coefficients over the features. The mean over the numbers (frequency 0) is left out. Random embeddings of 97
    numbers have .13 or so.

    Source: Nanda et al., "Progress measures for grokking via mechanistic interpretability", 2023.
    """
    known = [symbol for symbol in SYMBOLS if len(subject.tokenizer.drop_unknown(symbol))]
    ids = torch.from_numpy(subject.tokenizer.encode("".join(known)).astype(np.int64))
    weight = subject.model.get_parameter("embedding.weight").detach().cpu().double()[ids]
    energy = torch.fft.rfft(weight, dim=0)[1:].abs().square().sum(dim=1)
    return float(energy.sort(descending=True).values[:FREQUENCIES].sum() / energy.sum())


@torch.no_grad()
def held_out_surprisals(subject: TrainedModel) -> tuple[Float[np.ndarray, "N T"], Int[np.ndarray, "N T"]]:
    """The loss on each token of evenly spaced validation windows, in nats, and the tokens themselves."""
    task = subject.task
    whole = max(task.size("validation") - 1, 1)  # the last window may be padded
    rows = np.unique(np.linspace(0, whole - 1, min(whole, TOKENS // task.length)).astype(np.int64))
    found = []
    for some in np.array_split(rows, -(-len(rows) // BATCH)):
        batch = task.batch("validation", some)
        logits = subject.model(batch.inputs.to(subject.runtime.device)).float()
        surprisals = F.cross_entropy(logits.transpose(1, 2).cpu(), batch.targets, reduction="none", ignore_index=IGNORED)
        found.append((surprisals.numpy(), batch.targets.numpy()))
    return np.concatenate([losses for losses, _ in found]), np.concatenate([targets for _, targets in found])


def late_loss(subject: TrainedModel) -> float:
    """The loss in nats per token on the second half of each window, where every token has half of the context before it.

    The mean over whole windows falls with their length even where context is useless, because the first tokens of a window,
    which have none, become a smaller share of it.

    Source: Press et al., "Shortformer: Better Language Modeling using Shorter Inputs", 2021 (the early token curse).
    """
    losses, _ = held_out_surprisals(subject)
    return float(losses[:, losses.shape[1] // 2 :].mean())


def frequency_loss(*, common: bool) -> Callable[[TrainedModel], float]:
    """The loss on one half of the text: the most frequent tokens of the training split that make up half of it, or all others.

    Source: Kunstner et al., "Heavy-Tailed Class Imbalance and Why Adam Outperforms Gradient Descent on Language Models", 2024.
    """

    def loss(subject: TrainedModel) -> float:
        assert isinstance(subject.task, LanguageModelling), "grid.py refuses it for other tasks"
        losses, targets = held_out_surprisals(subject)
        return float(losses[common_tokens(subject.task)[targets] == common].mean())

    return loss


def common_tokens(task: LanguageModelling) -> Bool[np.ndarray, " V"]:
    """Which tokens are common: the fewest that make up half of the training split."""
    counts = np.bincount(task.ids("train"), minlength=task.vocabulary)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]  # the tokens that are more frequent than this one
    common = np.zeros(task.vocabulary, dtype=np.bool_)
    common[order[before < counts.sum() / 2]] = True
    return common


NETWORK_METRICS: dict[str, Callable[[TrainedModel], float]] = {
    "training_accuracy": accuracy_on("train"),
    "test_accuracy": accuracy_on("test"),
    "exact_answers": exact_answers,
    "repeat_loss": repeat_loss,
    "token_spread": token_spread,
    "loss_beyond": loss_beyond,
    "fourier_share": fourier_share,
    "squared_error": squared_error,
    "late_loss": late_loss,
    "common_loss": frequency_loss(common=True),
    "rare_loss": frequency_loss(common=False),
}
