"""What waits on the disk comes back as it was, and is dealt out as the same texts in memory would be."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from small import knobs

from pipeline.artifacts import SPLITS
from pipeline.corpus.documents import Splits, numbers
from pipeline.corpus.labelled import Example, by_class
from pipeline.corpus.labelled import distinct as distinct_in_memory
from pipeline.corpus.labels import evenly
from pipeline.corpus.shelf import Shelf, distinct
from pipeline.corpus.text import key_of


def rows(seed: int, count: int, texts: int, classes: int) -> list[Example]:
    """Short texts, some of them again, some of those with another label."""
    rng = random.Random(seed)
    return [Example(f"é{rng.randrange(texts)}", f"class{min(rng.randrange(classes), rng.randrange(40))}") for _ in range(count)]


def shelved(examples: list[Example]) -> Shelf:
    shelf = Shelf()
    for text, label, _ in examples:
        shelf.add(text, label)
    return shelf


@pytest.mark.parametrize(("count", "texts"), [(0, 1), (1, 1), (300, 40), (300, 5000), (50, 1)])
def test_each_text_once_and_none_with_two_labels_as_in_memory(count: int, texts: int) -> None:
    examples = rows(count, count, texts, 4)
    shelf = shelved(examples)
    found = distinct(shelf)
    kept, left_out = distinct_in_memory(examples)
    assert [text.decode() for text in shelf.texts(found.places)] == [example.text for example in kept]
    assert (found.copies, found.with_two_labels) == (left_out.get("copies", 0), left_out.get("texts_with_two_labels", 0))
    assert (found.contradiction is None) == (not found.with_two_labels)
    if found.contradiction:
        one, other = (examples[place] for place in found.contradiction)
        assert one.text == other.text and one.label != other.label


def test_every_split_has_its_share_of_every_class_drawn_by_a_digest(tmp_path: Path) -> None:
    examples = rows(1, 9000, 10**9, 3)
    shelf, classes = shelved(examples), ["class2", "class0", "class1"]
    found = distinct(shelf)
    wanted: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    kept = [examples[place] for place in found.places]
    for number, name in enumerate(classes):
        of_class = sorted((e.text for e in kept if e.label == name), key=lambda text: key_of(text.encode()))
        held = round(0.1 * len(of_class))
        parts = {"validation": of_class[:held], "test": of_class[held : 2 * held], "train": of_class[2 * held :]}
        for split, texts in parts.items():
            wanted[split] += [(text, number) for text in texts]
    with Splits(tmp_path) as splits:
        by_class(shelf, found.places, classes, knobs(prepare__validation_share=0.1, prepare__test_share=0.1).prepare, splits)
    order = {example.text: place for place, example in enumerate(examples)}
    for split in SPLITS:
        some = sorted(wanted[split], key=lambda each: order[each[0]])
        assert (tmp_path / f"{split}.txt").read_text() == "".join(text for text, _ in some)
        assert np.load(tmp_path / f"{split}.labels.npy").tolist() == [label for _, label in some]
        ends = np.cumsum([len(text.encode()) for text, _ in some])
        assert np.array_equal(np.load(tmp_path / f"{split}.ends.npy"), ends)


@pytest.mark.parametrize("classes", [1, 7, 500])
def test_of_many_classes_each_gives_as_many_examples(classes: int) -> None:
    labels = np.random.default_rng(0).integers(classes, size=2000)
    for examples in (classes, 2 * classes, 2000):
        places = evenly(labels, examples, np.random.default_rng(1))
        order = np.random.default_rng(1).permutation(len(labels))
        ranked = sorted(
            (rank, label, place)
            for label in range(classes)
            for rank, place in enumerate(place for place in order.tolist() if labels[place] == label)
        )
        assert places.tolist() == sorted(place for _, _, place in ranked[:examples])


def test_numbers_of_a_file_come_in_blocks_whatever_their_type_and_shape(tmp_path: Path) -> None:
    for array in (np.arange(10, dtype=np.uint16), np.arange(24).reshape(4, 3, 2), np.empty(0, np.int64)):
        np.save(tmp_path / "some.npy", array)
        for size in (1, 7, 100):
            blocks = list(numbers(tmp_path / "some.npy", size))
            assert all(len(block) == size for block in blocks[:-1])
            assert np.concatenate([array.reshape(-1)[:0], *blocks]).tolist() == array.reshape(-1).tolist()
