"""The container GGUF, version 3: metadata by key and tensors by name, written and read without another package (no torch).

The reader trusts nothing: every length is compared with what is left of the file before it is used, so that a damaged file
costs no more than its size, and ends in one line.

Source: the GGUF specification in the repository of ggml, docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.artifacts.writing import atomic_write, errors_naming
from pipeline.lab.gguf.number_types import TYPES, TypeName, known_types, name_of
from pipeline.params.errors import UserError

MAGIC, VERSION, READABLE = b"GGUF", 3, (2, 3)  # version 1 counted in 32 bits
ALIGNMENT = 32  # bytes; tensors begin at multiples of it
MOST_ALIGNMENT = 1 << 16
MOST_DIMENSIONS = 4  # of a tensor, as in ggml
SHORTEST_KEY, SHORTEST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8  # bytes of an entry at least
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # scalar types
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
MOST_ITEMS = 1 << 22  # of all lists of a file: eight times as many as the largest vocabularies have tokens and merges
LONGEST_SHOWN = 60  # characters of a name from a file in a message

Value = bool | int | float | str | list[str] | list[int]


class Stored(NamedTuple):
    """A tensor to be written.

    Attributes:
        kind: its number type.
        shape: rows first, as in torch; the file has them the other way round.
        content: its bytes.
    """

    kind: TypeName
    shape: tuple[int, ...]
    content: bytes


# ------------------------------------------------------------------------------------------------------------- writing


def write(path: Path, metadata: Mapping[str, Value], tensors: Mapping[str, Stored]) -> None:
    """Write a file: whole, or not at all. An empty list of strings is written too (gguf's own writer leaves it out)."""
    offset, table = 0, b""
    for name, tensor in tensors.items():
        sizes = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        table += _text(name) + sizes + struct.pack("<IQ", TYPES[tensor.kind].number, offset)
        offset += _padded(len(tensor.content))
    head = MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata))
    head += b"".join(_text(key) + _value(value) for key, value in metadata.items()) + table
    with atomic_write(path) as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for tensor in tensors.values():
            file.write(tensor.content.ljust(_padded(len(tensor.content)), b"\0"))


def _padded(size: int, alignment: int = ALIGNMENT) -> int:
    return -(-size // alignment) * alignment


def _text(text: str) -> bytes:
    content = text.encode("utf-8")
    return struct.pack("<Q", len(content)) + content


def _value(value: Value) -> bytes:
    if isinstance(value, bool):  # before int, of which it is a kind
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _text(value)
    numbers = [one for one in value if isinstance(one, int)]
    if numbers:
        return struct.pack(f"<IIQ{len(numbers)}i", ARRAY, INT32, len(numbers), *numbers)
    return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_text, map(str, value)))


# ------------------------------------------------------------------------------------------------------------- reading


class Damaged(Exception):  # noqa: N818 (the caller names the file)
    """A file that contradicts itself, or ends too early."""


@dataclass(frozen=True)
class Entry:
    """Where a tensor is in a file; its shape has rows first, as in torch."""

    kind: TypeName
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Gguf:
    """An open file."""

    path: Path
    metadata: dict[str, Any]
    entries: dict[str, Entry]
    content: mmap.mmap

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """The numbers of a tensor."""
        entry = self.entries[name]
        return TYPES[entry.kind].read(self.content[entry.start : entry.start + entry.size]).reshape(entry.shape)


def read(path: Path) -> Gguf:
    """Open a file and check all of it but the numbers.

    Raises:
        UserError: it is missing, is no GGUF, is one part of several, is damaged, or has numbers of a type that is not read.
    """
    if not path.is_file():  # a pipe might block forever
        raise UserError(f"{path}: not found, or not a file")
    with errors_naming(path), path.open("rb") as file:
        if (start := file.read(len(MAGIC))) != MAGIC:
            raise UserError(f"{path}: is not a GGUF file: it begins with {start!r} instead of {MAGIC!r}")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _parsed(path, content)
    except Damaged as damage:
        raise UserError(f"{path}: is damaged: {damage}; fetch or export it again") from None


def _parsed(path: Path, content: mmap.mmap) -> Gguf:
    cursor = _Cursor(content, len(MAGIC))
    (version,) = cursor.numbers("I")
    if version not in READABLE:
        order = " (in the byte order of other machines)" if version % (1 << 16) == 0 else ""
        raise UserError(f"{path}: has version {version}{order} of GGUF; only {' and '.join(map(str, READABLE))} can be read")
    tensors, keys = cursor.numbers("QQ")
    cursor.expect(keys * SHORTEST_KEY + tensors * SHORTEST_TENSOR, f"{keys:,} keys and {tensors:,} tensors")
    metadata: dict[str, Any] = {}
    for _ in range(keys):
        key = cursor.text()
        if key in metadata:
            raise Damaged(f"it has the key {key[:LONGEST_SHOWN]!r} twice")
        metadata[key] = cursor.value()
    if (parts := metadata.get("split.count", 1)) not in (0, 1) or re.search(r"-\d{5}-of-\d{5}\.gguf$", path.name):
        raise UserError(f"{path}: is one part of a model in {parts!r:.20} files; join them first (llama-gguf-split --merge)")
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not (isinstance(alignment, int) and 0 < alignment <= MOST_ALIGNMENT and alignment.bit_count() == 1):
        raise Damaged(f"general.alignment is {alignment!r:.40}")
    entries = _entries(path, [*_tensor_table(cursor, tensors)], _padded(cursor.at, alignment), len(content))
    return Gguf(path, metadata, entries, content)


def _tensor_table(cursor: _Cursor, count: int) -> Iterator[tuple[str, tuple[int, ...], int, int]]:
    """(name, shape, number of its type, offset) of each tensor."""
    for _ in range(count):
        name = cursor.text()
        (dimensions,) = cursor.numbers("I")
        if dimensions > MOST_DIMENSIONS:
            raise Damaged(f"{name[:LONGEST_SHOWN]!r} has {dimensions:,} dimensions")
        *shape, kind, offset = cursor.numbers(f"{dimensions}QIQ")
        yield name, tuple(reversed(shape)), kind, offset


def _entries(path: Path, table: list[tuple[str, tuple[int, ...], int, int]], start: int, end: int) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    left = max(end - start, 0)  # no two tensors share bytes, so all of them together fit
    for name, shape, number, offset in table:
        shown = repr(name[:LONGEST_SHOWN])
        kind = name_of(number)
        if kind is None:
            raise UserError(f"{path}: {shown} has {known_types(number)}; only {', '.join(TYPES)} can be read")
        if name in entries:
            raise Damaged(f"it has the tensor {shown} twice")
        per_block, size_of_block = TYPES[kind].block
        numbers = math.prod(shape)
        if not numbers or shape[-1] % per_block:
            raise Damaged(f"{shown} has the shape {list(shape)}, which {kind} cannot have")
        size = numbers // per_block * size_of_block
        left -= size
        if left < 0 or start + offset + size > end:
            raise Damaged(f"it ends before the numbers of {shown}")
        entries[name] = Entry(kind, shape, start + offset, size)
    return entries


class _Cursor:
    """A place in a file, from which values are read one after the other.

    Raises:
        Damaged: the file ends before the value does.
    """

    def __init__(self, content: mmap.mmap, at: int) -> None:
        self.content, self.at, self.items = content, at, 0

    def expect(self, size: int, what: str) -> None:
        if size > len(self.content) - self.at:
            raise Damaged(f"it ends before {what}")

    def numbers(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{form}")
        self.expect(size, "its list of keys and tensors does")
        found = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += size
        return found

    def text(self) -> str:
        (size,) = self.numbers("Q")
        self.expect(size, "a text does")
        content = self.content[self.at : self.at + size]
        self.at += size
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise Damaged(f"{content[:LONGEST_SHOWN]!r} is not UTF-8") from None

    def value(self) -> Any:
        (kind,) = self.numbers("I")
        if kind != ARRAY:
            return self._scalar(kind)
        kind, count = self.numbers("IQ")
        self.items += count
        if self.items > MOST_ITEMS:
            raise Damaged(f"its lists have {self.items:,} items; at most {MOST_ITEMS:,} are read")
        if kind == STRING:
            self.expect(count * 8, f"a list of {count:,} texts does")
            return [self.text() for _ in range(count)]
        self.expect(count, f"a list of {count:,} numbers does")
        return [*self.numbers(f"{count}{self._form(kind)}")]

    def _scalar(self, kind: int) -> Any:
        return self.text() if kind == STRING else self.numbers(self._form(kind))[0]

    @staticmethod
    def _form(kind: int) -> str:
        if kind not in NUMBERS:
            raise Damaged(f"it has a value of type {kind}, which GGUF does not know")
        return NUMBERS[kind]
