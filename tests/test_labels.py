"""The labelled examples that are trained on, and their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small import knobs

from pipeline.corpus.store.labels import TrainingSelection, select_training
from pipeline.params.errors import UserError

pytestmark = pytest.mark.shapes

LABELS = np.repeat([0, 1, 2, 3], [500, 300, 200, 20])
CLASSES = ["ape", "bee", "cat", "dog"]


def choice(**changes: Any) -> TrainingSelection:
    prepare = knobs(task__kind="classify", prepare__dataset="dyck", **{f"prepare__{name}": x for name, x in changes.items()})
    return select_training(LABELS, CLASSES, prepare.prepare)


def test_without_a_knob_all_examples_stay_as_they_are() -> None:
    found = choice()
    assert found.places.tolist() == list(range(len(LABELS)))
    assert found.labels.tolist() == LABELS.tolist()
    assert not found.card_entries


@pytest.mark.parametrize(
    ("examples", "of_each"), [(40, [10, 10, 10, 10]), (4, [1] * 4), (200, [60, 60, 60, 20]), (42, [11, 11, 10, 10])]
)
def test_examples_are_drawn_evenly_over_the_classes_as_far_as_there_are_any(examples: int, of_each: list[int]) -> None:
    found = choice(max_examples=examples)
    assert np.bincount(found.labels).tolist() == of_each
    assert (np.diff(found.places) > 0).all() and (LABELS[found.places] == found.labels).all()
    assert found.card_entries == {"training_examples_left_out": len(LABELS) - examples}


def test_fewer_examples_are_among_the_more_and_another_seed_draws_others() -> None:
    few, more = (set(choice(max_examples=examples).places.tolist()) for examples in (100, 500))
    assert few < more
    assert set(choice(max_examples=100, seed=4).places.tolist()) != few
    assert set(choice(max_examples=100).places.tolist()) == few


def test_more_examples_than_there_are_is_all_of_them_and_fewer_than_classes_is_one_line() -> None:
    assert len(choice(max_examples=10_000).places) == len(LABELS)
    with pytest.raises(
        UserError, match=r"prepare\.max_examples: 3 leaves some of the 4 classes without an example; use 4 or more"
    ):
        choice(max_examples=3)


def test_noise_draws_its_share_of_the_labels_anew_and_says_how_many_are_wrong() -> None:
    found = choice(label_noise=0.4)
    wrong = int((found.labels != LABELS).sum())
    assert found.card_entries == {"labels_drawn_anew": 408, "labels_that_are_wrong": wrong}
    assert wrong == pytest.approx(408 * 3 / 4, abs=40)  # one in four comes out as it was
    drawn = np.bincount(found.labels[found.labels != LABELS], minlength=4)
    assert drawn.min() > 40  # each class is as likely, the rare one too


def test_a_smaller_share_of_noise_is_part_of_a_larger_one_and_all_noise_knows_no_class() -> None:
    some, more, all_of_it = (choice(label_noise=share).labels for share in (0.1, 0.4, 1.0))
    changed = some != LABELS
    assert (some[changed] == more[changed]).all()
    assert np.bincount(all_of_it[LABELS == 0], minlength=4) == pytest.approx(125, abs=35)
