"""In what form do images wait to be learned? The arrays of data/raw: {split}.images.npy and {split}.labels.npy, and a card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int, UInt8

from pipeline.artifacts import SPLITS, images_of, labels_of, memory_mapped, rounded, write_array
from pipeline.corpus.documents import Card
from pipeline.corpus.labels import chosen
from pipeline.corpus.lookalikes import lookalikes
from pipeline.corpus.progress import Follow
from pipeline.params import Prepare, Refusal

Pixels = UInt8[np.ndarray, "N H W C"]


class Pictures:
    """The three splits of a set of images, while they are being filled."""

    def __init__(self) -> None:
        self.images: dict[str, list[Pixels]] = {split: [] for split in SPLITS}
        self.labels: dict[str, list[Int[np.ndarray, " N"]]] = {split: [] for split in SPLITS}

    def add(self, split: str, images: Pixels, labels: npt.ArrayLike) -> None:
        """Append images to a split, and the numbers of their classes."""
        self.images[split].append(images)
        self.labels[split].append(np.asarray(labels, np.int64))

    def save(self, folder: Path, card: Card, knobs: Prepare) -> dict[str, Any]:
        """Write what is there, without what looks like an image of a later split; what the card says of it.

        Raises:
            Refusal: a split is empty, or a label is none of the classes.
        """
        empty = [split for split in SPLITS if not sum(map(len, self.labels[split]))]
        if empty:
            raise Refusal(f"prepare: there are no images for {' and '.join(empty)}; more of them or larger shares would do")
        images = {split: np.concatenate(self.images[split]) for split in SPLITS}
        labels = {split: np.concatenate(self.labels[split]) for split in SPLITS}
        highest = max(int(labels[split].max()) for split in SPLITS)
        if highest >= len(card.classes):
            raise Refusal(f"{card.name}: a label is {highest}, and there are {len(card.classes)} classes, from 0 on")
        kept = apart(images)
        choice = chosen(labels["train"][kept["train"]], card.classes, knobs)
        for split in SPLITS:
            images[split], labels[split] = images[split][kept[split]], labels[split][kept[split]]
        images["train"], labels["train"] = images["train"][choice.places], choice.labels
        for split in SPLITS:
            write_array(images_of(folder, split), shuffled(images[split]) if knobs.shuffled_pixels else images[split])
            write_array(labels_of(folder, split), labels[split].astype(np.uint16))
        return {
            "examples": {split: len(labels[split]) for split in SPLITS},
            "image": list(images["train"].shape[1:]),
            "lookalikes_left_out": sum(int(np.sum(~places)) for places in kept.values()),
            "shuffled_pixels": knobs.shuffled_pixels,
        } | dict(choice.says)


ImageSet = Callable[[Prepare, Pictures, Follow], Card]
"""Fills the splits with images and says where they came from."""


def split_all(pictures: Pictures, images: Pixels, labels: Int[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare) -> str:
    """Fill all three splits with images that are published without any; how, in words."""
    return deal_out(pictures, images, labels, classes, {"validation": knobs.validation_share, "test": knobs.test_share})


def split_training(
    pictures: Pictures, images: Pixels, labels: Int[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare
) -> str:
    """Take the validation split from the images for training of a set that has its own for testing; how, in words."""
    how = deal_out(pictures, images, labels, classes, {"validation": knobs.validation_share})
    return f"the published images for testing are for testing; of those for training, {how}"


def deal_out(
    pictures: Pictures, images: Pixels, labels: Int[np.ndarray, " N"], classes: Sequence[str], shares: Mapping[str, float]
) -> str:
    """Deal images out to held-out splits, and what is left to training; how, in words.

    Class by class, so that each split has the same mixture, and in the order of a digest of their pixels, so that neither a
    seed nor a few more images deal the others anew. Images that look alike stay together.

    Raises:
        Refusal: some class is too small to be in every split.
    """
    groups = lookalikes(images)
    sizes = np.bincount(groups)
    order = np.array(sorted(range(len(images)), key=lambda place: hashlib.sha256(images[place].tobytes()).digest()))
    _, first = np.unique(groups[order], return_index=True)
    leaders = order[np.sort(first)]  # of each group the image that comes first, and takes the others along
    split_of = np.full(len(sizes), "train", object)
    for label, name in enumerate(classes):
        left = groups[leaders[labels[leaders] == label]]
        if len(left) <= len(shares):
            raise Refusal(
                f"prepare: class '{name}' has {len(left)} images that do not look alike; each of the {len(shares) + 1} splits"
                " wants one of them"
            )
        for later, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
            wanted = round(share * np.count_nonzero(labels == label))
            count = min(int(np.searchsorted(np.cumsum(sizes[left]), wanted)) + 1, len(left) - later)
            split_of[left[:count]], left = split, left[count:]
    for split in (*shares, "train"):
        some = order[split_of[groups[order]] == split]
        pictures.add(split, images[some], labels[some])
    how = "class by class in the order of a digest of the pixels, images that look alike together"
    return f"{' and '.join(f'{share:.0%} for {split}' for split, share in shares.items())}, {how}"


def apart(images: Mapping[str, Pixels]) -> dict[str, Bool[np.ndarray, " N"]]:
    """Which images of each split look like none of a split that is looked at later: of a test none is known before it."""
    groups = lookalikes(np.concatenate([images[split] for split in SPLITS]))
    of_splits = np.split(groups, np.cumsum([len(images[split]) for split in SPLITS])[:-1])
    later = [np.concatenate([groups[:0], *of_splits[at + 1 :]]) for at in range(len(SPLITS))]
    return {split: ~np.isin(some, others) for split, some, others in zip(SPLITS, of_splits, later, strict=True)}


def shuffled(images: Pixels) -> Pixels:
    """The same pixels in other places, the same ones for every image of that size: as much to see, and no neighbours."""
    height, width = images.shape[1:3]
    places = np.random.default_rng(0).permutation(height * width)
    return images.reshape(len(images), height * width, -1)[:, places].reshape(images.shape)


def scale_of(path: Path) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) of the pixels of each channel."""
    pixels = memory_mapped(path)
    mean, deviation = pixels.mean(axis=(0, 1, 2), dtype=np.float64), pixels.std(axis=(0, 1, 2), dtype=np.float64)
    return [rounded(float(m)) for m in mean], [rounded(max(float(d), 1.0)) for d in deviation]
