"""Signs of the data themselves, before any network: size and likeness of the splits, repetition, tokens, documents, labels."""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.doctor.case import Case
from pipeline.doctor.signs.base import CLASSES, LANGUAGE, THUMB, Range, Sign

SURE = 1.96  # standard errors on each side of a 95 % interval


def of_material(name: str) -> Callable[[Case], float | None]:
    """The number of this name in Case.material."""
    return lambda case: case.material.get(name)


def accuracy_error(case: Case) -> float | None:
    """Half of the 95 % interval of the accuracy on the validation split: 1.96 · √(p (1 − p) / n); 1 / √n at most."""
    accuracy, examples = case.levels.get("accuracy"), sum(map(sum, case.confusion))
    return None if accuracy is None or examples <= 0 else SURE * math.sqrt(accuracy * (1 - accuracy) / examples)


MATERIAL = {
    "held_out_error": Sign(
        of_material("held_out_error"),
        "The validation split is so small that its loss is known to {value} of it only (half of a 95 % interval, by the"
        " bigram baseline).",
        Range(THUMB, high=0.025, sick_high=0.04),
        "loss",
        LANGUAGE,
    ),
    "accuracy_error": Sign(
        accuracy_error,
        "The validation split is so small that the accuracy is known to {value} only (half of a 95 % interval).",
        Range(THUMB, high=0.07, sick_high=0.12),
        "scores",
        CLASSES,
    ),
    "split_difference": Sign(
        of_material("split_difference"),
        "The bigram baseline's loss on validation text differs by {value} of it from that on unseen training text.",
        Range(THUMB, low=-0.08, high=0.1, sick_low=-0.15, sick_high=0.25),
        "loss",
        LANGUAGE,
    ),
    "repeated": Sign(
        of_material("repeated"),
        "Of the training text, {value} occurs in it more than once, word for word.",
        Range(THUMB, high=0.55, sick_high=0.8),
        "loss",
        LANGUAGE,
    ),
    "vocabulary_used": Sign(
        of_material("vocabulary_used"),
        "Of the tokenizer's tokens, {value} occur in the training text.",
        Range(THUMB, low=0.3, sick_low=0.1),
        "loss",
        LANGUAGE,
    ),
    "token_excess": Sign(
        of_material("token_excess"),
        "The tokenizer, learned elsewhere, cuts this text into {value} more tokens than byte pairs learned on it.",
        Range(THUMB, high=0.2, sick_high=0.4),
        "loss",
        LANGUAGE,
    ),
    "documents_per_window": Sign(
        of_material("documents_per_window"),
        "A context holds {value} documents, so most of what it shows is not the text that is to be continued.",
        Range(THUMB, high=6.0, sick_high=30.0),
        "loss_by_position",
        LANGUAGE,
    ),
    "contradicted": Sign(
        of_material("contradicted"),
        "Where logistic regression, fitted on other examples, is surest, {value} of the labels are another class.",
        Range(THUMB, high=0.14, sick_high=0.18),
        "scores",
        CLASSES,
    ),
}
