"""Colour maps for the report: a small PNG per map, a pixel per number, and the same numbers as bytes for pointing."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize

from pipeline.figures.style import heat

STEPS = 255  # colours of the scale; the last index of a byte marks a missing number
Cells = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


def cells(values: list[list[Any]], norm: Normalize) -> Cells:
    """A map as positions on its scale: 0 the low end … 254 the high end, 255 a missing number."""
    numbers = np.ma.masked_invalid(np.array(values, dtype=np.float64))
    shares = np.ma.masked_invalid(norm(numbers))
    places: Cells = np.rint(np.clip(shares.filled(0.0), 0.0, 1.0) * (STEPS - 1)).astype(np.uint8)
    places[np.ma.getmaskarray(shares)] = STEPS
    return places


def data_uri(places: Cells) -> str:
    """A map as an image with one pixel per number, transparent where a number is missing."""
    palette = b"".join(bytes(int(255 * part + 0.5) for part in color[:3]) for color in heat()(np.linspace(0, 1, STEPS)))
    height, width = places.shape
    rows = b"".join(b"\0" + row.tobytes() for row in places)
    image = b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette + b"\0\0\0"),
            _chunk(b"tRNS", b"\xff" * STEPS + b"\0"),
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(image).decode()


def picture_uri(picture: npt.NDArray[np.uint8]) -> str:
    """An image [height, width, 3] as PNG, pixel by pixel."""
    height, width, _ = picture.shape
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(image).decode()


def base64_text(places: Cells) -> str:
    """A map as base64 of its bytes, row by row."""
    return base64.b64encode(places.tobytes()).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
