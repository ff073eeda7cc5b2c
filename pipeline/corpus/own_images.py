"""What did the user photograph or draw? A folder with a folder of images for each class."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.corpus.documents import Card
from pipeline.corpus.images import Pictures, split_all
from pipeline.corpus.progress import Follow
from pipeline.corpus.stack import Stack
from pipeline.params import Prepare, Refusal

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no format whose reader starts another program
DAMAGE = (OSError, ValueError, SyntaxError, IndexError, TypeError, EOFError, struct.error, zlib.error)  # as Pillow says it
READ_AS = {"1": "L", "P": "RGB", "L": "L", "RGB": "RGB", "RGBA": "RGBA"}  # Pillow's modes, and as which each is read


def file(knobs: Prepare, pictures: Pictures, follow: Follow) -> Card:
    """The user's own images: a folder with a folder for each class, all of one size, all grey or all in colour."""
    paths = own_images(knobs)
    classes = sorted(paths)
    images, first = Stack(pictures.folder), None
    total = sum(path.stat().st_size for some in paths.values() for path in some)
    with follow("reading your images", total) as advance:
        for path in (path for name in classes for path in paths[name]):
            image = pixels_of(path)
            first = image if first is None else first
            if image.shape != first.shape:
                raise Refusal(
                    f"{path} is {described(image)}, {paths[classes[0]][0]} is {described(first)};"
                    " a network wants images of one size and kind"
                )
            images.append(image)
            advance(path.stat().st_size)
    labels = np.repeat(np.arange(len(classes)), [len(paths[name]) for name in classes])
    how = split_all(pictures, images, labels, classes, knobs)
    return Card(
        name="file", source="the user's own images", licence="the user's own: not known to us", split=how, classes=classes
    )


def own_images(knobs: Prepare) -> dict[str, list[Path]]:
    """The files in each class's folder, also within folders in there; hidden ones are passed over.

    Raises:
        Refusal: there is no such folder, it holds fewer than two classes, or one of them is empty.
    """
    folder = Path(knobs.path)
    wanted = f"images want a folder with a folder for each class, such as {folder}/cats and {folder}/dogs"
    if not folder.is_dir():
        raise Refusal(f"prepare.path: '{folder}' is no folder; {wanted}")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        held = f"one class, '{classes[0].name}'" if classes else "no folder"
        raise Refusal(f"prepare.path: '{folder}' holds {held}; {wanted}")
    found = {
        path.name: sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        for path in classes
    }
    if empty := [name for name, files in found.items() if not files]:
        raise Refusal(f"prepare.path: there is no image in '{folder / empty[0]}'; a class wants some, or its folder must go")
    return found


def pixels_of(path: Path) -> UInt8[np.ndarray, "H W C"]:
    """An image as it is looked at: turned as the camera says, in grey, in colour, or in colour and transparency.

    Raises:
        Refusal: it cannot be read, or has other than 8 bits a channel.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if (mode := READ_AS.get(image.mode)) is None:
                raise Refusal(f"{path}: is an image of mode {image.mode}; grey or colours of 8 bits (PNG, JPEG) would do")
            pixels = np.asarray(ImageOps.exif_transpose(image).convert(mode))
    except UnidentifiedImageError:
        raise Refusal(f"{path}: is no image that is known here; {', '.join(FORMATS)} are") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise Refusal(f"{path}: cannot be read, it is damaged or cut short: {error}") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def described(image: UInt8[np.ndarray, "H W C"]) -> str:
    """Its size and kind, in words."""
    height, width, channels = image.shape
    kind = {1: "grey", 3: "in colour", 4: "in colour and transparent"}[channels]
    return f"{width} x {height} pixels, {kind}"
