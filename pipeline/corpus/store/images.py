"""In what form do images wait to be learned? The arrays of data/raw: {split}.images.npy and {split}.labels.npy, and a card."""

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
from pipeline.corpus.store.disk_images import BLOCK, Images, Joined, Some, blocks
from pipeline.corpus.store.image_duplicates import by_digest, digests, lookalikes
from pipeline.corpus.store.labels import chosen
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow

Pixels = UInt8[np.ndarray, "N H W C"]


class ImageWriter:
    """The three splits of a set of images, while they are being filled.

    Attributes:
        folder: where there is room for images that are too many for memory (`Stack`); None = where temporary files lie.
        apart: whether no image is known to look like one of another split.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.apart = folder, False
        self.images: dict[str, list[Images]] = {split: [] for split in SPLITS}
        self.labels: dict[str, list[Int[np.ndarray, " N"]]] = {split: [] for split in SPLITS}

    def add(self, split: str, images: Images, labels: npt.ArrayLike) -> None:
        """Append images to a split, and the numbers of their classes."""
        self.images[split].append(images)
        self.labels[split].append(np.asarray(labels, np.int64))
        self.apart = False

    def save(self, folder: Path, card: Card, knobs: Prepare) -> dict[str, Any]:
        """Write what is there, without what looks like an image of a later split; what the card says of it.

        Raises:
            UserError: a split is empty, a label is none of the classes, or look-alikes are all that a split or a class of
                training has.
        """
        empty = [split for split in SPLITS if not sum(map(len, self.labels[split]))]
        if empty:
            raise UserError(f"prepare: there are no images for {' and '.join(empty)}; more of them or larger shares would do")
        images = {split: Joined(self.images[split]) for split in SPLITS}
        labels = {split: np.concatenate(self.labels[split]) for split in SPLITS}
        highest = max(int(labels[split].max()) for split in SPLITS)
        if highest >= len(card.classes):
            raise UserError(f"{card.name}: a label is {highest}, and there are {len(card.classes)} classes, from 0 on")
        kept = {split: np.ones(len(labels[split]), bool) for split in SPLITS} if self.apart else train_test_disjoint(images)
        places = {split: np.flatnonzero(kept[split]) for split in SPLITS}
        _check_left(labels, places, card.classes)
        choice = chosen(labels["train"][places["train"]], card.classes, knobs)
        places["train"] = places["train"][choice.places]
        said = {split: labels[split][places[split]] for split in SPLITS} | {"train": choice.labels}
        for split in SPLITS:
            _write(images_of(folder, split), Some(images[split], places[split]), knobs.shuffled_pixels)
            write_array(labels_of(folder, split), said[split].astype(np.uint16))
        return {
            "examples": {split: len(places[split]) for split in SPLITS},
            "image": list(images["train"].shape[1:]),
            "lookalikes_left_out": sum(int(np.sum(~some)) for some in kept.values()),
            "shuffled_pixels": knobs.shuffled_pixels,
        } | dict(choice.says)


def _check_left(
    labels: Mapping[str, Int[np.ndarray, " N"]], places: Mapping[str, Int[np.ndarray, " n"]], classes: Sequence[str]
) -> None:
    """See that a split, and each class that training had, is not gone with the look-alikes that are left out."""
    for split, later in (("train", "a held-out one"), ("validation", "one for test")):
        if not len(places[split]):
            raise UserError(f"prepare: every image for {split} looks like {later}, and nothing would be left; use other images")
    gone = np.setdiff1d(labels["train"], labels["train"][places["train"]])
    if len(gone):
        raise UserError(
            f"prepare: every image for training of the class '{classes[gone[0]]}' looks like a held-out one; use other images"
        )


def _write(path: Path, images: Images, shuffle: bool) -> None:
    """Write images as an .npy file, a block at a time."""
    with atomic_write(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": images.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for places in blocks(images, np.arange(len(images))):
            file.write((shuffled(images[places]) if shuffle else images[places]).tobytes())


ImageSet = Callable[[Prepare, ImageWriter, Follow], Card]
"""Fills the splits with images and says where they came from."""


def split_all(
    pictures: ImageWriter, images: Images, labels: Int[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare
) -> str:
    """Fill all three splits, which are empty, with images that are published without any; how, in words."""
    how = deal_out(pictures, images, labels, classes, {"validation": knobs.validation_share, "test": knobs.test_share})
    pictures.apart = sum(len(some) for split in SPLITS for some in pictures.images[split]) == len(images)
    return how


def split_training(
    pictures: ImageWriter, images: Images, labels: Int[np.ndarray, " N"], classes: Sequence[str], knobs: Prepare
) -> str:
    """Take the validation split from the images for training of a set that has its own for testing; how, in words."""
    how = deal_out(pictures, images, labels, classes, {"validation": knobs.validation_share})
    return f"the published images for testing are for testing; of those for training, {how}"


def deal_out(
    pictures: ImageWriter, images: Images, labels: Int[np.ndarray, " N"], classes: Sequence[str], shares: Mapping[str, float]
) -> str:
    """Deal images out to held-out splits, and what is left to training; how, in words.

    Class by class, so that each split has the same mixture, and in the order of a digest of their pixels, so that neither a
    seed nor a few more images deal the others anew. Images that look alike stay together.

    Raises:
        UserError: some class is too small to be in every split.
    """
    hashed = digests(images)
    groups, order = lookalikes(images, hashed), by_digest(hashed)
    sizes = np.bincount(groups)
    _, first = np.unique(groups[order], return_index=True)
    leaders = order[np.sort(first)]  # of each group the image that comes first, and takes the others along
    split_of = np.full(len(sizes), "train", object)
    images_of_class = np.bincount(labels, minlength=len(classes))
    ends = np.cumsum(np.bincount(labels[leaders], minlength=len(classes)))
    of_class = np.split(groups[leaders[np.argsort(labels[leaders], kind="stable")]], ends[:-1])
    for label, name in enumerate(classes):
        left = of_class[label]
        if len(left) <= len(shares):
            raise UserError(
                f"prepare: class '{name}' has {len(left)} images that do not look alike; each of the {len(shares) + 1} splits"
                " wants one of them"
            )
        for later, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
            wanted = round(share * int(images_of_class[label]))
            count = min(int(np.searchsorted(np.cumsum(sizes[left]), wanted)) + 1, len(left) - later)
            split_of[left[:count]], left = split, left[count:]
    for split in (*shares, "train"):
        some = order[split_of[groups[order]] == split]
        pictures.add(split, Some(images, some), labels[some])
    how = "class by class in the order of a digest of the pixels, images that look alike together"
    return f"{' and '.join(f'{share:.0%} for {split}' for split, share in shares.items())}, {how}"


def train_test_disjoint(images: Mapping[str, Images]) -> dict[str, Bool[np.ndarray, " N"]]:
    """Which images of each split look like none of a split that is looked at later: of a test none is known before it."""
    groups = lookalikes(Joined([images[split] for split in SPLITS]))
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
