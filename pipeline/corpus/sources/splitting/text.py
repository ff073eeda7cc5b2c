"""Text read as UTF-8 and divided into lines, documents and splits, as a stream."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Protocol, runtime_checkable

from pipeline.corpus.sources.file_formats import HEAD, binary_problem, encoding_problem
from pipeline.corpus.store.text import SplitWriter
from pipeline.params.data import Prepare
from pipeline.params.errors import UserError
from pipeline.progress import Advance

CHUNK = 1 << 20  # bytes read at once

Ranges = Mapping[str, tuple[int, int]]
"""Where each split begins and ends in a text, in bytes."""


@runtime_checkable
class Stream(Protocol):
    """A source of bytes: a file, or a member of an archive."""

    def read(self, size: int, /) -> bytes: ...


# ------------------------------------------------------------------------------------------------------------ reading text


def read_utf8(stream: Stream, name: str, *, exact: bool = False) -> Iterator[bytes]:
    r"""Text as UTF-8 in chunks, with \n at the end of each line and no byte order mark.

    Args:
        name: of the text, for the message.
        exact: leave all bytes unchanged (for texts with published scores), except a character that is cut off at the end.

    Raises:
        UserError: it is not UTF-8 text; the message says what it is, and which command converts it.
    """
    utf8 = codecs.getincrementaldecoder("utf-8" if exact else "utf-8-sig")()
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    read, head = 0, b""
    try:
        while chunk := stream.read(CHUNK):
            if len(head) < HEAD:
                head += chunk[: HEAD - len(head)]
                if not exact and (what := binary_problem(head)):
                    raise UserError(f"{name}: {what}")
            text = utf8.decode(chunk)
            if not exact and (place := chunk.find(b"\0")) >= 0:
                raise UserError(f"{name}: {encoding_problem(head, 0, read + place)}")
            read += len(chunk)
            yield (text if exact else lines.decode(text)).encode()
        if not exact:
            yield lines.decode(utf8.decode(b"", final=True), final=True).encode()
    except UnicodeDecodeError as error:
        place = max(read - len(utf8.getstate()[0]), 0) + error.start
        raise UserError(f"{name}: {encoding_problem(head, error.object[error.start], place)}") from None


def split_documents(chunks: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    """The documents of a text between separators, stripped of blanks; empty ones are dropped."""
    rest = b""
    for chunk in chunks:
        *documents, rest = (rest + chunk).split(separator)
        yield from filter(None, map(bytes.strip, documents))
    yield from filter(None, [rest.strip()])


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""The lines of a text, each with its \n."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (f"{line.decode()}\n" for line in lines)
    if rest:
        yield rest.decode()


def json_lines(lines: Iterable[str], name: str) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line of JSON that is not empty.

    Args:
        name: of the text, for the message.

    Raises:
        UserError: a line is not JSON, or exceeds the limits of `parse_json_line`.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, parse_json_line(line, f"{name}, line {number}")


def parse_json_line(line: str, where: str) -> Any:
    """The value of a line of JSON.

    Raises:
        UserError: it is not JSON, is nested too deeply, or has a number of too many digits.
    """
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: is not JSON: {error.msg} (column {error.colno:,})") from None
    except RecursionError:
        raise UserError(f"{where}: is nested too deeply; use an object of a text and a label") from None
    except ValueError:  # Python's limit to the digits of an integer
        raise UserError(f"{where}: has a number of thousands of digits; quote it, or leave it out") from None


def is_encodable(text: str) -> bool:
    r"""Whether a text can be encoded as UTF-8: JSON may contain a lone surrogate, such as "\ud83d"."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def with_progress(chunks: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    """The same chunks; `advance` is called with the size of each."""
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


# --------------------------------------------------------------------------------------------------------------- splitting


def text_digest(document: bytes) -> bytes:
    """A digest of a document, by which equal ones are found and documents are put in a random but fixed order."""
    return hashlib.blake2b(document, digest_size=16).digest()


def split_of_key(key: bytes, knobs: Prepare) -> str:
    """The split of a document with this key, by a digest of the key, so that new data does not change the split of the rest."""
    share = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
    if share < knobs.validation_share:
        return "validation"
    return "test" if share < knobs.validation_share + knobs.test_share else "train"


def split_by_position(splits: SplitWriter, text: Iterable[bytes], ranges: Callable[[int], Ranges], *, at_lines: bool) -> None:
    """Cut one document into splits by position.

    Args:
        ranges: from the size of the document to the range of each split, bytes.
        at_lines: cut at the end of a line, if one is near; otherwise before a whole character.
    """
    with tempfile.TemporaryFile(dir=splits.folder) as file:  # its size is known only at its end
        for chunk in text:
            file.write(chunk)
        total = file.tell()
        reach = min(total // 100, 4096) if at_lines else 0
        for split, (start, end) in ranges(total).items():
            start, end = (_cut_point(file, place, reach) for place in (start, end))
            if start == end:
                continue  # SplitWriter reports empty splits
            file.seek(start)
            for at in range(start, end, CHUNK):
                size = min(CHUNK, end - at)
                splits.write(split, file.read(size), [size] if at + size == end else [])


def _cut_point(file: IO[bytes], place: int, reach: int) -> int:
    """The next offset at which a text may be cut: after a line that ends within reach, else before a whole character."""
    file.seek(max(place - 1, 0))
    near = file.read(max(reach, 4))
    if place == 0 or len(near) == 1:
        return place
    if (line := near.find(b"\n", 0, reach)) >= 0:
        return place + line
    ahead = near[1:]
    return place + next((i for i, byte in enumerate(ahead) if byte & 0xC0 != 0x80), len(ahead))


def position_shares(validation: float, test: float) -> Callable[[int], Ranges]:
    """The ranges of the splits in a text: training first, then validation, then test, of these shares."""

    def ranges(total: int) -> Ranges:
        first, second = round(total * (1 - validation - test)), round(total * (1 - test))
        return {"train": (0, first), "validation": (first, second), "test": (second, total)}

    return ranges
