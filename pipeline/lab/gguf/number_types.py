"""How a GGUF file stores numbers: float32, float16, and 8-bit blocks (no torch)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
TypeName = Literal["f32", "f16", "q8_0"]

BLOCK, LEVELS = 32, 127  # q8_0: numbers of a block, and the largest of its whole numbers
LARGEST_HALF = float(np.finfo(np.float16).max)


class OutOfRange(ValueError):  # noqa: N818 (the caller names the tensor)
    """Numbers that a type cannot hold."""


class NumberType(NamedTuple):
    """A type of numbers.

    Attributes:
        number: its number in ggml.
        file_type: the number by which general.file_type names a file that is mostly of it.
        block: (how many numbers are stored together, in how many bytes).
        write, read: to its bytes, and from them as a flat array.
    """

    number: int
    file_type: int
    block: tuple[int, int]
    write: Callable[[Floats], bytes]
    read: Callable[[bytes], Floats]


def _halves(numbers: Floats) -> bytes:
    if np.abs(numbers).max(initial=0) > LARGEST_HALF:
        raise OutOfRange(f"{np.abs(numbers).max():.3g}, beyond what float16 can hold ({LARGEST_HALF:,.0f})")
    return numbers.astype("<f2").tobytes()


def _blocks(numbers: Floats) -> bytes:
    """Blocks of 32 numbers as whole numbers from -127 to 127 times one scale, a float16.

    They are rounded with the scale as it is stored, so that no number moves by more than half a step. (The usual quantizer
    rounds with the scale before its own rounding, which can add another sixteenth of a step.)
    """
    blocks = numbers.reshape(-1, BLOCK)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        scales = (largest / LEVELS).astype("<f2")
    # Tiny scales are coarse: one that was rounded down too far becomes the next one up, also from 0.
    scales = np.where(scales.astype(np.float32) * (LEVELS + 0.5) < largest, np.nextafter(scales, np.float16(np.inf)), scales)
    if not np.isfinite(scales).all():
        raise OutOfRange(f"{np.abs(blocks).max():.3g}, beyond what q8_0 can hold ({LARGEST_HALF * LEVELS:,.0f})")
    steps = scales.astype(np.float32)
    whole = np.divide(blocks, steps, out=np.zeros_like(blocks), where=steps > 0).round().clip(-LEVELS, LEVELS).astype(np.int8)
    return np.concatenate((scales.view(np.uint8), whole.view(np.uint8)), axis=1).tobytes()


def _from_blocks(content: bytes) -> Floats:
    blocks = np.frombuffer(content, np.uint8).reshape(-1, 2 + BLOCK)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    return (scales * blocks[:, 2:].view(np.int8).astype(np.float32)).ravel()


def name_of(number: int) -> TypeName | None:
    """The type with a number in ggml; None for one that is not read."""
    return next((name for name, one in TYPES.items() if one.number == number), None)


def known_types(number: int) -> str:
    """A type that is not read, in words."""
    return f"numbers of the type {OTHERS[number]}" if number in OTHERS else f"numbers of an unknown type, {number}"


# Types of ggml that are not read, for messages.
_NAMES = (
    "2 q4_0 3 q4_1 6 q5_0 7 q5_1 9 q8_1 10 q2_K 11 q3_K 12 q4_K 13 q5_K 14 q6_K 16 iq2_xxs 17 iq2_xs 18 iq3_xxs 19 iq1_s"
    " 20 iq4_nl 21 iq3_s 22 iq2_s 23 iq4_xs 24 i8 25 i16 26 i32 27 i64 28 f64 29 iq1_m 30 bf16 34 tq1_0 35 tq2_0 39 mxfp4"
).split()
OTHERS = dict(zip(map(int, _NAMES[::2]), _NAMES[1::2], strict=True))

TYPES: dict[TypeName, NumberType] = {
    "f32": NumberType(0, 0, (1, 4), lambda x: x.astype("<f4").tobytes(), lambda b: np.frombuffer(b, "<f4").astype(np.float32)),
    "f16": NumberType(1, 1, (1, 2), _halves, lambda content: np.frombuffer(content, "<f2").astype(np.float32)),
    "q8_0": NumberType(8, 7, (BLOCK, 2 + BLOCK), _blocks, _from_blocks),
}
