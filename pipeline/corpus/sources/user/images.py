"""What did the user photograph or draw? A folder with a folder of images for each class, or one of those for each split."""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.artifacts.paths import SPLITS
from pipeline.corpus.sources.splitting.exact_duplicates import numbered, repeats
from pipeline.corpus.sources.user.bad_data import Unusable
from pipeline.corpus.sources.user.classes import classes_of, in_order
from pipeline.corpus.sources.user.folder_layout import (
    EITHER,
    either_of,
    files_in,
    is_own,
    is_split,
    kept,
    missing,
    say_kept,
    split_named,
    usable,
)
from pipeline.corpus.store.disk_images import DiskImages, Images, Some
from pipeline.corpus.store.image_duplicates import digests
from pipeline.corpus.store.images import ImageWriter, deal_out, split_all
from pipeline.corpus.store.text import Card
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Follow, say

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no format whose reader starts another program
DAMAGE = (OSError, ValueError, SyntaxError, IndexError, TypeError, EOFError, struct.error, zlib.error)  # as Pillow says it
# Pillow's modes, and as which each is read. What has transparent places in a palette or as one colour is read as RGBA as well.
READ_AS = {"1": "L", "P": "RGB", "L": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "PA": "RGBA"}
BITS_PER_SAMPLE = 258  # TIFF's tag
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
NO_SPLIT = len(SPLITS)  # in place of the number of a split


class Found(NamedTuple):
    """An image file: the split it is published in ("" where there is none), and the folder that says its class."""

    split: str
    label: str
    path: Path


def file(knobs: Prepare, pictures: ImageWriter, follow: Follow) -> Card:
    """The user's own images: a folder with a folder for each class, all of one size, all grey or all in colour.

    A published split (train, val, test with the classes in each) is kept.
    """
    found = own_images(knobs)
    class_of = classes_of(one.label for one in found)
    classes = in_order(set(class_of.values()))
    if len(classes) < 2:
        raise UserError(f"prepare.path: '{knobs.path}' holds images of one class, '{classes[0]}'; two or more are wanted")
    unusable = Unusable(knobs, "images")
    images = DiskImages(pictures.folder)
    read = _read(found, images, unusable, follow)
    faulty = unusable.told()
    number = {name: number for number, name in enumerate(classes)}
    labels = np.array([number[class_of[one.label]] for one in read], np.int64)
    split_of = np.array([SPLITS.index(one.split) if one.split else NO_SPLIT for one in read], np.int64)
    keep = _of_one_class(read, images, labels, split_of)
    if not len(keep):
        raise UserError(f"prepare.path: '{knobs.path}' holds no image that can be used")
    left_out = faulty | ({"images_with_two_labels": gone} if (gone := len(read) - len(keep)) else {})
    how = _fill(pictures, Some(images, keep), labels[keep], classes, split_of[keep], knobs)
    return Card(
        name="file",
        source="the user's own images",
        licence="the user's own: not known to us",
        split=how,
        classes=classes,
        left_out=left_out,
    )


def _read(found: Sequence[Found], images: DiskImages, unusable: Unusable, follow: Follow) -> list[Found]:
    """Put the pixels of the images that can be used on a stack; which ones these are.

    Raises:
        UserError: they are not of one size and kind.
    """
    read: list[Found] = []
    with follow("reading your images", sum(one.path.stat().st_size for one in found)) as advance:
        for one in found:
            try:
                pixels = pixels_of(one.path)
            except UserError as refusal:
                unusable.add(str(refusal))
                continue
            if read and pixels.shape != images.shape[1:]:
                raise UserError(
                    f"{one.path} is {described(pixels.shape)}, {read[0].path} is {described(images.shape[1:])};"
                    " a network wants images of one size and kind"
                )
            read.append(one)
            images.append(pixels)
            advance(one.path.stat().st_size)
    return read


def _of_one_class(
    read: Sequence[Found], images: Images, labels: Int[np.ndarray, " N"], split_of: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " n"]:
    """The places of images that are not in the folders of two classes, of one split; that some are is said."""
    things = numbered(np.column_stack([digests(images).view(np.uint64), split_of.astype(np.uint64)]))
    found = repeats(things, labels)
    if found.contradiction:
        such = " and ".join(str(read[place].path) for place in found.contradiction)
        twice = int(np.sum(found.doubtful & found.different))
        say(f"left out: {twice:,} images that are in the folders of two classes, such as {such}")
    return np.flatnonzero(~found.doubtful)


def _fill(
    pictures: ImageWriter,
    images: Images,
    labels: Int[np.ndarray, " N"],
    classes: Sequence[str],
    split_of: Int[np.ndarray, " N"],
    knobs: Prepare,
) -> str:
    """Fill the splits: those that are given as they are, the others out of training; how, in words."""
    if (split_of == NO_SPLIT).all():
        return split_all(pictures, images, labels, classes, knobs)
    places = {split: some for number, split in enumerate(SPLITS) if len(some := np.flatnonzero(split_of == number))}
    if "train" not in places:
        raise UserError(f"prepare.path: '{knobs.path}' holds no image for training that can be used")
    _say_absent({split: labels[some] for split, some in places.items()}, classes, knobs)
    how, lacking = kept(places), missing(places, knobs)
    for split, some in places.items():
        if split == "train" and lacking:
            how += f": {deal_out(pictures, Some(images, some), labels[some], classes, lacking)}"
        else:
            pictures.add(split, Some(images, some), labels[some])
    return how


def _say_absent(labels: dict[str, np.ndarray], classes: Sequence[str], knobs: Prepare) -> None:
    """Say which classes a held-out split lacks.

    Raises:
        UserError: training lacks one.
    """
    for split, some in labels.items():
        held = set(some.tolist())
        if absent := [name for number, name in enumerate(classes) if number not in held]:
            if split == "train":
                raise UserError(f"prepare.path: the class '{absent[0]}' is held out and has no image for training")
            say(f"the split {split} has no image of the class '{absent[0]}'")


def own_images(knobs: Prepare) -> list[Found]:
    """The files in each class's folder, also within folders in there; hidden ones are passed over.

    Raises:
        UserError: there is no such folder, it holds fewer than two classes, one of them is empty, or it cannot be told whether
            its folders are classes or splits.
    """
    folder = Path(knobs.path)
    wanted = f"images want a folder with a folder for each class, such as {folder}/cats and {folder}/dogs"
    if not folder.is_dir():
        raise UserError(f"prepare.path: '{folder}' is not a folder; {wanted}")
    folders = _folders(folder)
    if not _named_after_splits(folder, folders):
        if len(folders) < 2:
            held = f"one class, '{folders[0].name}'" if folders else "no folder"
            inside = [path.name for path in _folders(folders[0])] if folders else []
            hint = f"; is '{folders[0]}' meant, with {' and '.join(inside[:2])} in it?" if len(inside) > 1 else ""
            raise UserError(f"prepare.path: '{folder}' holds {held}; {wanted}{hint}")
        _say_beside(folder)
        found = _splits_within(_of_classes("", folders), folder)
    else:
        found = [one for path in folders for one in _of_classes(split_named(path.name) or "", _folders(path))]
        for path in folders:
            _say_beside(path)
    if found[0].split:
        say_kept(Counter(one.split for one in found), folder, "images")
    return found


def _named_after_splits(folder: Path, folders: Sequence[Path]) -> bool:
    """Whether the folders in a folder are splits, with the classes in each.

    Raises:
        UserError: some are and some are not, or they might be either.
    """
    splits = [path for path in folders if split_named(path.name)]
    with_classes = [path for path in splits if _folders(path)]
    either = [path for path in folders if path.name.casefold() in EITHER and _folders(path)]
    if either and with_classes:
        raise UserError(either_of(either[0]))
    if len(splits) == len(with_classes) == len(folders) and is_split(split_named(path.name) or "" for path in folders):
        return True
    if with_classes and len(folders) > 1:
        other = next((path for path in folders if path not in with_classes), None)
        besides = f"beside {other.name}, which is not" if other else "and none to train on with one that is held out"
        raise UserError(
            f"prepare.path: '{folder}' holds {with_classes[0].name}, which is laid out as a split with"
            f" '{_folders(with_classes[0])[0].name}' in it, {besides}; put train, val and test there alone, or classes alone"
        )
    if is_split(split_named(path.name) or "" for path in splits):
        raise UserError(
            f"prepare.path: '{folder}' holds {' and '.join(path.name for path in splits)}, which are names of splits, with no"
            f" folders of classes in them; a split wants a folder for each class ({splits[0].name}/cats), and a class that is"
            " called so another name"
        )
    return False


def _folders(folder: Path) -> list[Path]:
    """The user's folders in a folder; a link that leads nowhere is refused, for it may have been one."""
    found = sorted(path for path in folder.iterdir() if is_own(Path(path.name)))
    return [path for path in found if not usable(path) and path.is_dir()]


def _splits_within(found: list[Found], folder: Path) -> list[Found]:
    """The same images, each in the split that its folder within its class is named after (cats/train, cats/test), if all are.

    Raises:
        UserError: only some are.
    """
    within = {one.path: one.path.relative_to(folder).parts[1] for one in found}
    named = {path: split for path, name in within.items() if (split := split_named(name)) and path.name != name}
    if not is_split(named.values()):
        return found
    if other := [one.path for one in found if one.path not in named]:
        raise UserError(f"prepare.path: '{next(iter(named))}' is in a folder named after a split, and '{other[0]}' is not")
    return [one._replace(split=named[one.path]) for one in found]


def _of_classes(split: str, classes: Sequence[Path]) -> list[Found]:
    found = [Found(split, path.name.strip(), file) for path in classes for file in files_in(path)]
    filled = {one.label for one in found}
    if empty := [path for path in classes if path.name.strip() not in filled]:
        raise UserError(f"prepare.path: there is no image in '{empty[0]}'; a class wants some, or its folder must go")
    return found


def _say_beside(folder: Path) -> None:
    """Say that images lie beside the folders of classes, where no class is theirs."""
    beside = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and is_own(Path(p.name)) and usable(p))
    if beside:
        say(f"left out: {len(beside):,} images beside the folders of classes in '{folder}', such as {beside[0].name}")


def pixels_of(path: Path) -> UInt8[np.ndarray, "H W C"]:
    """An image as it is looked at: turned as the camera says, in grey, in colour, or in colour and transparency.

    Raises:
        UserError: it cannot be read, has other than 8 bits a channel, or holds several images.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if problem := _unlike(image):
                raise UserError(f"{path}: {problem}")
            mode = READ_AS[image.mode]
            # A palette or one colour that is transparent counts only where a pixel is.
            may_be_clear = mode != "RGBA" and "transparency" in image.info
            turned = ImageOps.exif_transpose(image).convert("RGBA" if may_be_clear else mode)
            if may_be_clear and np.asarray(turned)[..., 3].min() == 255:
                turned = turned.convert(mode)
            pixels = np.asarray(turned)
    except UnidentifiedImageError:
        raise UserError(f"{path}: is not an image of a known format; {', '.join(FORMATS)} are read") from None
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read, it is damaged or cut short: {error}") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _unlike(image: Any) -> str:
    """Why an image is none of those that are read; "" where it is one. Each would otherwise lose something in silence."""
    if _bits(image) > 8:
        return f"has {_bits(image)} bits a channel, and 8 are read; convert it: magick FILE -depth 8 NEW.png"
    if image.mode == "CMYK":
        return "has the colours of print (CMYK); convert it: magick FILE -colorspace sRGB NEW.png"
    if image.mode not in READ_AS:
        return f"is an image of mode {image.mode}; grey or colours of 8 bits (PNG, JPEG) are read"
    # A JPEG of a phone (MPO) has a second image for depth or brightness, which nobody looks at.
    if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:
        return f"holds {frames} images (frames or pages); one is wanted: magick 'FILE[0]' NEW.png takes the first"
    return ""


def _bits(image: Any) -> int:
    """How many bits a channel the file holds, where Pillow's mode does not tell: it reads some of 16 bits as 8."""
    if image.mode.startswith(("I", "F")):
        return 16 if "16" in image.mode else 32
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
    for tile in image.tile:
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(arg, str) and re.search(";16[BLN]", arg) for arg in args):
            return 16
        if image.format == "PPM" and any(isinstance(arg, int) and arg > 255 for arg in args):
            return 16
    return 8


def described(shape: tuple[int, ...]) -> str:
    """The size and kind of an image of [height, width, channels], in words."""
    height, width, channels = shape
    kind = {1: "grey", 3: "in colour", 4: "in colour and transparent"}[channels]
    return f"{width} x {height} pixels, {kind}"
