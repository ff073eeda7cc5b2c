"""Every optimizer has a small network find out, within 200 steps, that blocks of random symbols are written twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import StopAfter, knobs, write_tokens

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.table import TEXTS
from pipeline.corpus.store.text import SplitWriter
from pipeline.engine.loop import fit
from pipeline.engine.optimizers.table import OPTIMIZERS
from pipeline.engine.runtime.runtime import Runtime
from pipeline.engine.setup import build_training
from pipeline.progress import follower

SYMBOLS, LENGTH = 16, 200_000
RATES = {"muon": 0.05, "schedule_free": 0.03, "lion": 0.003}  # the others: 0.02
TOO_SLOW = {
    "sgd": "one rate for matrices whose gradients differ by orders (Zhang et al., 'Why Transformers Need Adam', 2024)",
    "adafactor": "no weight moves by more than a share of 1/√step of its matrix's size, and half of the matrices start at 0",
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set `repeats`, a token a symbol."""
    raw = tmp_path_factory.mktemp("raw")
    folder = write_tokens(tmp_path_factory.mktemp("tokens"), LENGTH, SYMBOLS)
    with SplitWriter(raw) as splits:
        prepare = knobs(
            prepare__dataset="repeats", prepare__alphabet_size=SYMBOLS, prepare__generated_chars=LENGTH + 1000
        ).prepare
        TEXTS["repeats"](prepare, splits, follower("none"))
    for split in SPLITS:
        symbols = np.frombuffer((raw / f"{split}.txt").read_bytes(), np.uint8)
        np.save(folder / f"{split}.npy", np.unique(symbols, return_inverse=True)[1].astype(np.uint8)[:LENGTH])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_learns_to_copy_within_200_steps_or_says_why_not(name: str, tokens: Path) -> None:
    size = {"model__depth": 1, "model__width": 32, "model__heads": 1, "model__context_length": 64, "train__batch_size": 32}
    course = {
        "train__steps": 200,
        "train__schedule": "constant",
        "train__validation_points": 1,
        "train__validation_examples": 128,
    }
    averages = {"train__beta1": 0.9, "train__beta2": 0.98, "train__weight_decay": 0.0}
    params = knobs(train__optimizer=name, train__lr=RATES.get(name, 0.02), **size, **course, **averages)
    runtime = Runtime(params.runtime, "float32")
    progress, task = build_training(params.seed, params.task.kind, params.model, params.train, tokens, runtime)
    fit(progress, task, params.train, params.seed, runtime, StopAfter())
    [row] = progress.validations
    shares = np.bincount(np.load(tokens / "validation.npy")) / len(np.load(tokens / "validation.npy"))
    unigram = float(-(shares * np.log(shares)).sum())
    assert (row["loss"] < unigram - 0.005) == (name not in TOO_SLOW), TOO_SLOW.get(name, f"{row['loss']:.3f} {unigram:.3f}")
