"""The user's own images, a folder for each class, made into three splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.exact_duplicates import find_duplicates, number_digests
from pipeline.corpus.sources.user.bad_data import BadData
from pipeline.corpus.sources.user.classes import merge_labels, sort_classes
from pipeline.corpus.sources.user.folder_layout import (
    describe_layout,
    missing_splits,
)
from pipeline.corpus.sources.user.image_files import describe_shape, read_pixels
from pipeline.corpus.sources.user.image_folders import ImageFile, find_images
from pipeline.corpus.store.disk_images import DiskImages, Images, Subset
from pipeline.corpus.store.image_duplicates import digests
from pipeline.corpus.store.images import ImageWriter, assign_splits, split_all
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say

NO_SPLIT = len(SPLITS)  # in place of the index of a split


def user_images(knobs: Prepare, writer: ImageWriter, follow: Follow) -> Card:
    """The user's own images: a folder for each class, all of one size, all grey or all in colour.

    Published splits (train, val, test with the classes in each) are kept.

    Raises:
        UserError: there are too few images, or they do not have the same size and kind.
    """
    found = find_images(knobs)
    class_of = merge_labels(one.label for one in found)
    classes = sort_classes(set(class_of.values()))
    if len(classes) < 2:
        raise UserError(f"prepare.path: '{knobs.path}' has images of one class, '{classes[0]}'; two or more are needed")
    bad_data = BadData(knobs, "images")
    images = DiskImages(writer.folder)
    read = _read(found, images, bad_data, follow)
    skipped = bad_data.report()
    number = {name: number for number, name in enumerate(classes)}
    labels = np.array([number[class_of[one.label]] for one in read], np.int64)
    split_of = np.array([SPLITS.index(one.split) if one.split else NO_SPLIT for one in read], np.int64)
    keep = _without_conflicts(read, images, labels, split_of)
    if not len(keep):
        raise UserError(f"prepare.path: '{knobs.path}' has no image that can be used")
    left_out = skipped | ({"images_with_two_labels": gone} if (gone := len(read) - len(keep)) else {})
    how = _write_splits(writer, Subset(images, keep), labels[keep], classes, split_of[keep], knobs)
    return Card(
        name="file",
        source="the user's own images",
        licence="the user's own: not known to us",
        split=how,
        classes=classes,
        left_out=left_out,
    )


def _read(found: Sequence[ImageFile], images: DiskImages, bad_data: BadData, follow: Follow) -> list[ImageFile]:
    """Add the pixels of the images that can be used to `images`; the files of these.

    Raises:
        UserError: they do not have the same size and kind.
    """
    read: list[ImageFile] = []
    with follow("reading your images", sum(one.path.stat().st_size for one in found)) as advance:
        for one in found:
            try:
                pixels = read_pixels(one.path)
            except UserError as refusal:
                bad_data.add(str(refusal))
                continue
            if read and pixels.shape != images.shape[1:]:
                raise UserError(
                    f"{one.path} is {describe_shape(pixels.shape)}, {read[0].path} is {describe_shape(images.shape[1:])};"
                    " all images must have the same size and kind"
                )
            read.append(one)
            images.append(pixels)
            advance(one.path.stat().st_size)
    return read


def _without_conflicts(
    read: Sequence[ImageFile], images: Images, labels: Int[np.ndarray, " N"], split_of: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " n"]:
    """The places of images that are not in the folders of two classes, within one split; prints if some are."""
    numbers = number_digests(np.column_stack([digests(images).view(np.uint64), split_of.astype(np.uint64)]))
    found = find_duplicates(numbers, labels)
    if found.conflict:
        example = " and ".join(str(read[place].path) for place in found.conflict)
        twice = int(np.sum(found.conflicting & found.is_first))
        say(f"left out: {twice:,} images that are in the folders of two classes, such as {example}")
    return np.flatnonzero(~found.conflicting)


def _write_splits(
    writer: ImageWriter,
    images: Images,
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    split_of: Int[np.ndarray, " N"],
    knobs: Prepare,
) -> str:
    """Write the splits: published ones unchanged, the others taken from training; how, in words for the card."""
    if (split_of == NO_SPLIT).all():
        return split_all(writer, images, labels, classes, knobs)
    places = {split: some for number, split in enumerate(SPLITS) if len(some := np.flatnonzero(split_of == number))}
    if "train" not in places:
        raise UserError(f"prepare.path: '{knobs.path}' has no training image that can be used")
    _report_missing_classes({split: labels[some] for split, some in places.items()}, classes, knobs)
    how, lacking = describe_layout(places), missing_splits(places, knobs)
    for split, some in places.items():
        if split == "train" and lacking:
            how += f": {assign_splits(writer, Subset(images, some), labels[some], classes, lacking)}"
        else:
            writer.add(split, Subset(images, some), labels[some])
    return how


def _report_missing_classes(labels: dict[str, np.ndarray], classes: Sequence[str], knobs: Prepare) -> None:
    """Print which classes a held-out split lacks.

    Raises:
        UserError: training lacks one.
    """
    for split, some in labels.items():
        held = set(some.tolist())
        if absent := [name for number, name in enumerate(classes) if number not in held]:
            if split == "train":
                raise UserError(f"prepare.path: the class '{absent[0]}' has held-out images, but none for training")
            say(f"the split {split} has no image of the class '{absent[0]}'")
