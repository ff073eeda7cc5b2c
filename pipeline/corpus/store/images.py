"""The images of data/raw: split without near-duplicates across splits, written as {split}.images.npy and {split}.labels.npy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int, UInt8

from pipeline.arrays import memory_mapped, read_blocks, write_array
from pipeline.artifacts.paths import SPLITS, images_of, labels_of
from pipeline.artifacts.writing import atomic_write, rounded
from pipeline.corpus.store.disk_images import BLOCK, Concatenated, Images, Subset, blocks
from pipeline.corpus.store.image_duplicates import digests, duplicate_groups, order_by_digest
from pipeline.corpus.store.labels import select_training
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

Pixels = UInt8[np.ndarray, "N H W C"]


class ImageWriter:
    """The three splits of a set of images, while they are being filled.

    Attributes:
        folder: on whose disk there is room for images that do not fit in memory; None = the folder of temporary files.
        disjoint: whether it is known that no image looks like one of another split.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.disjoint = folder, False
        self.images: dict[str, list[Images]] = {split: [] for split in SPLITS}
        self.labels: dict[str, list[Int[np.ndarray, " N"]]] = {split: [] for split in SPLITS}

    def add(self, split: str, images: Images, labels: npt.ArrayLike) -> None:
        """Append images to a split.

        Args:
            labels: the numbers of their classes.
        """
        self.images[split].append(images)
        self.labels[split].append(np.asarray(labels, np.int64))
        self.disjoint = False

    def save(self, folder: Path, card: Card, knobs: Prepare) -> dict[str, Any]:
        """Write the splits, without images that look like one of a later split.

        Returns:
            the further entries of the card.

        Raises:
            UserError: a split is empty, a label is not the number of a class, or near-duplicates are all that a split or a
                class of training has.
        """
        empty = [split for split in SPLITS if not sum(map(len, self.labels[split]))]
        if empty:
            raise UserError(
                f"prepare: there are no images for {' and '.join(empty)};"
                " use more images, or larger prepare.validation_share and prepare.test_share"
            )
        images = {split: Concatenated(self.images[split]) for split in SPLITS}
        labels = {split: np.concatenate(self.labels[split]) for split in SPLITS}
        highest = max(int(labels[split].max()) for split in SPLITS)
        if highest >= len(card.classes):
            raise UserError(
                f"{card.name}: a label is {highest}; with {len(card.classes)} classes, the highest is {len(card.classes) - 1}"
            )
        kept = {split: np.ones(len(labels[split]), bool) for split in SPLITS} if self.disjoint else train_test_disjoint(images)
        places = {split: np.flatnonzero(kept[split]) for split in SPLITS}
        _check_remaining(labels, places, card.classes)
        choice = select_training(labels["train"][places["train"]], card.classes, knobs)
        places["train"] = places["train"][choice.places]
        final_labels = {split: labels[split][places[split]] for split in SPLITS} | {"train": choice.labels}
        for split in SPLITS:
            _write(images_of(folder, split), Subset(images[split], places[split]), knobs.shuffled_pixels)
            write_array(labels_of(folder, split), final_labels[split].astype(np.uint16))
        return {
            "examples": {split: len(places[split]) for split in SPLITS},
            "image": list(images["train"].shape[1:]),
            "lookalikes_left_out": sum(int(np.sum(~some)) for some in kept.values()),
            "shuffled_pixels": knobs.shuffled_pixels,
        } | dict(choice.card_entries)


def _check_remaining(
    labels: Mapping[str, Int[np.ndarray, " N"]], places: Mapping[str, Int[np.ndarray, " n"]], classes: Sequence[str]
) -> None:
    """Check that each split, and each class that training had, has images left without the near-duplicates.

    Raises:
        UserError: some have none.
    """
    for split, later in (("train", "a held-out one"), ("validation", "a test image")):
        if not len(places[split]):
            raise UserError(f"prepare: every {split} image is a near-duplicate of {later}; use other images")
    gone = np.setdiff1d(labels["train"], labels["train"][places["train"]])
    if len(gone):
        raise UserError(
            f"prepare: every training image of the class '{classes[gone[0]]}' is a near-duplicate of a held-out one; use others"
        )


def _write(path: Path, images: Images, shuffle: bool) -> None:
    """Write images as an .npy file, block by block."""
    with atomic_write(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": images.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for places in blocks(images, np.arange(len(images))):
            file.write((shuffle_pixels(images[places]) if shuffle else images[places]).tobytes())


PrepareImages = Callable[[Prepare, ImageWriter, Follow], Card]
"""Adds the images of a data set to the splits and returns its card."""


def split_all(
    writer: ImageWriter, images: Images, labels: Int[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare
) -> str:
    """Assign images that are published without splits to all three; how, in words for the card."""
    how = assign_splits(writer, images, labels, classes, {"validation": knobs.validation_share, "test": knobs.test_share})
    writer.disjoint = sum(len(some) for split in SPLITS for some in writer.images[split]) == len(images)
    return how


def split_training(
    writer: ImageWriter, images: Images, labels: Int[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare
) -> str:
    """Assign the training images of a set with a test split of its own to training and validation; how, in words."""
    how = assign_splits(writer, images, labels, classes, {"validation": knobs.validation_share})
    return f"the published images for testing are for testing; of those for training, {how}"


def assign_splits(
    writer: ImageWriter, images: Images, labels: Int[np.ndarray, " N"], classes: Sequence[str], shares: Mapping[str, float]
) -> str:
    """Assign images to held-out splits, and the rest to training; how, in words for the card.

    Stratified by class, and in the order of a digest of the pixels, so that neither a seed nor a few more images change the
    split of the others. Near-duplicates stay together.

    Args:
        shares: of each held-out split, 0 .. 1.

    Raises:
        UserError: a class is too small to be in every split.
    """
    hashed = digests(images)
    groups, order = duplicate_groups(images, hashed), order_by_digest(hashed)
    sizes = np.bincount(groups)
    _, first = np.unique(groups[order], return_index=True)
    leaders = order[np.sort(first)]  # the first image of each group, which the others follow
    split_of = np.full(len(sizes), "train", object)
    images_of_class = np.bincount(labels, minlength=len(classes))
    ends = np.cumsum(np.bincount(labels[leaders], minlength=len(classes)))
    of_class = np.split(groups[leaders[np.argsort(labels[leaders], kind="stable")]], ends[:-1])
    for label, name in enumerate(classes):
        left = of_class[label]
        if len(left) <= len(shares):
            raise UserError(
                f"prepare: class '{name}' has {len(left)} different images, fewer than the {len(shares) + 1} splits; add some"
            )
        for later, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
            target = round(share * int(images_of_class[label]))
            count = min(int(np.searchsorted(np.cumsum(sizes[left]), target)) + 1, len(left) - later)
            split_of[left[:count]], left = split, left[count:]
    for split in (*shares, "train"):
        some = order[split_of[groups[order]] == split]
        writer.add(split, Subset(images, some), labels[some])
    how = "class by class in the order of a digest of the pixels, images that look alike together"
    return f"{' and '.join(f'{share:.0%} for {split}' for split, share in shares.items())}, {how}"


def train_test_disjoint(images: Mapping[str, Images]) -> dict[str, Bool[np.ndarray, " N"]]:
    """Which images of each split are not near-duplicates of one in a later split, so that no test image is seen before."""
    groups = duplicate_groups(Concatenated([images[split] for split in SPLITS]))
    of_splits = np.split(groups, np.cumsum([len(images[split]) for split in SPLITS])[:-1])
    later = [np.concatenate([groups[:0], *of_splits[at + 1 :]]) for at in range(len(SPLITS))]
    return {split: ~np.isin(some, others) for split, some, others in zip(SPLITS, of_splits, later, strict=True)}


def shuffle_pixels(images: Pixels) -> Pixels:
    """The pixels of each image in one fixed random order: the same information, without neighbourhoods."""
    height, width = images.shape[1:3]
    places = np.random.default_rng(0).permutation(height * width)
    return images.reshape(len(images), height * width, -1)[:, places].reshape(images.shape)


def channel_statistics(path: Path) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) of the pixels of each channel."""
    images = memory_mapped(path)
    sums, squares = np.zeros((2, images.shape[-1]), np.int64)
    for block in read_blocks(path, BLOCK // images.shape[-1] * images.shape[-1]):
        pixels = block.reshape(-1, images.shape[-1]).astype(np.int64)
        sums += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
    count = images.size // images.shape[-1]
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return [rounded(float(m)) for m in mean], [rounded(max(float(d), 1.0)) for d in deviation]
