"""Which network is looked at, and what it is given: a snapshot or a fresh one; a prompt, the toy text or plain ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts.paths import MODEL, TOKENS, tokenizer_of
from pipeline.lab.look.classifier import ClassifierPass, drawn, kind_of_trained, look_at
from pipeline.lab.look.request import Request, read_ids, word_of
from pipeline.lab.provenance.check import other_run
from pipeline.params.errors import UserError
from pipeline.params.model import Model
from pipeline.params.schema import Params

if TYPE_CHECKING:
    import numpy as np

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import TrainedModel
    from pipeline.lab.look.activations import Dissection
    from pipeline.networks.transformer import GPT
    from pipeline.tokenizers.base import Tokenizer

TRAINED = MODEL.with_suffix(".safetensors")


@dataclass(frozen=True)
class ForwardPass:
    """What was seen.

    Attributes:
        network: which it is, in words.
        notes: what else must be said.
        word: an id as it can stand in a picture.
    """

    network: str
    notes: list[str]
    model: Model
    seen: Dissection
    word: Callable[[int], str]

    @property
    def maps(self) -> np.ndarray:
        """Attention probabilities [layer, head, query, key]."""
        return self.seen.maps

    @property
    def words(self) -> list[str]:
        """The tokens of the prompt."""
        return [self.word(token) for token in self.seen.ids]


@dataclass(frozen=True)
class _Network:
    said: str
    model: GPT
    runtime: Runtime
    tokenizer: Tokenizer | None
    vocabulary: int


def look(asked: Request) -> ForwardPass | ClassifierPass:
    """Run what is asked for through the network that is asked for.

    Raises:
        UserError: there is no such snapshot, or nothing in the prompt that the network can read.
    """
    from pipeline.lab.studies.recipes import params_with

    params, notes = params_with(asked.knobs), list[str]()
    if (params.task.kind if asked.is_drawn else kind_of_trained(params)) != "language":
        return _told(asked, params, notes)
    if asked.image is not None:
        raise UserError("--image: this network reads text; --prompt would do")
    network = _network(asked, params, notes)
    ids = read_ids(asked, params, network.tokenizer, network.vocabulary, network.model.knobs.context_length, notes)

    from pipeline.lab.look.activations import dissect

    def word(token: int) -> str:
        return word_of(network.tokenizer, token)

    return ForwardPass(network.said, notes, network.model.knobs, dissect(network.model, ids, network.runtime), word)


def _told(asked: Request, params: Params, notes: list[str]) -> ClassifierPass:
    """What a network that tells classes makes of what it is given."""
    if asked.vocabulary is not None:
        raise UserError("--vocabulary: is for a language model, which needs no data to be drawn; another -S would do")
    trained = TRAINED.exists()
    if not asked.is_drawn and not trained and asked.step == "last":
        notes.append("There is no trained model here (`dvc repro` trains one): this is the network as it is drawn.")
    if asked.is_drawn or (not trained and asked.step == "last"):
        return look_at(asked, params, drawn(params), f"as drawn, untrained (seed {params.seed})", notes)
    made = _trained(asked, params, notes)
    return look_at(asked, params, made, f"after step {made.step:,}", notes)


# --------------------------------------------------------------------------------------------------------- the network


def _network(asked: Request, params: Params, notes: list[str]) -> _Network:
    if asked.is_drawn:
        return _drawn(asked, params)
    if asked.step == "last" and not TRAINED.exists():
        notes.append("There is no trained model here (`dvc repro` trains one): this is the network as it is drawn.")
        return _drawn(asked, params)
    made = _trained(asked, params, notes)

    from pipeline.networks.transformer import GPT

    assert isinstance(made.model, GPT), "the one kind of network that there is"
    return _Network(f"after step {made.step:,}", made.model, made.runtime, made.tokenizer, made.tokenizer.vocabulary)


def _trained(asked: Request, params: Params, notes: list[str]) -> TrainedModel:
    """The trained model or a snapshot of it, with a note where it is not of the knobs, code and data that are here."""
    from pipeline.inference.trained import open_trained

    made = open_trained(params.runtime) if asked.step == "last" else _snapshot(asked.step, params)
    notes += [line] if (line := other_run(params)) else []
    return made


def _snapshot(step: str, params: Params) -> TrainedModel:
    """The subject at a step at which the training kept it."""
    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.inference.trained import open_snapshots, open_trained

    if not TRAINED.exists():
        open_trained(params.runtime)  # which says what is missing

    wanted, kept = int(re.sub("[_,]", "", step)), list[int]()
    for made in open_snapshots(MODEL.parent, Runtime(params.runtime), sequences=1, toy_text=""):
        if made.step == wanted:
            return made
        kept.append(made.step)
    below, above = [one for one in kept if one < wanted], [one for one in kept if one > wanted]
    nearest = " and ".join(f"{one:,}" for one in (*below[-1:], *above[:1]))
    every = ", ".join(f"{one:,}" for one in kept)
    raise UserError(
        f"--step: no snapshot was kept of step {wanted:,}; nearest: {nearest} (all: {every}; train.snapshots says which)"
    )


def _drawn(asked: Request, params: Params) -> _Network:
    """The network of params.yaml before any training, as the stage train would draw it."""
    if asked.ids is None and not tokenizer_of(TOKENS).exists():
        raise _no_text()

    import torch

    from pipeline.engine.runtime.runtime import Runtime
    from pipeline.lab.stand_ins.data_shape import data_of
    from pipeline.networks.attention import set_attention_kernel
    from pipeline.networks.transformer import GPT
    from pipeline.tokenizers.table import load as load_tokenizer

    data = data_of(params, asked.vocabulary)
    there = data.known == str(TOKENS)
    if asked.ids is None and not there:
        raise _no_text()
    runtime = Runtime(params.runtime)
    model = GPT(params.model, data.vocabulary, torch.Generator().manual_seed(params.seed)).to(runtime.device)
    set_attention_kernel(model, runtime.attention)
    tokenizer = load_tokenizer(tokenizer_of(TOKENS)) if there else None
    return _Network(f"as drawn, untrained (seed {params.seed})", model, runtime, tokenizer, data.vocabulary)


def _no_text() -> UserError:
    return UserError(
        f"{tokenizer_of(TOKENS)}: no text has been tokenized with these knobs; `dvc repro tokenize` does it,"
        ' and `rally look --ids "3 1 4 1 5"` needs none'
    )
