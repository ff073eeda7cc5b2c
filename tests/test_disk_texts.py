"""Texts and images on the disk are read back unchanged, and are split as the same examples in memory would be."""

from __future__ import annotations

import random
import resource
from pathlib import Path

import numpy as np
import pytest

from pipeline.arrays import read_blocks
from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.disk_texts import DiskTexts
from pipeline.corpus.sources.splitting.exact_duplicates import find_duplicates, number_digests
from pipeline.corpus.sources.splitting.labelled_splits import Example, deduplicate, split_by_class
from pipeline.corpus.sources.splitting.text import text_digest
from pipeline.corpus.store.disk_images import DiskImages
from pipeline.corpus.store.labels import balanced_subset
from pipeline.corpus.store.text import SplitWriter, replace_folder


def rows(seed: int, count: int, texts: int, classes: int) -> list[Example]:
    """Short texts, some of them again, some of those with another label."""
    rng = random.Random(seed)
    return [Example(f"é{rng.randrange(texts)}", f"class{min(rng.randrange(classes), rng.randrange(40))}") for _ in range(count)]


def stored_on_disk(examples: list[Example]) -> DiskTexts:
    stored = DiskTexts()
    for text, label, _ in examples:
        stored.add(text, label)
    return stored


@pytest.mark.parametrize(("count", "texts"), [(0, 1), (1, 1), (300, 40), (300, 5000), (50, 1)])
def test_each_text_once_and_none_with_two_labels_as_in_memory(count: int, texts: int) -> None:
    examples = rows(count, count, texts, 4)
    stored = stored_on_disk(examples)
    found = find_duplicates(number_digests(stored.keys), stored.labels)
    kept, left_out = deduplicate(examples)
    once = np.flatnonzero(found.is_first & ~found.conflicting)
    assert [text.decode() for text in stored.read(once)] == [example.text for example in kept]
    assert np.sum(~found.is_first) == left_out.get("copies", 0)
    assert np.sum(found.is_first & found.conflicting) == left_out.get("texts_with_two_labels", 0)
    assert (found.conflict is None) == ("texts_with_two_labels" not in left_out)
    if found.conflict:
        one, other = (examples[place] for place in found.conflict)
        assert one.text == other.text and one.label != other.label
        labels: dict[str, set[str]] = {}
        for text, label, _ in examples[: found.conflict[1]]:
            labels.setdefault(text, set()).add(label)
        assert all(len(of_text) == 1 for of_text in labels.values()), "the first one"


@pytest.mark.parametrize("block", [100, 1 << 22])
def test_every_split_has_its_share_of_every_class_drawn_by_a_digest(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.corpus.sources.splitting.disk_texts.BLOCK", block)
    examples = rows(1, 3000, 10**9, 3)
    stored, classes = stored_on_disk(examples), ["class2", "class0", "class1"]
    found = find_duplicates(number_digests(stored.keys), stored.labels)
    places = np.flatnonzero(found.is_first & ~found.conflicting)
    wanted: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    kept = [examples[place] for place in places]
    for number, name in enumerate(classes):
        of_class = sorted((e.text for e in kept if e.label == name), key=lambda text: text_digest(text.encode()))
        held = round(0.1 * len(of_class))
        parts = {"validation": of_class[:held], "test": of_class[held : 2 * held], "train": of_class[2 * held :]}
        for split, texts in parts.items():
            wanted[split] += [(text, number) for text in texts]
    with SplitWriter(tmp_path) as splits:
        labels = np.array([classes.index(name) for name in stored.label_names])[stored.labels[places]]
        split_by_class(stored, places, labels, classes, {"validation": 0.1, "test": 0.1}, splits)
    order = {example.text: place for place, example in enumerate(examples)}
    for split in SPLITS:
        some = sorted(wanted[split], key=lambda each: order[each[0]])
        assert (tmp_path / f"{split}.txt").read_text() == "".join(text for text, _ in some)
        assert np.load(tmp_path / f"{split}.labels.npy").tolist() == [label for _, label in some]
        ends = np.cumsum([len(text.encode()) for text, _ in some])
        assert np.array_equal(np.load(tmp_path / f"{split}.ends.npy"), ends)


def test_places_are_taken_in_blocks_that_leave_none_out() -> None:
    stored = stored_on_disk([Example("x" * size, "a") for size in [1, 2, 3, 1 << 22, 1, 1, 1 << 23, 5]])
    for places in (np.arange(8), np.array([7, 6, 0]), np.empty(0, np.int64)):
        blocks = [places[block] for block in stored.blocks(places)]
        assert np.concatenate(blocks).tolist() == places.tolist()
    assert [block.indices(8) for block in stored.blocks(np.arange(8))] == [(0, 3, 1), (3, 6, 1), (6, 8, 1)]


def filled(kind: type[DiskTexts | DiskImages], raw: Path) -> None:
    with replace_folder(raw) as folder:
        waiting = kind(folder)
        for _ in range(20):
            if isinstance(waiting, DiskTexts):
                waiting.add("x" * 5000, "a")
            else:
                waiting.append(np.zeros((50, 100, 1), np.uint8))


@pytest.mark.parametrize("kind", [DiskTexts, DiskImages])
def test_a_disk_that_is_full_while_texts_or_images_wait_is_told_by_the_folder_that_is_being_filled(
    kind: type[DiskTexts | DiskImages], tmp_path: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError) as failed:
            filled(kind, tmp_path / "raw")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.value.filename == str(tmp_path / "raw") and not (tmp_path / "raw").exists()


@pytest.mark.parametrize("classes", [1, 7, 500])
def test_of_many_classes_each_gives_as_many_examples(classes: int) -> None:
    labels = np.random.default_rng(0).integers(classes, size=2000)
    for examples in (classes, 2 * classes, 2000):
        places = balanced_subset(labels, examples, np.random.default_rng(1))
        order = np.random.default_rng(1).permutation(len(labels))
        ranked = sorted(
            (rank, label, place)
            for label in range(classes)
            for rank, place in enumerate(place for place in order.tolist() if labels[place] == label)
        )
        assert places.tolist() == sorted(place for _, _, place in ranked[:examples])


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("train.npy", np.arange(10, dtype=np.uint16)),
        ("train.images.npy", np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)),
        ("train.ends.npy", np.empty(0, np.int64)),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_numbers_of_a_file_come_in_blocks_whatever_their_type_and_shape(
    name: str, array: np.ndarray, size: int, tmp_path: Path
) -> None:
    np.save(tmp_path / name, array)
    blocks = list(read_blocks(tmp_path / name, size))
    assert all(len(block) == size and block.dtype == array.dtype for block in blocks[:-1])
    assert np.concatenate([array.reshape(-1)[:0], *blocks]).tolist() == array.reshape(-1).tolist()
