"""Every entry of every family of networks learns to copy, within 200 steps; or its table says why it must not.

Slow, so `./run pytest -m slow` runs them: a second of training each. The data set `repeats` has nothing to learn but copies:
who finds none can say no more than that all symbols are alike, ln(symbols). The network is the smallest that finds them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from small import knobs
from test_knob_tables import FAMILIES, KNOBS, VARIANTS

from pipeline.artifacts.paths import SPLITS, meta_of, tokenizer_of, tokens_of
from pipeline.artifacts.writing import write_json
from pipeline.corpus.encode.difficulty import write_parts
from pipeline.corpus.encode.encode import encode_split, learn
from pipeline.corpus.sources.table import TEXTS
from pipeline.corpus.store.text import SplitWriter
from pipeline.engine.loop import train_step, validate
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training
from pipeline.networks.attention import CONTROL_ATTENTIONS
from pipeline.networks.mixers import CONTROL_MIXERS
from pipeline.params.schema import Params
from pipeline.progress import follower

pytestmark = pytest.mark.slow

SYMBOLS = 12
LEARNED = 0.98 * math.log(SYMBOLS)  # who finds no copies stays within .005 of ln(symbols) (measured)

CONTROLS = {"attention": CONTROL_ATTENTIONS, "embedding_mixer": CONTROL_MIXERS}

SET_UP: dict[str, Any] = {
    "prepare": {"dataset": "repeats", "generated_chars": 200_000, "alphabet_size": SYMBOLS},
    "model": {
        "depth": 1,
        "width": 32,
        "heads": 1,
        "context_length": 64,
        "window": 32,
        "embedding_mixer": "convolution",
        "init": "orthogonal",
        "base_width": 16,
    },
    "train": {"steps": 200, "batch_size": 32, "lr": 0.06, "weight_decay": 0.0, "validation_examples": 128},
}


def set_up(**model: Any) -> Params:
    sections = SET_UP | {"model": SET_UP["model"] | model}
    return knobs(**{f"{section}__{knob}": value for section, turned in sections.items() for knob, value in turned.items()})


@pytest.fixture(scope="module")
def repeats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """(the tokens of the real data set, cut into characters; how many different ones there are)."""
    raw, tokens, follow = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("tokens"), follower("none")
    with SplitWriter(raw) as splits:
        TEXTS["repeats"](set_up().prepare, splits, follow)
    tokenizer, _ = learn(raw, "char", 0, 1, follow)
    tokenizer.save(tokenizer_of(tokens))
    for split in SPLITS:
        encode_split(raw, split, tokenizer_of(tokens), tokens_of(tokens, split), 1, follow)
    write_parts(raw, tokens, tokenizer, [splits.documents["train"]])
    write_json(meta_of(tokens), {"vocabulary": tokenizer.vocabulary})
    return tokens, tokenizer.vocabulary


def lowest(params: Params, tokens: Path, vocabulary: int) -> float:
    """The validation loss at which it has learned, or the lowest of 200 steps."""
    runtime = Runtime(params.runtime, "float32")
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, tokens, runtime)
    losses: list[float] = []
    while progress.step < params.train.steps and min(losses, default=math.inf) > LEARNED:
        for _ in range(20):
            train_step(progress, task, params.train, params.seed, runtime, lambda: False)
        losses.append(validate(progress, task, params.train, runtime, lambda: False)[0])
    return min(losses)


@pytest.mark.parametrize(("family", "name"), VARIANTS)
def test_it_finds_copies_or_is_a_control_that_cannot(family: str, name: str, repeats: tuple[Path, int]) -> None:
    turned = KNOBS[name] if family == "knob" else {family: name}
    if family == "dropout_schedule":
        turned = turned | {"dropout": 0.1, "stochastic_depth": 0.1}
    if name == "kv_heads":
        turned = turned | {"heads": 2}
    loss = lowest(set_up(**turned), *repeats)
    assert (loss > LEARNED) == (name in CONTROLS.get(family, {})), f"{loss / math.log(SYMBOLS):.3f} of ln(symbols)"


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, marked in CONTROLS.items() for name in marked])
def test_what_is_marked_as_a_control_is_there_and_says_why(family: str, name: str) -> None:
    assert name in FAMILIES[family]
    assert len(CONTROLS[family][name]) > 20
