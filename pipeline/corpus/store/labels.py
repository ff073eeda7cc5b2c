"""The subset of labelled training examples and the label noise that the knobs ask for, of texts and of images.

Both depend on the labels and a seed alone. A smaller subset is part of a larger one, and so is a smaller share of noise, so
that runs along either knob differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Integer

from pipeline.params.data import Prepare
from pipeline.params.errors import UserError

SUBSET_STREAM, NOISE_STREAM = 1, 2  # streams of random numbers


@dataclass(frozen=True)
class TrainingSelection:
    """The training examples that are kept.

    Attributes:
        places: of these examples, ascending.
        labels: of these examples, with the noise.
        card_entries: what the card says of it; empty if all examples are kept unchanged.
    """

    places: Integer[np.ndarray, " n"]
    labels: Integer[np.ndarray, " n"]
    card_entries: Mapping[str, int] = field(default_factory=dict)


def select_training(labels: Integer[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare) -> TrainingSelection:
    """The training examples by prepare.max_examples and prepare.label_noise; held-out ones are never changed.

    Raises:
        UserError: a class would be left without an example.
    """
    if 0 < knobs.max_examples < len(classes):
        raise UserError(
            f"prepare.max_examples: {knobs.max_examples} leaves some of the {len(classes)} classes without an example;"
            f" use {len(classes)} or more, or 0 for all"
        )
    places = balanced_subset(labels, knobs.max_examples or len(labels), np.random.default_rng([knobs.seed, SUBSET_STREAM]))
    kept = labels[places].astype(np.int64)
    entries = {"training_examples_left_out": len(labels) - len(places)} if knobs.max_examples else {}
    if not knobs.label_noise:
        return TrainingSelection(places, kept, entries)
    drawn = with_label_noise(kept, knobs.label_noise, len(classes), np.random.default_rng([knobs.seed, NOISE_STREAM]))
    noise = {"labels_drawn_anew": round(knobs.label_noise * len(kept)), "labels_that_are_wrong": int(np.sum(drawn != kept))}
    return TrainingSelection(places, drawn, entries | noise)


def balanced_subset(labels: Integer[np.ndarray, " N"], examples: int, rng: np.random.Generator) -> Integer[np.ndarray, " n"]:
    """The places of this many examples, equally many of every class; if a class has too few, the others make up for it."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]  # class after class, each in that order
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.empty(len(labels), np.int64)  # of each example within its class
    rank[by_class] = np.arange(len(labels)) - starts
    return np.sort(np.lexsort((labels, rank))[:examples])


def with_label_noise(
    labels: Integer[np.ndarray, " N"], share: float, classes: int, rng: np.random.Generator
) -> Integer[np.ndarray, " N"]:
    """The labels with a share of them redrawn uniformly over the classes, so that one in `classes` of these stays the same.

    Source: Zhang et al., "Understanding deep learning requires rethinking generalization", 2017 ("partially corrupted labels").
    """
    order, drawn = rng.permutation(len(labels)), rng.integers(classes, size=len(labels))
    redrawn = order[: round(share * len(labels))]
    changed = labels.copy()
    changed[redrawn] = drawn[redrawn]
    return changed
