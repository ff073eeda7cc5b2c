"""What is known of a data set before a plan: its knobs, its vocabulary, how many tokens it has, and the losses of baselines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts.paths import meta_of
from pipeline.artifacts.reading import read_json
from pipeline.evaluation.baselines import entropy, ngram_scores
from pipeline.lab.data_catalogue import data_set
from pipeline.lab.studies.runs.sweep import made_tokens, tokens_folder
from pipeline.params.errors import UserError
from pipeline.params.load import with_knobs
from pipeline.params.names import names_in, suggest
from pipeline.params.parse import parse
from pipeline.params.schema import Params

FOR_CARDS = "tinystories"
OF_THE_USER = {"path", "repository", "url", "sha256", "mixture"}  # knobs without which some data sets are nothing
# Tokens of the training split, about: 2.2 GB of stories at 4 bytes per token; the plays as counted.
KNOWN = {"tinystories": 480e6, "tinystories_clean": 480e6, "shakespeare": 1.3e6}


@dataclass(frozen=True)
class Material:
    """A text to learn from.

    Attributes:
        knobs: that make it, besides the vocabulary size of a BPE tokenizer.
        vocabulary: tokens; None: it is to be chosen.
        tokens: of the training split; None: unknown.
        counted: the tokens were counted, not guessed.
        levels: losses of baselines on the validation split, nats per token.
    """

    name: str
    knobs: Mapping[str, Any]
    vocabulary: int | None
    tokens: float | None
    counted: bool
    levels: Mapping[str, float] = field(default_factory=dict)


def material(name: str | None, base: Mapping[str, Any], *, on_card: bool) -> Material:
    """What is known of a data set. Generated texts are made, which takes a second or two.

    Args:
        name: of the data set; by default FOR_CARDS, on a CPU that of params.yaml.
        base: the sections of params.yaml.

    Raises:
        UserError: there is no such data set for language models, or it needs knobs of its own.
    """
    known, own = names_in("corpus/sources/table.py:TEXTS"), base["prepare"]["dataset"]
    is_language = base["task"]["kind"] == "language"
    name = (FOR_CARDS if on_card or not is_language else own) if name is None else name
    if name not in known:
        raise UserError(f"--data: there is no text '{name}'. {suggest(name, known)}")
    needs = data_set("language", name).knobs
    if name != own and OF_THE_USER & set(re.findall(r"\w+", needs)):
        raise UserError(f"--data {name}: needs knobs of its own ({needs}); set them and prepare.dataset in params.yaml first")
    knobs = {"task.kind": "language", "prepare.dataset": name}
    if data_set("language", name).source == "local":
        knobs["tokenize.kind"] = "char"
    elif name == own and not on_card and is_language:
        knobs |= {f"tokenize.{knob}": value for knob, value in base["tokenize"].items()}
    else:
        knobs["tokenize.kind"] = "bpe"
    params = parse(Params, with_knobs(base, knobs))
    if knobs["tokenize.kind"] == "bpe" and "tokenize.vocab_size" not in knobs:
        return Material(name, knobs, None, KNOWN.get(name), False)
    tokens = tokens_folder(params) if data_set("language", name).source == "local" else made_tokens(params)
    if tokens is not None:
        return _counted(name, knobs, tokens)
    vocabulary = params.tokenize.vocab_size if params.tokenize.kind == "bpe" else 257
    return Material(name, knobs, vocabulary, KNOWN.get(name), False)


def _counted(name: str, knobs: Mapping[str, Any], tokens: Path) -> Material:
    """As it stands in tokens that are made."""
    meta = read_json(meta_of(tokens))
    scores = [*ngram_scores(2, tokens), *entropy(tokens)]
    losses = {score.name: score.loss for score in scores if score.split == "validation"}
    levels = {baseline: round(float(loss), 4) for baseline, loss in losses.items() if loss is not None}
    return Material(name, knobs, meta["vocabulary"], meta["tokens"]["train"], True, levels)
