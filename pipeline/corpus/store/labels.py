"""Which of the labelled training examples are learned from, and what does each label say? For texts and images alike.

Both answers hang on the labels and a seed alone. Fewer examples are among the more, and a smaller share of noise is part of a
larger one, so that runs along either knob differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Integer

from pipeline.params.data import Prepare
from pipeline.params.errors import UserError

SUBSET_STREAM, NOISE_STREAM = 1, 2  # which random numbers are drawn for what


@dataclass(frozen=True)
class TrainingSelection:
    """What is learned from.

    Attributes:
        places: of the examples that are kept, in the order in which they lie.
        labels: of those, as they are to be learned.
        says: what the card says of it; empty where all examples stay as they are.
    """

    places: Integer[np.ndarray, " n"]
    labels: Integer[np.ndarray, " n"]
    says: Mapping[str, int] = field(default_factory=dict)


def select_training(labels: Integer[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare) -> TrainingSelection:
    """What prepare.max_examples and prepare.label_noise leave of the training examples; held-out ones are never touched.

    Raises:
        UserError: some class would be left without an example.
    """
    if 0 < knobs.max_examples < len(classes):
        raise UserError(
            f"prepare.max_examples: {knobs.max_examples} leaves some of the {len(classes)} classes without an example;"
            f" {len(classes)} or more would do, 0 takes all"
        )
    places = balanced_subset(labels, knobs.max_examples or len(labels), np.random.default_rng([knobs.seed, SUBSET_STREAM]))
    kept = labels[places].astype(np.int64)
    says = {"training_examples_left_out": len(labels) - len(places)} if knobs.max_examples else {}
    if not knobs.label_noise:
        return TrainingSelection(places, kept, says)
    drawn = with_label_noise(kept, knobs.label_noise, len(classes), np.random.default_rng([knobs.seed, NOISE_STREAM]))
    noise = {"labels_drawn_anew": round(knobs.label_noise * len(kept)), "labels_that_are_wrong": int(np.sum(drawn != kept))}
    return TrainingSelection(places, drawn, says | noise)


def balanced_subset(labels: Integer[np.ndarray, " N"], examples: int, rng: np.random.Generator) -> Integer[np.ndarray, " n"]:
    """The places of so many examples, of every class as many; where one has too few, the others have the more."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]  # class after class, each in that order
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.empty(len(labels), np.int64)  # of each example within its class
    rank[by_class] = np.arange(len(labels)) - starts
    return np.sort(np.lexsort((labels, rank))[:examples])


def with_label_noise(
    labels: Integer[np.ndarray, " N"], share: float, classes: int, rng: np.random.Generator
) -> Integer[np.ndarray, " N"]:
    """The labels, of which a share is drawn anew, each class as likely: one in `classes` of those comes out as it was.

    Source: Zhang et al., "Understanding deep learning requires rethinking generalization", 2017 ("partially corrupted labels").
    """
    order, drawn = rng.permutation(len(labels)), rng.integers(classes, size=len(labels))
    anew = order[: round(share * len(labels))]
    changed = labels.copy()
    changed[anew] = drawn[anew]
    return changed
