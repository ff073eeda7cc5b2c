"""Sample quality: how diverse the samples are (distinct-n), and how many follow the rule of the data."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int

from pipeline.corpus.grammars import GRAMMARS
from pipeline.inference.trained import TrainedModel
from pipeline.probes.passes.samples import TEMPERATURE, TEXTS, sampled_ids
from pipeline.readings import Reading, point


def sample_quality(trained: TrainedModel) -> Reading | None:
    """distinct_1 and distinct_2: different tokens (pairs) / all tokens (pairs) of 16 short samples together. valid: the share
    of the samples that follows the rule of the training text, where its generator has one (corpus/grammars.py).

    Healthy: distinct_2 near that of held-out text of the same size (the more tokens there are, the lower it is); valid rising
    to 1. Broken: distinct_2 under .1, where the samples repeat themselves.

    Distrust: an untrained model is the most diverse of all. Temperature .8 and 16 texts: differences of a few hundredths are
    noise. Valid samples may all be the same.

    Source: Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models", 2016 (distinct-n).
    """
    if not trained.is_language_model:
        return None
    ids = sampled_ids(trained)
    rows = np.empty((0, 0), np.int64) if ids is None else ids.numpy(force=True)
    numbers = {"distinct_1": distinct(rows, 1), "distinct_2": distinct(rows, 2)}
    if trained.grammar in GRAMMARS:
        numbers["valid"] = GRAMMARS[trained.grammar](documents(trained, rows))
    return point(
        "sample_quality",
        numbers,
        trained.step,
        quantity="share",
        says=f"Of {TEXTS} short samples at temperature {TEMPERATURE}: the share of different tokens and pairs, and, where the"
        " data has a rule, the share that follows it. Healthy: pairs above 0.1, valid rising to 1; noise is diverse too.",
        about="samples",
    )


def distinct(rows: Int[np.ndarray, "B T"], size: int) -> float:
    """Different n-grams / all n-grams of some rows of ids; nan without any."""
    if rows.shape[1] < size:
        return math.nan
    grams = np.lib.stride_tricks.sliding_window_view(rows, size, axis=1).reshape(-1, size)
    return len(np.unique(grams, axis=0)) / len(grams)


def documents(trained: TrainedModel, rows: Int[np.ndarray, "B T"]) -> list[str]:
    """The complete documents among the samples: the last of each row is cut short and left out."""
    end = trained.tokenizer.end
    if end is None:
        return [trained.tokenizer.decode(row) for row in rows]
    found = []
    for row in rows:
        parts = np.split(row, np.flatnonzero(row == end) + 1)
        found += [trained.tokenizer.decode(part) for part in parts[:-1]]
    return found
