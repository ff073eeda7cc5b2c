"""The forward pass of `rally look`: opens the network (trained, snapshot, untrained) and runs the requested input."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts.paths import MODEL, TOKENS, tokenizer_of
from pipeline.lab.look.classifier import ClassifierPass, classify_example, trained_kind, untrained_subject
from pipeline.lab.look.request import Request, read_ids, token_text
from pipeline.lab.provenance.check import other_run
from pipeline.lab.trained_model import check_trained
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.schema import Params

if TYPE_CHECKING:
    import numpy as np

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import TrainedModel
    from pipeline.lab.look.activations import PassRecord
    from pipeline.networks.transformer import GPT
    from pipeline.tokenizers.base import Tokenizer

TRAINED = MODEL.with_suffix(".safetensors")


@dataclass(frozen=True)
class ForwardPass:
    """The result of a language model's forward pass.

    Attributes:
        network: which one, in words.
        notes: warnings about the network or the input.
        word: the printable text of an id.
    """

    network: str
    notes: list[str]
    model: Model
    record: PassRecord
    word: Callable[[int], str]

    @property
    def maps(self) -> np.ndarray:
        """Attention probabilities [layer, head, query, key]."""
        return self.record.maps

    @property
    def words(self) -> list[str]:
        """The tokens of the prompt."""
        return [self.word(token) for token in self.record.ids]


@dataclass(frozen=True)
class _Network:
    description: str
    model: GPT
    runtime: Runtime
    tokenizer: Tokenizer | None
    vocabulary: int


def look(request: Request) -> ForwardPass | ClassifierPass:
    """Run the requested input through the requested network.

    Raises:
        UserError: there is no such snapshot, or the tokenizer knows no character of the prompt.
    """
    from pipeline.lab.studies.recipes import params_with

    params, notes = params_with(request.knobs), list[str]()
    if (params.task.kind if request.is_untrained else trained_kind(params)) != "language":
        return _classify(request, params, notes)
    if request.image is not None:
        raise UserError("--image: this network reads text; use --prompt")
    network = _network(request, params, notes)
    ids = read_ids(request, params, network.tokenizer, network.vocabulary, network.model.knobs.context_length, notes)

    from pipeline.lab.look.activations import record_pass

    def word(token: int) -> str:
        return token_text(network.tokenizer, token)

    return ForwardPass(network.description, notes, network.model.knobs, record_pass(network.model, ids, network.runtime), word)


def _classify(request: Request, params: Params, notes: list[str]) -> ClassifierPass:
    """The forward pass of a classifier."""
    if request.vocabulary is not None:
        raise UserError("--vocabulary: is for language models; this network is a classifier; leave it out")
    trained = TRAINED.exists()
    if not request.is_untrained and not trained and request.step == "last":
        notes.append("There is no trained model here (`dvc repro` trains one): this is the network at initialization.")
    if request.is_untrained or (not trained and request.step == "last"):
        return classify_example(request, params, untrained_subject(params), f"at initialization (seed {params.seed})", notes)
    subject = _trained(request, params, notes)
    return classify_example(request, params, subject, f"after step {subject.step:,}", notes)


# --------------------------------------------------------------------------------------------------------- the network


def _network(request: Request, params: Params, notes: list[str]) -> _Network:
    if request.is_untrained:
        return _untrained(request, params)
    if request.step == "last" and not TRAINED.exists():
        notes.append("There is no trained model here (`dvc repro` trains one): this is the network at initialization.")
        return _untrained(request, params)
    subject = _trained(request, params, notes)

    from pipeline.networks.transformer import GPT

    assert isinstance(subject.model, GPT), "language models are of one kind"
    return _Network(
        f"after step {subject.step:,}", subject.model, subject.runtime, subject.tokenizer, subject.tokenizer.vocabulary
    )


def _trained(request: Request, params: Params, notes: list[str]) -> TrainedModel:
    """The trained model or a snapshot, with a note if it is not of the knobs, code and data in this folder."""
    check_trained()
    from pipeline.inference.trained import open_trained

    subject = open_trained(params.runtime) if request.step == "last" else _snapshot(request.step, params)
    notes += [line] if (line := other_run(params)) else []
    return subject


def _snapshot(step: str, params: Params) -> TrainedModel:
    """The snapshot of a step."""
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots

    wanted, saved = int(re.sub("[_,]", "", step)), list[int]()
    for subject in open_snapshots(MODEL.parent, Runtime(params.runtime), sequences=1, toy_text=""):
        if subject.step == wanted:
            return subject
        saved.append(subject.step)
    below, above = [one for one in saved if one < wanted], [one for one in saved if one > wanted]
    nearest = " and ".join(f"{one:,}" for one in (*below[-1:], *above[:1]))
    every = ", ".join(f"{one:,}" for one in saved)
    raise UserError(
        f"--step: there is no snapshot of step {wanted:,}; nearest: {nearest} (all: {every}; train.snapshots says which)"
    )


def _untrained(request: Request, params: Params) -> _Network:
    """The network of params.yaml before training, initialized as the stage train does."""
    if request.ids is None and not tokenizer_of(TOKENS).exists():
        raise _no_text()

    import torch

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.lab.stand_ins.data_shape import data_of
    from pipeline.networks.attention import set_attention_kernel
    from pipeline.networks.transformer import GPT
    from pipeline.tokenizers.table import load as load_tokenizer

    data = data_of(params, request.vocabulary)
    is_tokenized = data.known == str(TOKENS)
    if request.ids is None and not is_tokenized:
        raise _no_text()
    runtime = Runtime(params.runtime)
    model = GPT(params.model, data.vocabulary, torch.Generator().manual_seed(params.seed)).to(runtime.device)
    set_attention_kernel(model, runtime.attention)
    tokenizer = load_tokenizer(tokenizer_of(TOKENS)) if is_tokenized else None
    return _Network(f"at initialization (seed {params.seed})", model, runtime, tokenizer, data.vocabulary)


def _no_text() -> UserError:
    return UserError(
        f"{tokenizer_of(TOKENS)}: no text has been tokenized with these knobs; run `dvc repro tokenize`,"
        ' or use token ids: `rally look --ids "3 1 4 1 5"`'
    )
