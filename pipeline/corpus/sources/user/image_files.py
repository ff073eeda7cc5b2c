"""An image file read as pixels, and the kinds of images that are not supported."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.params.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none whose reader starts another program
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    TypeError,
    EOFError,
    struct.error,
    zlib.error,
)  # errors that Pillow raises


# Pillow's modes, and the mode as which each is read. Images with a transparent colour or palette entry are read as RGBA too.
READ_AS = {"1": "L", "P": "RGB", "L": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "PA": "RGBA"}
BITS_PER_SAMPLE = 258  # TIFF's tag


def read_pixels(path: Path) -> UInt8[np.ndarray, "H W C"]:
    """The pixels of an image, rotated by its EXIF orientation: grey, RGB, or RGBA.

    Raises:
        UserError: it cannot be read, does not have 8 bits per channel, or has several frames.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if problem := _unsupported(image):
                raise UserError(f"{path}: {problem}")
            mode = READ_AS[image.mode]
            # A transparent colour or palette entry counts only if a pixel has it.
            may_be_clear = mode != "RGBA" and "transparency" in image.info
            rotated = ImageOps.exif_transpose(image).convert("RGBA" if may_be_clear else mode)
            if may_be_clear and np.asarray(rotated)[..., 3].min() == 255:
                rotated = rotated.convert(mode)
            pixels = np.asarray(rotated)
    except UnidentifiedImageError:
        raise UserError(f"{path}: is not an image of a known format; use one of {', '.join(FORMATS)}") from None
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read, it is damaged or truncated: {error}") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _unsupported(image: Any) -> str:
    """Why an image is not supported, "" if it is. Reading it would silently lose some of it."""
    if _bits(image) > 8:
        return f"has {_bits(image)} bits per channel, only 8 are supported; convert it: magick FILE -depth 8 NEW.png"
    if image.mode == "CMYK":
        return "has the colours of print (CMYK); convert it: magick FILE -colorspace sRGB NEW.png"
    if image.mode not in READ_AS:
        return f"has the mode {image.mode}; convert it to 8 bits, grey or RGB (PNG, JPEG)"
    # A JPEG of a phone (MPO) has a second image for depth or brightness, which is not shown.
    if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:
        return f"has {frames} frames or pages; use one of them: magick 'FILE[0]' NEW.png takes the first"
    return ""


def _bits(image: Any) -> int:
    """The bits per channel of the file; Pillow's mode does not tell, since it reads some of 16 bits as 8."""
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


def describe_shape(shape: tuple[int, ...]) -> str:
    """The size and kind of an image [height, width, channels], in words."""
    height, width, channels = shape
    kind = {1: "grey", 3: "in colour", 4: "in colour and transparent"}[channels]
    return f"{width} x {height} pixels, {kind}"
