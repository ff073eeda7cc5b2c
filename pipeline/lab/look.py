"""Which network is looked at, and what it is given: a snapshot or a fresh one; a prompt, the toy text or plain ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts import MODEL, TOKENS, tokenizer_of
from pipeline.lab.look_class import Told, drawn, kind_of_trained, look_at
from pipeline.lab.sample import open_trained
from pipeline.params import Model, Params, Refusal

if TYPE_CHECKING:
    import numpy as np

    from pipeline.corpus.tokenizers import Tokenizer
    from pipeline.engine.runtime import Runtime
    from pipeline.networks.transformer import GPT
    from pipeline.probes.base import Subject
    from pipeline.probes.dissection import Dissection

TRAINED = MODEL.with_suffix(".safetensors")


@dataclass(frozen=True)
class Asked:
    """What somebody wants to look at.

    Attributes:
        prompt: a text; None for the toy text of params.yaml.
        ids: token ids in its place, "3 1 4".
        step: of a snapshot, or "last" for the end of the training.
        untrained: the network as it is drawn, whatever was trained.
        knobs: turned for it, each "model.depth=1"; they are of a network that is drawn.
        vocabulary: how many different tokens, for ids where no text has been tokenized.
        image: the number of a held-out image, or a file.

    Raises:
        Refusal: the words contradict each other, or one of them is none.
    """

    prompt: str | None = None
    ids: str | None = None
    step: str = "last"
    untrained: bool = False
    knobs: tuple[str, ...] = ()
    vocabulary: int | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.prompt is not None and self.ids is not None:
            problems.append("--ids: stands in the place of --prompt; one of them would do")
        if self.image is not None and (self.prompt is not None or self.ids is not None):
            problems.append("--image: stands in the place of a text; one of them would do")
        if self.vocabulary is not None and self.ids is None:
            problems.append(
                "--vocabulary: goes with --ids, which need no text; a prompt is read by the tokenizer that is there"
            )
        if self.step != "last" and not re.fullmatch(r"[0-9][0-9_,]{0,15}", self.step):
            problems.append(f"--step: {self.step!r} is no step of a training; a number or `last` would do")
        if self.step != "last" and self.is_drawn:
            problems.append(f"--step: {self.step} is of a training; a network that is drawn anew has none")
        if self.ids is not None and (wrong := [one for one in _pieces(self.ids) if not re.fullmatch(r"[0-9]{1,12}", one)]):
            problems.append(f"--ids: {wrong[0]!r} is no id; whole numbers from 0 on would do")
        if self.ids is not None and not _pieces(self.ids):
            problems.append('--ids: is empty; token ids would do, such as "3 1 4"')
        if problems:
            raise Refusal(*problems)

    @property
    def is_drawn(self) -> bool:
        """Whether the network is to be a fresh one."""
        return self.untrained or bool(self.knobs) or self.vocabulary is not None


@dataclass(frozen=True)
class Looked:
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


def look(asked: Asked) -> Looked | Told:
    """Run what is asked for through the network that is asked for.

    Raises:
        Refusal: there is no such snapshot, or nothing in the prompt that the network can read.
    """
    from pipeline.lab.study import knobs_with

    params, notes = knobs_with(asked.knobs), list[str]()
    if (params.task.kind if asked.is_drawn else kind_of_trained(params)) != "language":
        return _told(asked, params, notes)
    if asked.image is not None:
        raise Refusal("--image: this network reads text; --prompt would do")
    network = _network(asked, params, notes)
    ids = read_ids(asked, params, network.tokenizer, network.vocabulary, network.model.knobs.length, notes)

    from pipeline.probes.dissection import dissect

    def word(token: int) -> str:
        return word_of(network.tokenizer, token)

    return Looked(network.said, notes, network.model.knobs, dissect(network.model, ids, network.runtime), word)


def _told(asked: Asked, params: Params, notes: list[str]) -> Told:
    """What a network that tells classes makes of what it is given."""
    if asked.vocabulary is not None:
        raise Refusal("--vocabulary: is for a language model, which needs no data to be drawn; another -S would do")
    trained = TRAINED.exists()
    if not asked.is_drawn and not trained and asked.step == "last":
        notes.append("There is no trained model here (`dvc repro` trains one): this is the network as it is drawn.")
    if asked.is_drawn or (not trained and asked.step == "last"):
        return look_at(asked, params, drawn(params), f"as drawn, untrained (seed {params.seed})", notes)
    made = open_trained() if asked.step == "last" else _snapshot(asked.step, params)
    return look_at(asked, params, made, f"after step {made.step:,}", notes)


def word_of(tokenizer: Tokenizer | None, token: int) -> str:
    """A token as it can stand in a picture."""
    from pipeline.probes.attention import label

    text = label(tokenizer.token_bytes(token)) if tokenizer else str(token)
    return "".join(character if character.isprintable() else "�" for character in text)


# --------------------------------------------------------------------------------------------------------- the network


def _network(asked: Asked, params: Params, notes: list[str]) -> _Network:
    if asked.is_drawn:
        return _drawn(asked, params)
    if asked.step == "last" and not TRAINED.exists():
        notes.append("There is no trained model here (`dvc repro` trains one): this is the network as it is drawn.")
        return _drawn(asked, params)
    made = open_trained() if asked.step == "last" else _snapshot(asked.step, params)

    from pipeline.networks.transformer import GPT

    assert isinstance(made.model, GPT), "the one kind of network that there is"
    return _Network(f"after step {made.step:,}", made.model, made.runtime, made.tokenizer, made.tokenizer.vocabulary)


def _snapshot(step: str, params: Params) -> Subject:
    """The subject at a step at which the training kept it."""
    if not TRAINED.exists():
        open_trained()  # which says what is missing

    from pipeline.engine.runtime import Runtime
    from pipeline.probes.base import open_snapshots

    wanted, kept = int(re.sub("[_,]", "", step)), list[int]()
    for made in open_snapshots(MODEL.parent, Runtime(params.runtime), sequences=1, toy=""):
        if made.step == wanted:
            return made
        kept.append(made.step)
    below, above = [one for one in kept if one < wanted], [one for one in kept if one > wanted]
    nearest = " and ".join(f"{one:,}" for one in (*below[-1:], *above[:1]))
    every = ", ".join(f"{one:,}" for one in kept)
    raise Refusal(
        f"--step: no snapshot was kept of step {wanted:,}; nearest: {nearest} (all: {every}; train.snapshots says which)"
    )


def _drawn(asked: Asked, params: Params) -> _Network:
    """The network of params.yaml before any training, as the stage train would draw it."""
    if asked.ids is None and not tokenizer_of(TOKENS).exists():
        raise _no_text()

    import torch

    from pipeline.corpus.tokenizers import load as load_tokenizer
    from pipeline.engine.runtime import Runtime
    from pipeline.lab.material import data_of
    from pipeline.networks.attention import use_kernel
    from pipeline.networks.transformer import GPT

    data = data_of(params, asked.vocabulary)
    there = data.known == str(TOKENS)
    if asked.ids is None and not there:
        raise _no_text()
    runtime = Runtime(params.runtime)
    model = GPT(params.model, data.vocabulary, torch.Generator().manual_seed(params.seed)).to(runtime.device)
    use_kernel(model, runtime.attention)
    tokenizer = load_tokenizer(tokenizer_of(TOKENS)) if there else None
    return _Network(f"as drawn, untrained (seed {params.seed})", model, runtime, tokenizer, data.vocabulary)


def _no_text() -> Refusal:
    return Refusal(
        f"{tokenizer_of(TOKENS)}: no text has been tokenized with these knobs; `dvc repro tokenize` does it,"
        ' and `rally look --ids "3 1 4 1 5"` needs none'
    )


# ----------------------------------------------------------------------------------------------------- what it is given


def read_ids(
    asked: Asked, params: Params, tokenizer: Tokenizer | None, vocabulary: int, length: int, notes: list[str]
) -> list[int]:
    """What was asked for as ids, cut to the context."""
    ids = _typed(asked.ids, vocabulary) if asked.ids is not None else _read(asked, params, tokenizer, notes)
    if len(ids) > length:
        notes.append(f"The context holds {length:,} tokens: of {len(ids):,} these are the first.")
    return ids[:length]


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"[\s,]+", text) if piece]


def _typed(text: str, vocabulary: int) -> list[int]:
    ids = [int(piece) for piece in _pieces(text)]
    if beyond := [token for token in ids if token >= vocabulary]:
        raise Refusal(f"--ids: {beyond[0]:,} is none of this vocabulary's, 0 .. {vocabulary - 1:,}")
    return ids


def _read(asked: Asked, params: Params, tokenizer: Tokenizer | None, notes: list[str]) -> list[int]:
    """The prompt as ids, without what the tokenizer has none for."""
    assert tokenizer is not None, "a network without one takes ids alone"
    what, text = ("--prompt", asked.prompt) if asked.prompt is not None else ("probe.toy", params.probe.toy)
    text = text.encode(errors="replace").decode()  # what a terminal passes on need not be text
    if (known := tokenizer.known(text)) != text:
        notes.append(f"The tokenizer lacks characters of this prompt; the model reads {known!r}.")
    if not known:
        raise Refusal(f"{what}: {text!r} holds nothing that this tokenizer knows; another --prompt, or --ids, would do")
    return [int(token) for token in tokenizer.encode(known)]
