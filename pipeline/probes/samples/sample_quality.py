"""Is what it writes varied, and by the rules?"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int

from pipeline.corpus.grammars import GRAMMARS
from pipeline.inference.trained import Subject
from pipeline.probes.passes.generate import TEMPERATURE, TEXTS, written
from pipeline.readings import Reading, point


def sample_quality(subject: Subject) -> Reading | None:
    """distinct_1 and distinct_2: different tokens (pairs) / all tokens (pairs) of 16 short texts together. valid: the share of
    what was written that keeps the rule of the text it learned from, where its maker knows one (corpus/grammars.py).

    Healthy: distinct_2 near that of held-out text of the same size (the more tokens there are, the lower it is); valid rising
    to 1. Broken: distinct_2 under .1, where it says the same again and again.

    Distrust: an untrained model is the most varied of all. Temperature .8 and 16 texts: differences of a few hundredths are
    noise. What is valid need not be varied.

    Source: Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models", 2016 (distinct-n).
    """
    if not subject.writes:
        return None
    ids = written(subject)
    rows = np.empty((0, 0), np.int64) if ids is None else ids.numpy(force=True)
    numbers = {"distinct_1": distinct(rows, 1), "distinct_2": distinct(rows, 2)}
    if subject.grammar in GRAMMARS:
        numbers["valid"] = GRAMMARS[subject.grammar](documents(subject, rows))
    return point(
        "sample_quality",
        numbers,
        subject.step,
        quantity="share",
        says=f"Of {TEXTS} short texts at temperature {TEMPERATURE}: how many of their tokens and pairs are different ones, and,"
        " where the data has a rule, how much keeps it. Healthy: pairs above 0.1, valid rising to 1; noise is varied too.",
        about="samples",
    )


def distinct(rows: Int[np.ndarray, "B T"], size: int) -> float:
    """Different n-grams / all n-grams of some rows of ids; not a number without any."""
    if rows.shape[1] < size:
        return math.nan
    grams = np.lib.stride_tricks.sliding_window_view(rows, size, axis=1).reshape(-1, size)
    return len(np.unique(grams, axis=0)) / len(grams)


def documents(subject: Subject, rows: Int[np.ndarray, "B T"]) -> list[str]:
    """The whole documents among what was written: the last of each row is cut short and left out."""
    end = subject.tokenizer.end
    if end is None:
        return [subject.tokenizer.decode(row) for row in rows]
    found = []
    for row in rows:
        parts = np.split(row, np.flatnonzero(row == end) + 1)
        found += [subject.tokenizer.decode(part) for part in parts[:-1]]
    return found
